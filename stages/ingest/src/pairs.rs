//! Counts of impressions and clicks by query and document, and click-through rates corrected for position bias.

use std::path::Path;
use std::sync::Mutex;

use anyhow::{Context, Result};
use polars_core::df;
use polars_core::prelude::*;

use crate::buckets::StoredResult;
use crate::bytes::{Put, Take, has};
use crate::parallel::{self, locked, unlocked};
use crate::propensities::Examination;
use crate::spill::{Spill, SpillWriter};

/// Results that are counted at a time, about, and queries at most.
const RESULTS: u64 = 1 << 20;
const QUERIES: u64 = 1 << 18;

/// Bits of a document's number and of a position in the key of a cell; the rest is the query's rank within its partition.
const DOCUMENT_BITS: u32 = 31;
const POSITION_BITS: u32 = 14;

/// Prior examinations at the log's mean rate that are added to every pair, so that a single click low on a page does not
/// make the best rate of a query.
pub(crate) const PRIOR_STRENGTH: f64 = 1.0;

/// A position, and the impressions and clicks of a pair at it.
pub(crate) type CellCount = (u32, u32, u32);

/// A query and a document that were shown together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Pair {
    /// Rank of the query's id.
    pub(crate) query: u32,
    pub(crate) document: u32,
    pub(crate) impressions: u64,
    pub(crate) clicks: u64,
    pub(crate) satisfied_clicks: u64,
    pub(crate) debiased_ctr: f64,
    pub(crate) first_seen: Option<i64>,
    pub(crate) last_seen: Option<i64>,
    /// By position at which it was shown: position, impressions, clicks.
    pub(crate) cells: Vec<CellCount>,
}

impl Pair {
    pub(crate) fn ctr(&self) -> f64 {
        self.clicks as f64 / self.impressions as f64
    }
}

/// Results by query, on disk, to be counted.
#[derive(Debug)]
pub(crate) struct Counted {
    spill: Spill,
    queries: u64,
}

/// Collects the results of one thread.
#[derive(Debug)]
pub(crate) struct PairWriter<'c> {
    writer: SpillWriter<'c>,
    partitions: u64,
    queries: u64,
}

impl Counted {
    /// Room for `results` results of queries with ranks below `queries`.
    ///
    /// # Errors
    /// As [`Spill::create`].
    pub(crate) fn create(folder: &Path, queries: usize, results: u64) -> Result<Counted> {
        let partitions = (results / RESULTS).max(queries as u64 / QUERIES) as usize + 1;
        Ok(Counted { spill: Spill::create(folder, "pairs.spill", partitions)?, queries: queries.max(1) as u64 })
    }

    pub(crate) fn writer(&self) -> PairWriter<'_> {
        PairWriter { writer: self.spill.writer(), partitions: self.spill.partitions() as u64, queries: self.queries }
    }

    /// Counts the pairs, sorted by query and document.
    ///
    /// # Errors
    /// Where reading or writing fails.
    pub(crate) fn count(&self, folder: &Path, threads: usize) -> Result<Pairs> {
        let spill = Spill::create(folder, "counted.spill", self.spill.partitions())?;
        let counts = Mutex::new(PositionCounts::default());
        let work = |(writer, own): &mut (SpillWriter, PositionCounts), partition: usize| {
            // The first rank that [`PairWriter::push`] puts there.
            let first = (partition as u64 * self.queries).div_ceil(self.spill.partitions() as u64) as u32;
            let results = sorted_results(&self.spill.read(partition)?, first)?;
            let pairs = pairs_of(&results, first)?;
            pairs.iter().flat_map(|pair| &pair.cells).for_each(|cell| own.add(cell));
            // Pairs of a partition stay in their order: they are one record.
            writer.push(partition, |record| pairs.iter().for_each(|pair| put_pair(record, pair)))
        };
        let end = |(writer, own): (SpillWriter, PositionCounts)| {
            locked(&counts).merge(&own);
            writer.finish()
        };
        let begin = || (spill.writer(), PositionCounts::default());
        parallel::for_each(self.spill.partitions(), threads, begin, work, end)?;
        Ok(Pairs { spill, counts: unlocked(counts).0 })
    }
}

