//! The buckets of the log, one after the other: events to searches and results, results to ranges of search ids.

use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use pipeline::config::LogConfig;

use crate::bytes::{Put, Take, has};
use crate::clean::{self, MERGED, NO_DOCUMENT, Others, REPEATED, Row, Search};
use crate::event::Event;
use crate::log::Log;
use crate::parallel::{self, locked, unlocked};
use crate::rejects::{RejectWriter, Rejects};
use crate::report::{Fate, Tallies};
use crate::segment::BUCKETS;
use crate::sessions::{QueryUserWriter, QueryUsers, SessionWriter, Sessions};
use crate::spill::{Spill, SpillWriter};

/// Results of a range, about.
const RANGE: u64 = 1 << 17;

/// Bytes of memory for a byte of a bucket.
const EXPANSION: usize = 5;

/// How the buckets are cleaned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Microseconds.
    pub(crate) session_gap: i64,
    /// Bytes.
    pub(crate) memory_limit: usize,
    pub(crate) threads: usize,
    /// True if users of queries are to be counted.
    pub(crate) count_users: bool,
}

/// The longest time within a search without an id, in microseconds.
pub(crate) fn session_gap(log: &LogConfig) -> i64 {
    (log.session_gap_minutes * 60e6) as i64
}

/// Results of all buckets, on disk.
#[derive(Debug)]
pub(crate) struct Results {
    /// Results in ranges of search ids, as [`put_search`] writes them.
    pub(crate) ranges: Spill,
    pub(crate) sessions: Sessions,
    pub(crate) users: Option<QueryUsers>,
    /// Rows that are no results.
    pub(crate) tallies: Tallies,
}

/// A search as it comes back from disk.
#[derive(Debug, Clone)]
pub(crate) struct StoredSearch<'a> {
    pub(crate) id: &'a str,
    pub(crate) session: &'a str,
    pub(crate) user: Option<&'a str>,
    pub(crate) query: u32,
    pub(crate) results: Vec<StoredResult>,
}

/// A result of a search.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredResult {
    pub(crate) document: u32,
    pub(crate) position: i32,
    pub(crate) clicked: bool,
    pub(crate) dwell_seconds: Option<f64>,
    pub(crate) shown_at: Option<i64>,
    pub(crate) file: u32,
    pub(crate) line: u64,
}

fn put_search(record: &mut Vec<u8>, search: &Search, rows: &[Row]) {
    record.put_text(&search.id);
    record.put_text(&search.session);
    record.put_u8(u8::from(search.user.is_some()));
    record.put_text(search.user.unwrap_or_default());
    record.put_u32(search.query);
    record.put_u32(search.shown.len() as u32);
    for shown in &search.shown {
        record.put_flags([shown.clicked, shown.dwell_seconds.is_some(), shown.shown_at.is_some()]);
        record.put_u32(shown.document);
        record.put_u32(shown.position as u32);
        record.put_u64(shown.dwell_seconds.unwrap_or_default().to_bits());
        record.put_u64(shown.shown_at.unwrap_or_default() as u64);
        record.put_u32(rows[shown.row].file);
        record.put_u64(rows[shown.row].event.line);
    }
}

/// Takes the next search of a range.
pub(crate) fn take_search<'a>(records: &mut Take<'a>) -> StoredSearch<'a> {
    let (id, session) = (records.text(), records.text());
    let (known, user) = (records.u8(), records.text());
    let (query, count) = (records.u32(), records.u32());
    let mut results = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let flags = records.u16();
        let (document, position) = (records.u32(), records.u32() as i32);
        let (dwell, time) = (f64::from_bits(records.u64()), records.u64() as i64);
        results.push(StoredResult {
            document,
            position,
            clicked: has(flags, 0),
            dwell_seconds: has(flags, 1).then_some(dwell),
            shown_at: has(flags, 2).then_some(time),
            file: records.u32(),
            line: records.u64(),
        });
    }
    StoredSearch { id, session, user: (known == 1).then_some(user), query, results }
}

/// What becomes of an event of the log that is not a result.
pub(crate) fn fate_of(reason: &str) -> Fate {
    match reason {
        MERGED | REPEATED => Fate::Merged,
        NO_DOCUMENT => Fate::NoRow,
        _ => Fate::LeftOut,
    }
}

/// Cleans all buckets.
///
/// # Errors
/// Where reading or writing fails.
pub(crate) fn clean(log: &Log, settings: Settings, folder: &Path, rejects: &Rejects) -> Result<Results> {
    let items = items(log, settings);
    let bounds = bounds(log, &items[0], settings.session_gap)?;
    let sessions = Sessions::create(folder)?;
    let users = settings.count_users.then(|| QueryUsers::create(folder)).transpose()?;
    let ranges = Spill::create(folder, "results.spill", bounds.len() + 1)?;
    let tallies = Mutex::new(Tallies::default());
    let begin = || Output {
        log,
        bounds: &bounds,
        results: ranges.writer(),
        sessions: sessions.writer(),
        users: users.as_ref().map(QueryUsers::writer),
        rejects: rejects.writer(),
        tallies: Tallies::default(),
        moved_clicks: 0,
        content: String::new(),
    };
    let work = |output: &mut Output, item: usize| {
        for_each_group(log, &items[item], |rows| {
            let (searches, others) = clean::searches(rows, settings.session_gap, |query| log.queries.hash(query).id());
            searches.iter().try_for_each(|search| output.write(search, rows))?;
            output.set_aside(rows, &others)
        })
    };
    parallel::for_each(items.len(), settings.threads, begin, work, |output| output.finish(&tallies))?;
    let tallies = unlocked(tallies);
    Ok(Results { ranges, sessions, users, tallies })
}

