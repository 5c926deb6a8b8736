//! What is said about a log, and which logs are refused: those that lose too much, and those that cannot teach.

use anyhow::{Result, bail};
use pipeline::config::{CleanConfig, IngestConfig, LogColumns, LogConfig, RepeatedDocument};
use pipeline::{BadInput, counted};

use crate::clean::REPEATED;
use crate::documents::OTHER_TEXT;
use crate::report::{Fate, Tallies, Tally};
use crate::segment::{CLICK_WITHOUT_DOCUMENT, EMPTY_QUERY, HOLDS_LINES};
use crate::sessions;
use crate::stats::Stats;

/// A session can be most of a log only if the log has this many rows.
const MIN_ROWS: u64 = 30;

/// Values of which at least one can be read where they are written as is said.
const MANY: u64 = 20;

/// Dwell times in seconds rarely have such a median; in milliseconds they nearly always do.
const MAX_MEDIAN_DWELL: f64 = 1000.0;

/// Refuses a log of which no model can learn, as soon as it is read.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn can_teach(log: &LogConfig, stats: &Stats, clean: &CleanConfig) -> Result<()> {
    if stats.events == 0 {
        let loss = stats.tallies.main_loss(false);
        let why = loss.map_or(String::new(), |(reason, tally)| {
            format!(": {} left out for \"{reason}\"", counted(tally.rows, "line"))
        });
        refuse(&format!("log: expected rows, found none{why}; correct ingest.log"))?;
    }
    let (_, lost_clicks) = stats.tallies.sum(Fate::is_lost);
    if stats.clicks == 0 && lost_clicks == 0 {
        refuse(
            "log: expected clicks, found none in any row; correct ingest.log.columns.clicked, or say in ingest.log.clicked_values \
             which values mean a click",
        )?;
    }
    warn_of_early_times(log, stats);
    let are_searches = log.kinds.iter().any(|kind| kind.opens) || log.all_columns().any(tells_searches);
    if stats.click_counts > 0 && !log.clicks_only && !are_searches {
        refuse(&format!(
            "log: expected a row for each shown result of a search, found numbers of clicks above 1 in {} and no column that tells \
             searches of one query apart: a table of counts does not say what was shown together; write a row for each impression, or map \
             ingest.log.columns.search_id, session_id, user_id or shown_at",
            counted(stats.click_counts, "row")
        ))?;
    }
    if stats.clicks == stats.events && !log.clicks_only {
        refuse(
            "log: expected shown results that were not clicked, found clicks alone, from which no rate and no grade can be made; \
             add the impressions, or set ingest.log.clicks_only = true and take the grades from judgment files",
        )?;
    }
    values_are_read(stats, clean)?;
    match stats.median_dwell() {
        Some(median) if median > MAX_MEDIAN_DWELL && log.dwell_unit.is_none() => refuse(&format!(
            "log: expected dwell times in seconds, found a median of about {median:.0}, which looks like milliseconds; set \
             ingest.log.dwell_unit = \"ms\", or \"s\" if they are seconds"
        )),
        _ => Ok(()),
    }
}

/// True if some column tells searches of one query apart.
fn tells_searches(columns: &LogColumns) -> bool {
    let ids = [&columns.search_id, &columns.session_id, &columns.user_id];
    columns.shown_at.is_some() || ids.into_iter().any(|id| id.is_some() && *id != columns.query)
}

/// Warns of times that are of no log, where nothing says how they are written.
fn warn_of_early_times(log: &LogConfig, stats: &Stats) {
    let read = stats.values.get("shown_at").map_or(0, |values| values.given - values.bad);
    if 2 * stats.early_times > read && log.time.unit.is_none() && log.time.format.is_none() {
        tracing::warn!(
            "log: {} of {} before 1990; correct ingest.log.columns.shown_at, or say how they are written in ingest.log.time.unit \
             or format",
            stats.early_times,
            counted(read, "time")
        );
    }
}

/// Refuses a log of whose times too many cannot be read.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn values_are_read(stats: &Stats, clean: &CleanConfig) -> Result<()> {
    for (column, values) in &stats.values {
        let share = values.bad as f64 / values.given.max(1) as f64;
        if let (true, Some((reason, text))) = (share > clean.max_bad_value_fraction, &values.example) {
            let advice = match (column.as_ref(), reason.as_str()) {
                ("shown_at", _) => "say how they are written in ingest.log.time.format or unit",
                (_, "dwell_seconds is not a number") => "write them as numbers with a decimal point",
                _ => "say how they are written in ingest.log.dwell_unit",
            };
            refuse(&format!(
                "log: {} of {} of {column} cannot be read, such as `{text}`: {reason}; {advice}, or \
                 raise ingest.clean.max_bad_value_fraction = {}",
                values.bad,
                counted(values.given, "value"),
                clean.max_bad_value_fraction
            ))?;
        }
    }
    Ok(())
}

