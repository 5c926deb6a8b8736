//! Counts of impressions and clicks by query and document, and click-through rates corrected for position bias.

use anyhow::{Context, Result};
use pipeline::BadInput;
use polars::prelude::*;
use ranking::clicks::{Cell, ClickError, Propensity, debiased_ctr};

/// Steps of expectation-maximisation.
const ITERATIONS: usize = 100;

/// Impressions that a pair needs to take part in the estimate. The model fits an attractiveness to every pair, and that of
/// a rare pair explains its few clicks at any position: many rare pairs would make all positions look alike.
const MIN_IMPRESSIONS: u64 = 20;

/// Prior examinations at the log's mean rate that are added to every pair, so that a single click low on a page does not
/// make the best rate of a query.
pub(crate) const PRIOR_STRENGTH: f64 = 1.0;

/// A query and a document that were shown together.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pair {
    pub(crate) query: u32,
    pub(crate) document: u32,
    pub(crate) impressions: u64,
    pub(crate) clicks: u64,
    pub(crate) satisfied_clicks: u64,
    pub(crate) debiased_ctr: f64,
    pub(crate) first_seen: Option<i64>,
    pub(crate) last_seen: Option<i64>,
}

impl Pair {
    pub(crate) fn ctr(&self) -> f64 {
        self.clicks as f64 / self.impressions as f64
    }
}

/// All pairs, and the examination probability of each position.
#[derive(Debug)]
pub(crate) struct Pairs {
    /// By query and document number.
    pub(crate) pairs: Vec<Pair>,
    /// Relative to position 1, which is entry 0.
    pub(crate) examination: Vec<f64>,
    /// Clicks per examination over the whole log.
    pub(crate) prior: f64,
}

/// Counts the pairs of cleaned rows and estimates the examination of each position from all of them.
///
/// # Errors
/// [`BadInput`] where nothing was shown at the top.
pub(crate) fn count(kept: &DataFrame) -> Result<Pairs> {
    let mut pairs = counted(kept)?;
    let cells = cells(kept, &pairs)?;
    let examination = examination(&cells, &pairs)?;
    let mut examinations = vec![0.0; pairs.len()];
    for cell in &cells {
        examinations[cell.item] += examination[cell.position - 1] * cell.impressions as f64;
    }
    let clicks: u64 = pairs.iter().map(|pair| pair.clicks).sum();
    let prior = clicks as f64 / examinations.iter().sum::<f64>();
    for (pair, examinations) in pairs.iter_mut().zip(examinations) {
        pair.debiased_ctr =
            debiased_ctr(pair.clicks, examinations, prior, PRIOR_STRENGTH).context("a pair without any examination")?;
    }
    Ok(Pairs { pairs, examination, prior })
}

/// Examination probability of each position of `cells`, relative to position 1: estimated from the pairs shown often
/// enough, or from all pairs if none of those was shown at position 1. A position without such pairs gets the estimate of
/// the last one before it that has some.
fn examination(cells: &[Cell], pairs: &[Pair]) -> Result<Vec<f64>> {
    let often = |cell: &&Cell| pairs[cell.item].impressions >= MIN_IMPRESSIONS;
    let frequent: Vec<Cell> = cells.iter().filter(often).copied().collect();
    let model = match Propensity::estimate(&frequent, ITERATIONS) {
        Err(ClickError::NothingAtTop) => Propensity::estimate(cells, ITERATIONS),
        other => other,
    };
    let mut examination = match model {
        Err(ClickError::NothingAtTop) => {
            Err(BadInput("log: expected results at position 1, found none; correct ingest.log.first_position".into()))?
        }
        other => other?.examination,
    };
    let positions = cells.iter().map(|cell| cell.position).max().unwrap_or_default();
    let last = examination.last().copied().unwrap_or(1.0);
    examination.resize(positions, last);
    Ok(examination)
}

/// Searches left of each query number.
///
/// # Errors
/// Only on a defect of the program.
pub(crate) fn searches(kept: &DataFrame, queries: usize) -> Result<Vec<u64>> {
    let counts = kept
        .clone()
        .lazy()
        .group_by([col("query")])
        .agg([col("search").n_unique().cast(DataType::UInt64).alias("searches")])
        .collect()?;
    let mut searches = vec![0; queries];
    for (query, count) in counts.column("query")?.u32()?.into_no_null_iter().zip(numbers(&counts, "searches")?) {
        searches[query as usize] = count;
    }
    Ok(searches)
}