/// A bucket, or a slice of one that is too large for memory.
#[derive(Debug, Clone, Copy)]
struct Item {
    bucket: usize,
    slice: u64,
    slices: u64,
}

fn items(log: &Log, settings: Settings) -> Vec<Item> {
    let budget = (settings.memory_limit / (2 * settings.threads * EXPANSION)).max(1);
    let of_bucket = |bucket| {
        let slices = log.bucket_size(bucket).div_ceil(budget).max(1) as u64;
        (0..slices).map(move |slice| Item { bucket, slice, slices })
    };
    (0..BUCKETS).flat_map(of_bucket).collect()
}

/// Search ids that divide the log into ranges of about [`RANGE`] results, from the searches of one item: they are a random
/// sample, whatever the order of the log's lines.
fn bounds(log: &Log, item: &Item, session_gap: i64) -> Result<Vec<String>> {
    let ranges = (log.stats.events / RANGE) as usize + 1;
    if ranges == 1 {
        return Ok(Vec::new());
    }
    let mut sample: Vec<(String, usize)> = Vec::new();
    for_each_group(log, item, |rows| {
        let (searches, _) = clean::searches(rows, session_gap, |query| log.queries.hash(query).id());
        sample.extend(searches.into_iter().map(|search| (search.id, search.shown.len())));
        Ok(())
    })?;
    sample.sort_unstable();
    let all: usize = sample.iter().map(|(_, results)| results).sum();
    let (mut bounds, mut passed) = (Vec::new(), 0);
    for (id, results) in sample {
        if passed * ranges >= (bounds.len() + 1) * all && bounds.len() + 1 < ranges {
            bounds.push(id);
        }
        passed += results;
    }
    Ok(bounds)
}

/// Visits the events of an item, those of one search id or one visitor at a time.
fn for_each_group(log: &Log, item: &Item, visit: impl FnMut(&[Row<'_>]) -> Result<()>) -> Result<()> {
    let pieces = log.bucket(item.bucket)?;
    let mut rows = Vec::new();
    for (segment, bytes) in &pieces {
        let mut records = Take(bytes);
        while !records.is_empty() {
            let event = Event::take(&mut records);
            if event.group / BUCKETS as u64 % item.slices == item.slice {
                rows.push(log.row(*segment, event));
            }
        }
    }
    grouped(&rows, visit)
}

/// Visits rows, those of one search id or one visitor at a time.
///
/// # Errors
/// Those of `visit`.
pub(crate) fn grouped<'a>(rows: &[Row<'a>], mut visit: impl FnMut(&[Row<'a>]) -> Result<()>) -> Result<()> {
    let mut order: Vec<(u64, u32)> = rows.iter().zip(0..).map(|(row, at)| (row.event.group, at)).collect();
    order.sort_unstable();
    let mut group: Vec<Row> = Vec::new();
    for of_hash in order.chunk_by(|a, b| a.0 == b.0) {
        group.clear();
        group.extend(of_hash.iter().map(|&(_, at)| rows[at as usize]));
        // Two texts of one hash are as good as impossible, but they would mix two searches.
        fn key<'a>(row: &Row<'a>) -> (Option<&'a str>, Option<&'a str>) {
            let visitor = row.event.session.or(row.event.user);
            (row.event.search, visitor.filter(|_| row.event.search.is_none()))
        }
        if group.iter().all(|row| key(row) == key(&group[0])) {
            visit(&group)?;
        } else {
            group.sort_by(|a, b| key(a).cmp(&key(b)));
            group.chunk_by(|a, b| key(a) == key(b)).try_for_each(&mut visit)?;
        }
    }
    Ok(())
}

/// Where one thread writes the searches and the other rows.
struct Output<'r> {
    log: &'r Log,
    bounds: &'r [String],
    results: SpillWriter<'r>,
    sessions: SessionWriter<'r>,
    users: Option<QueryUserWriter<'r>>,
    rejects: RejectWriter<'r>,
    tallies: Tallies,
    /// Clicks of merged rows that made the click of a result.
    moved_clicks: u64,
    content: String,
}

impl Output<'_> {
    fn write(&mut self, search: &Search, rows: &[Row]) -> Result<()> {
        if search.shown.is_empty() {
            return Ok(());
        }
        let range = self.bounds.partition_point(|bound| bound.as_str() <= search.id.as_str());
        self.results.push(range, |record| put_search(record, search, rows))?;
        if let (Some(users), Some(user)) = (&mut self.users, search.user) {
            users.push(search.query, user)?;
        }
        let clicked = || search.shown.iter().filter(|shown| shown.clicked);
        self.moved_clicks += clicked().filter(|shown| !rows[shown.row].event.clicked).count() as u64;
        let clicks = clicked().count();
        self.sessions.push(&search.session, search.shown.len(), clicks)
    }

    /// Rows that are no results of their own.
    fn set_aside(&mut self, rows: &[Row], others: &Others) -> Result<()> {
        for &(at, reason) in others {
            let row = &rows[at];
            self.log.describe(row, &mut self.content);
            self.tallies.add(fate_of(reason), reason, 1, u64::from(row.event.clicked), &self.content);
            self.rejects.push(row.file, row.event.line, reason, &self.content)?;
        }
        Ok(())
    }

    fn finish(mut self, tallies: &Mutex<Tallies>) -> Result<()> {
        self.tallies.take_clicks(Fate::Merged, MERGED, self.moved_clicks);
        self.results.finish()?;
        self.sessions.finish()?;
        self.users.map_or(Ok(()), QueryUserWriter::finish)?;
        self.rejects.finish()?;
        locked(tallies).merge(&self.tallies);
        Ok(())
    }
}