/// True if no given value of some column could be read, of many: where the first records of a log are so, the rest hardly differs.
pub(crate) fn reads_nothing(stats: &Stats) -> bool {
    stats.values.values().any(|values| values.given >= MANY && values.bad == values.given)
}

/// The refusal of a log without results at position 1, which all positions are compared with.
pub(crate) fn nothing_at_top() -> BadInput {
    BadInput("log: expected results at position 1, found none; correct ingest.log.first_position".into())
}

/// Refuses documents without any text in a title; warns of those whose column is there and empty: collections without titles.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn documents_have_texts(config: &IngestConfig, documents: usize, stats: &Stats) -> Result<()> {
    let titled = config.documents.as_ref().is_none_or(|documents| documents.columns.title.is_some());
    let (texts, what) = if titled { (stats.titles, "title") } else { (stats.summaries, "summary") };
    if documents == 0 {
        refuse("documents: expected documents, found none; correct ingest.documents")?;
    }
    let all = counted(documents, "document");
    if texts == 0 && titles_are_empty(config, stats) {
        tracing::warn!("documents: none of {all} has a title");
    } else if texts == 0 {
        let (table, none) = match config.documents {
            Some(_) if titled => ("ingest.documents.columns", ", or leave it out where documents have none"),
            Some(_) => ("ingest.documents.columns", ""),
            None => ("ingest.log.columns", ""),
        };
        refuse(&format!(
            "documents: expected text in a {what}, found none in any of {all}; correct {table}.{what}{none}"
        ))?;
    }
    Ok(())
}

/// Warns of documents that several records describe, each in another way.
pub(crate) fn warn_of_other_texts(tallies: &Tallies, repeated: RepeatedDocument) {
    let kept = match repeated {
        RepeatedDocument::FirstText => {
            "first in byte-wise order; where updates follow what they update, set ingest.documents.repeated = \"last\""
        }
        RepeatedDocument::Last => "last",
    };
    for (_, _, tally) in tallies.iter().filter(|&(_, reason, _)| reason == OTHER_TEXT) {
        tracing::warn!(
            "documents: {} with the id of an earlier one and another text, such as `{}`; the text is kept that is {kept}",
            counted(tally.rows, "record"),
            tally.example
        );
    }
}

/// True where the column of the titles is there and always empty, as in collections of posts or passages.
fn titles_are_empty(config: &IngestConfig, stats: &Stats) -> bool {
    // The field after the id, see `DocumentFiles`.
    config.documents.is_some() && stats.summaries > 0 && stats.found.get(1) == Some(&true)
}