impl PairWriter<'_> {
    /// Adds a result of the query with rank `query`.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn push(&mut self, query: u32, result: &StoredResult, satisfied: bool) -> Result<()> {
        let partition = u64::from(query) * self.partitions / self.queries;
        self.writer.push(partition as usize, |record| {
            record.put_u32(query);
            record.put_u32(result.document);
            record.put_u32(result.position as u32);
            record.put_flags([result.clicked, satisfied, result.shown_at.is_some()]);
            record.put_u64(result.shown_at.unwrap_or_default() as u64);
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self) -> Result<()> {
        self.writer.finish()
    }
}

/// The results of a partition, sorted by query, document and position; a key holds the three, so that polars sorts by one
/// number.
fn sorted_results(bytes: &[u8], first_query: u32) -> Result<DataFrame> {
    let mut records = Take(bytes);
    let (mut keys, mut flags, mut times) = (Vec::new(), Vec::new(), Vec::new());
    while !records.is_empty() {
        let query = u64::from(records.u32() - first_query);
        let (document, position) = (u64::from(records.u32()), u64::from(records.u32()));
        keys.push((query << DOCUMENT_BITS | document) << POSITION_BITS | position);
        flags.push(records.u16());
        times.push(records.u64() as i64);
    }
    let results = df!("key" => keys, "flags" => flags, "shown_at" => times)?;
    Ok(results.sort(["key"], SortMultipleOptions::default())?)
}

/// The pairs of sorted results.
fn pairs_of(results: &DataFrame, first_query: u32) -> Result<Vec<Pair>> {
    let keys = results.column("key")?.u64()?.into_no_null_iter();
    let flags = results.column("flags")?.u16()?.into_no_null_iter();
    let times = results.column("shown_at")?.i64()?.into_no_null_iter();
    let mut pairs: Vec<Pair> = Vec::new();
    for ((key, flags), time) in keys.zip(flags).zip(times) {
        let part = |shift: u32, bits: u32| (key >> shift & ((1 << bits) - 1)) as u32;
        let query = first_query + (key >> (DOCUMENT_BITS + POSITION_BITS)) as u32;
        let (document, position) = (part(POSITION_BITS, DOCUMENT_BITS), part(0, POSITION_BITS));
        if pairs.last().is_none_or(|pair| (pair.query, pair.document) != (query, document)) {
            pairs.push(Pair { query, document, ..Pair::default() });
        }
        let Some(pair) = pairs.last_mut() else { continue };
        let (clicked, time) = (u32::from(has(flags, 0)), has(flags, 2).then_some(time));
        pair.impressions += 1;
        pair.clicks += u64::from(clicked);
        pair.satisfied_clicks += u64::from(has(flags, 1));
        pair.first_seen = pair.first_seen.into_iter().chain(time).min();
        pair.last_seen = pair.last_seen.max(time);
        match pair.cells.last_mut() {
            Some(cell) if cell.0 == position => *cell = (position, cell.1 + 1, cell.2 + clicked),
            _ => pair.cells.push((position, 1, clicked)),
        }
    }
    Ok(pairs)
}

fn put_pair(record: &mut Vec<u8>, pair: &Pair) {
    record.put_u32(pair.query);
    record.put_u32(pair.document);
    record.put_u64(pair.satisfied_clicks);
    let times = [pair.first_seen, pair.last_seen];
    record.put_u8(u8::from(times[0].is_some()));
    times.into_iter().for_each(|time| record.put_u64(time.unwrap_or_default() as u64));
    record.put_u32(pair.cells.len() as u32);
    for &(position, impressions, clicks) in &pair.cells {
        [position, impressions, clicks].into_iter().for_each(|number| record.put_u32(number));
    }
}

fn take_pair(records: &mut Take) -> Pair {
    let (query, document, satisfied_clicks) = (records.u32(), records.u32(), records.u64());
    let timed = records.u8() == 1;
    let (first, last) = (records.u64() as i64, records.u64() as i64);
    let cells: Vec<CellCount> = (0..records.u32()).map(|_| (records.u32(), records.u32(), records.u32())).collect();
    Pair {
        query,
        document,
        impressions: cells.iter().map(|cell| u64::from(cell.1)).sum(),
        clicks: cells.iter().map(|cell| u64::from(cell.2)).sum(),
        satisfied_clicks,
        debiased_ctr: 0.0,
        first_seen: timed.then_some(first),
        last_seen: timed.then_some(last),
        cells,
    }
}