fn counted(kept: &DataFrame) -> Result<Vec<Pair>> {
    let keys = ["query", "document"];
    let counts = kept
        .clone()
        .lazy()
        .group_by(keys.map(col))
        .agg([
            len().cast(DataType::UInt64).alias("impressions"),
            col("clicked").sum().cast(DataType::UInt64).alias("clicks"),
            col("satisfied").sum().cast(DataType::UInt64).alias("satisfied_clicks"),
            col("shown_at").min().alias("first_seen"),
            col("shown_at").max().alias("last_seen"),
        ])
        .sort(keys, SortMultipleOptions::default())
        .collect()?;
    let (queries, documents) = (counts.column("query")?.u32()?, counts.column("document")?.u32()?);
    let (impressions, clicks, satisfied) =
        (numbers(&counts, "impressions")?, numbers(&counts, "clicks")?, numbers(&counts, "satisfied_clicks")?);
    let (first, last) = (counts.column("first_seen")?.i64()?, counts.column("last_seen")?.i64()?);
    let keys = queries.into_no_null_iter().zip(documents.into_no_null_iter());
    let pair = |(at, (query, document))| Pair {
        query,
        document,
        impressions: impressions[at],
        clicks: clicks[at],
        satisfied_clicks: satisfied[at],
        debiased_ctr: 0.0,
        first_seen: first.get(at),
        last_seen: last.get(at),
    };
    Ok(keys.enumerate().map(pair).collect())
}

/// Counts by pair and position; a cell's item is the pair's index.
fn cells(kept: &DataFrame, pairs: &[Pair]) -> Result<Vec<Cell>> {
    let keys = ["query", "document", "position"];
    let counts = kept
        .clone()
        .lazy()
        .group_by(keys.map(col))
        .agg([
            len().cast(DataType::UInt64).alias("impressions"),
            col("clicked").sum().cast(DataType::UInt64).alias("clicks"),
        ])
        .sort(keys, SortMultipleOptions::default())
        .collect()?;
    let (queries, documents) = (counts.column("query")?.u32()?, counts.column("document")?.u32()?);
    let positions = counts.column("position")?.i32()?.into_no_null_iter();
    let (impressions, clicks) = (numbers(&counts, "impressions")?, numbers(&counts, "clicks")?);
    let keys = queries.into_no_null_iter().zip(documents.into_no_null_iter()).zip(positions);
    let mut item = 0;
    let cell = |(at, ((query, document), position)): (usize, ((u32, u32), i32))| {
        // Both lists are in the order of query and document.
        while pairs.get(item).is_some_and(|pair| (pair.query, pair.document) < (query, document)) {
            item += 1;
        }
        Cell { item, position: position as usize, impressions: impressions[at], clicks: clicks[at] }
    };
    Ok(keys.enumerate().map(cell).collect())
}

fn numbers(frame: &DataFrame, column: &str) -> PolarsResult<Vec<u64>> {
    Ok(frame.column(column)?.u64()?.into_no_null_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of (query, document, position, clicked), each a search of its own, shown at its number.
    fn kept(rows: &[(u32, u32, i32, bool)]) -> DataFrame {
        df!(
            "search" => (0..rows.len() as u32).collect::<Vec<u32>>(),
            "query" => rows.iter().map(|row| row.0).collect::<Vec<u32>>(),
            "document" => rows.iter().map(|row| row.1).collect::<Vec<u32>>(),
            "position" => rows.iter().map(|row| row.2).collect::<Vec<i32>>(),
            "clicked" => rows.iter().map(|row| row.3).collect::<Vec<bool>>(),
            "satisfied" => vec![false; rows.len()],
            "shown_at" => (0..rows.len()).map(|i| (i != 0).then_some(i as i64)).collect::<Vec<Option<i64>>>(),
        )
        .unwrap()
    }

    /// Two documents of appeal 1/2, each shown 400 times at both places; place 2 is looked at half the time.
    fn frequent() -> Vec<(u32, u32, i32, bool)> {
        let cells = [(0, 1, 200), (1, 1, 200), (0, 2, 100), (1, 2, 100)];
        let rows =
            cells.map(|(document, position, clicked)| (0..400).map(move |i| (3, document, position, i < clicked)));
        rows.into_iter().flatten().collect()
    }

    #[test]
    fn pairs_are_counted_and_freed_from_position() {
        let kept = kept(&frequent());
        let found = count(&kept).unwrap();
        assert!((found.examination[1] - 0.5).abs() < 1e-3, "{:?}", found.examination);
        assert_eq!(found.pairs.len(), 2);
        let pair = &found.pairs[0];
        let counts = (pair.query, pair.document, pair.impressions, pair.clicks, pair.satisfied_clicks);
        assert_eq!(counts, (3, 0, 800, 300, 0));
        assert_eq!((pair.ctr(), pair.first_seen, pair.last_seen), (0.375, Some(1), Some(1199)));
        assert!((pair.debiased_ctr - 0.5).abs() < 1e-3, "{}", pair.debiased_ctr);
        assert_eq!(searches(&kept, 5).unwrap(), [0, 0, 0, 1600, 0]);
    }

    #[test]
    fn rare_pairs_do_not_blur_the_positions() {
        let mut rows = frequent();
        // Shown once each, half of them clicked whatever the place, down to a place no frequent pair has.
        rows.extend((0..3000).map(|i| (4, i, (i % 3) as i32 + 1, i % 2 == 0)));
        let found = count(&kept(&rows)).unwrap();
        assert_eq!(found.examination.len(), 3);
        assert!((found.examination[1] - 0.5).abs() < 1e-3, "{:?}", found.examination);
        assert_eq!(found.examination[2], found.examination[1]);
    }
}