/// Refuses a log most of which is one session.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn sessions_are_visitors(found: &sessions::Found, results: u64, clean: &CleanConfig) -> Result<()> {
    match &found.largest {
        Some((largest, session)) if results >= MIN_ROWS => {
            let share = *largest as f64 / results as f64;
            if share > clean.max_session_fraction {
                let session = records::printable(session.as_bytes(), 60);
                refuse(&format!(
                    "log: expected many sessions, found {largest} of {results} results in session `{session}`, which is more than \
                     ingest.clean.max_session_fraction = {}; map a session id in ingest.log.columns that changes from visit to visit",
                    clean.max_session_fraction
                ))?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Refuses a log of which too many rows or clicks are lost.
///
/// # Errors
/// [`BadInput`], naming the main reason, an example and what to do.
pub(crate) fn losses(tallies: &Tallies, clean: &CleanConfig) -> Result<()> {
    let (rows, clicks) = tallies.sum(|fate| fate != Fate::NoRow);
    let (lost_rows, lost_clicks) = tallies.sum(Fate::is_lost);
    let limits = [
        (false, "row", lost_rows, rows, "max_lost_fraction", clean.max_lost_fraction),
        (true, "click", lost_clicks, clicks, "max_lost_click_fraction", clean.max_lost_click_fraction),
    ];
    for (of_clicks, what, lost, all, key, limit) in limits {
        if lost as f64 > limit * all as f64 {
            let main = tallies.main_loss(of_clicks);
            let (reason, Tally { rows, clicks, example }) = match main {
                Some((reason, tally)) => (reason, tally.clone()),
                None => ("", Tally::default()),
            };
            let by_reason = if of_clicks { clicks } else { rows };
            let are = if lost == 1 { "is" } else { "are" };
            refuse(&format!(
                "log: {lost} of {} {are} lost, which is more than ingest.clean.{key} = {limit}; {by_reason} of them for \
                 \"{reason}\", such as `{example}`; {}, or raise the limit",
                counted(all, what),
                advice(reason).unwrap_or(CORRECT)
            ))?;
        }
    }
    Ok(())
}

/// Refuses a log whose searches show their results again and again: its ids are likely used for several searches.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn results_are_shown_once(tallies: &Tallies, clean: &CleanConfig) -> Result<()> {
    let (rows, _) = tallies.sum(|fate| fate != Fate::NoRow);
    let repeated = tallies.iter().find(|&(_, reason, _)| reason == REPEATED).map(|(_, _, tally)| tally.clone());
    match repeated {
        Some(tally) if tally.rows as f64 > clean.max_lost_fraction * rows as f64 => refuse(&format!(
            "log: {} of {} show a result of their search once more, such as `{}`, which is more than \
             ingest.clean.max_lost_fraction = {}; map ingest.log.columns.session_id if search ids count within \
             sessions, or search_id or shown_at if a session holds several searches of a query, remove repeated lines, or raise the limit",
            tally.rows,
            counted(rows, "row"),
            tally.example,
            clean.max_lost_fraction
        )),
        _ => Ok(()),
    }
}

/// Refuses a log that has no clicks left.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn clicks_are_left(tallies: &Tallies, kept_clicks: u64) -> Result<()> {
    match tallies.main_loss(true) {
        Some((reason, tally)) if kept_clicks == 0 => refuse(&format!(
            "log: expected clicks after cleaning, found none: {} lost for \"{reason}\", such as `{}`; {}",
            counted(tally.clicks, "click"),
            tally.example,
            advice(reason).unwrap_or(CORRECT)
        )),
        _ => Ok(()),
    }
}

/// What to do about a reason of loss, where more than the reason is known.
pub(crate) fn advice(reason: &str) -> Option<&'static str> {
    Some(match reason {
        "position is outside of the page" => "positions count from ingest.log.first_position, 0 or 1",
        "clicked is missing" => {
            "say what a missing value means: ingest.log.clicked_values = { \"\" = \"shown\" }, with \"*\" = \"clicked\" where every \
             other value is a click"
        }
        CLICK_WITHOUT_DOCUMENT => "map ingest.log.columns.doc_id to the clicked document",
        HOLDS_LINES => {
            "put such a field in quotes and double those inside it, as in \"\"\"pot\"; where quotes are ordinary characters in every \
             field, set format = \"tsv\" with dialect.delimiter"
        }
        "document not in the document table" => {
            "ids are compared as they are written, with upper and lower case: correct ingest.documents or ingest.log.columns.doc_id"
        }
        "query too long" => "raise ingest.clean.max_query_chars",
        EMPTY_QUERY => {
            "correct ingest.log.columns.query, or search_id, by which rows without a query are joined to those with it"
        }
        "session of a robot" => {
            "map a session id that changes from visit to visit, or raise ingest.clean.max_searches_per_session or \
             max_session_click_rate"
        }
        "query of too few users" => "lower ingest.privacy.min_query_users",
        "click without a position or an impression of its document" => {
            "map ingest.log.columns.position, and search_id, by which clicks are joined to impressions"
        }
        "click that does not tell which of several searches it belongs to" => "map a search id that is used once",
        _ => return None,
    })
}

/// What to do where nothing more is known.
const CORRECT: &str = "correct the files, or their format or columns in the configuration";

/// Checks that every row and every click of the log is somewhere.
///
/// # Errors
/// Only on a defect of the program.
pub(crate) fn nothing_is_missing(tallies: &Tallies, stats: &Stats) -> Result<()> {
    let (rejected_rows, rejected_clicks) = stats.tallies.sum(|_| true);
    let expected = (stats.events + rejected_rows, stats.clicks + rejected_clicks);
    let found = tallies.sum(|_| true);
    if found != expected {
        bail!("log: expected {expected:?} rows and clicks, found {found:?} kept, merged, left out or rejected");
    }
    Ok(())
}

fn refuse(problem: &str) -> Result<()> {
    Err(BadInput(problem.to_string()).into())
}