/// By position: impressions and clicks.
#[derive(Debug, Default)]
struct PositionCounts(Vec<(u64, u64)>);

impl PositionCounts {
    fn add(&mut self, &(position, impressions, clicks): &CellCount) {
        self.add_at(position as usize - 1, (u64::from(impressions), u64::from(clicks)));
    }

    fn merge(&mut self, other: &PositionCounts) {
        other.0.iter().enumerate().for_each(|(at, &count)| self.add_at(at, count));
    }

    fn add_at(&mut self, at: usize, (impressions, clicks): (u64, u64)) {
        self.0.resize(self.0.len().max(at + 1), (0, 0));
        self.0[at] = (self.0[at].0 + impressions, self.0[at].1 + clicks);
    }
}

/// All pairs, on disk.
#[derive(Debug)]
pub(crate) struct Pairs {
    spill: Spill,
    /// By position, of which entry 0 is 1: impressions and clicks.
    pub(crate) counts: Vec<(u64, u64)>,
}

impl Pairs {
    /// The number of partitions; all pairs of a query are in one of them, and partitions are in the order of queries.
    pub(crate) fn partitions(&self) -> usize {
        self.spill.partitions()
    }

    /// The pairs of a partition, sorted by query and document, without debiased rates.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn read(&self, partition: usize) -> Result<Vec<Pair>> {
        let bytes = self.spill.read(partition)?;
        let mut records = Take(&bytes);
        let mut pairs = Vec::new();
        while !records.is_empty() {
            pairs.push(take_pair(&mut records));
        }
        Ok(pairs)
    }

    /// As [`Pairs::read`], with debiased rates.
    ///
    /// # Errors
    /// As [`Pairs::read`].
    pub(crate) fn read_debiased(&self, partition: usize, examination: &Examination) -> Result<Vec<Pair>> {
        let mut pairs = self.read(partition)?;
        for pair in &mut pairs {
            pair.debiased_ctr = examination.rate(pair, PRIOR_STRENGTH).context("a pair without any examination")?;
        }
        Ok(pairs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts rows of (query, document, position, clicked), shown at their number; the first has no time.
    fn counted(rows: &[(u32, u32, i32, bool)]) -> Vec<Pair> {
        let folder = tempfile::tempdir().unwrap();
        let counted = Counted::create(folder.path(), 5, rows.len() as u64).unwrap();
        let mut writer = counted.writer();
        for (at, &(query, document, position, clicked)) in rows.iter().enumerate() {
            let shown_at = (at != 0).then_some(at as i64);
            let result = StoredResult { document, position, clicked, dwell_seconds: None, shown_at, file: 0, line: 0 };
            writer.push(query, &result, false).unwrap();
        }
        writer.finish().unwrap();
        let pairs = counted.count(folder.path(), 2).unwrap();
        let mut all = Vec::new();
        (0..pairs.partitions()).for_each(|partition| all.extend(pairs.read(partition).unwrap()));
        all
    }

    #[test]
    fn pairs_are_counted_by_position() {
        let rows =
            [(3, 1, 2, true), (3, 1, 1, false), (3, 0, 1, true), (1, 9, 4, false), (3, 1, 2, false), (3, 1, 2, true)];
        let pairs = counted(&rows);
        let keys: Vec<(u32, u32)> = pairs.iter().map(|pair| (pair.query, pair.document)).collect();
        assert_eq!(keys, [(1, 9), (3, 0), (3, 1)]);
        let pair = &pairs[2];
        assert_eq!((pair.impressions, pair.clicks, pair.ctr()), (4, 2, 0.5));
        assert_eq!(pair.cells, [(1, 1, 0), (2, 3, 2)]);
        assert_eq!((pair.first_seen, pair.last_seen), (Some(1), Some(5)));
        assert_eq!((pairs[0].first_seen, pairs[0].last_seen), (Some(3), Some(3)));
    }
}
