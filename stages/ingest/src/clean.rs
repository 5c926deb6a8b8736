//! Removal of duplicate events, repeated documents and robots.

use anyhow::Result;
use pipeline::config::CleanConfig;
use polars::prelude::*;

use crate::log::Log;

/// A session is a robot's by its click rate only if it has at least this many shown results.
const MIN_ROBOT_RESULTS: u32 = 20;

const DUPLICATE: &str = "event logged twice";
const SHOWN_TWICE: &str = "document shown twice on the page";
const ROBOT: &str = "session of a robot";

/// The log's rows after cleaning.
#[derive(Debug)]
pub(crate) struct Cleaned {
    /// The kept rows, with the columns of [`frame`].
    pub(crate) kept: DataFrame,
    /// The other rows, ascending, each with the reason.
    pub(crate) rejected: Vec<(usize, &'static str)>,
}

/// Removes duplicate events, documents shown twice on a page, and sessions of robots.
///
/// Of events with the same search, document and position, a clicked one is kept, else the first in the files. Of a
/// document's positions on a page, the highest is kept.
///
/// # Errors
/// Only on a defect of the program.
pub(crate) fn clean(log: &Log, config: &CleanConfig) -> Result<Cleaned> {
    let by = |names: &[&str]| Some(names.iter().map(|&name| col(name)).collect());
    let order = ["search", "document", "position", "unclicked", "row"];
    let events = frame(log)?
        .lazy()
        .with_column(col("clicked").not().alias("unclicked"))
        .sort(order, SortMultipleOptions::default())
        .unique_stable_generic(by(&["search", "document", "position"]), UniqueKeepStrategy::First)
        .collect()?;
    let shown = events
        .clone()
        .lazy()
        .unique_stable_generic(by(&["search", "document"]), UniqueKeepStrategy::First)
        .collect()?;
    let kept = shown
        .clone()
        .lazy()
        .anti_join(robots(&shown, config), col("session"), col("session"))
        .sort(["row"], SortMultipleOptions::default())
        .collect()?;

    let mut fate = vec![Some(DUPLICATE); log.rows()];
    for (frame, next) in [(&events, Some(SHOWN_TWICE)), (&shown, Some(ROBOT)), (&kept, None)] {
        for row in rows(frame)? {
            fate[row] = next;
        }
    }
    let rejected = fate.into_iter().enumerate();
    let rejected = rejected.filter_map(|(row, reason)| Some((row, reason?))).collect();
    Ok(Cleaned { kept, rejected })
}

/// The columns of the log that polars works on.
fn frame(log: &Log) -> PolarsResult<DataFrame> {
    let numbers: Vec<u32> = (0..log.rows() as u32).collect();
    df!(
        "row" => numbers,
        "search" => &log.search,
        "session" => &log.session,
        "query" => &log.query,
        "document" => &log.document,
        "position" => &log.position,
        "clicked" => &log.clicked,
        "satisfied" => &log.satisfied,
        "shown_at" => &log.shown_at,
    )
}

/// Sessions with too many searches, or with too large a share of clicked results.
fn robots(shown: &DataFrame, config: &CleanConfig) -> LazyFrame {
    let click_rate = col("clicked").cast(DataType::Float64).mean();
    let many_searches = col("searches").gt(lit(config.max_searches_per_session as u64));
    let many_clicks = col("click_rate").gt(lit(config.max_session_click_rate));
    let long = col("results").gt_eq(lit(MIN_ROBOT_RESULTS));
    shown
        .clone()
        .lazy()
        .group_by([col("session")])
        .agg([col("search").n_unique().alias("searches"), len().alias("results"), click_rate.alias("click_rate")])
        .filter(many_searches.or(long.and(many_clicks)))
        .select([col("session")])
}

/// The rows of the log that a frame holds, in its order.
pub(crate) fn rows(frame: &DataFrame) -> PolarsResult<Vec<usize>> {
    let rows = frame.column("row")?.u32()?;
    Ok(rows.into_no_null_iter().map(|row| row as usize).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of (search, session, document, position, clicked).
    fn log(rows: &[(u32, u32, u32, i32, bool)]) -> Log {
        let mut log = Log::default();
        for &(search, session, document, position, clicked) in rows {
            log.search.push(search);
            log.session.push(session);
            log.query.push(0);
            log.document.push(document);
            log.position.push(position);
            log.clicked.push(clicked);
            log.satisfied.push(clicked);
            log.shown_at.push(None);
        }
        log
    }

    fn config() -> CleanConfig {
        CleanConfig { max_searches_per_session: 2, ..CleanConfig::default() }
    }

    #[test]
    fn a_click_survives_its_duplicates() {
        let log = log(&[
            (0, 0, 7, 1, false),
            (0, 0, 7, 1, true),
            (0, 0, 7, 3, true),
            (0, 0, 8, 2, false),
            (1, 0, 7, 1, false),
        ]);
        let cleaned = clean(&log, &config()).unwrap();
        assert_eq!(rows(&cleaned.kept).unwrap(), [1, 3, 4]);
        assert_eq!(cleaned.rejected, [(0, DUPLICATE), (2, SHOWN_TWICE)]);
    }

    #[test]
    fn robots_search_or_click_too_much() {
        let mut events: Vec<_> = (0..3).map(|search| (search, 0, 1, 1, false)).collect();
        // 17 of 20 clicked is too much, 16 is not, and 10 of 10 is too short to tell.
        events.extend((0..20).map(|i| (10, 1, i, i as i32 + 1, i < 17)));
        events.extend((0..20).map(|i| (11, 2, i, i as i32 + 1, i < 16)));
        events.extend((0..10).map(|i| (12, 3, i, i as i32 + 1, true)));
        let cleaned = clean(&log(&events), &config()).unwrap();
        assert_eq!(rows(&cleaned.kept).unwrap(), (23..53).collect::<Vec<_>>());
        assert!(cleaned.rejected.iter().all(|&(row, reason)| row < 23 && reason == ROBOT));
    }
}
