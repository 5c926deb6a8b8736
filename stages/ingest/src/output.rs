//! The tables, each in its schema's order.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringArray, TimestampMicrosecondArray,
};
use pipeline::StageRun;
use polars::prelude::*;

use crate::account::Reject;
use crate::clean;
use crate::documents::Documents;
use crate::files::RawFile;
use crate::judgments::Judgment;
use crate::log::Log;
use crate::names::ranks;
use crate::pairs::Pair;
use crate::query::Queries;
use crate::split::Split;

/// Rows handed to a table at a time.
const ROWS: usize = 65_536;

/// What the tables say about a query.
pub(crate) struct QueryTable<'a> {
    pub(crate) queries: &'a Queries,
    pub(crate) ids: Vec<String>,
    /// By query; `None` for a query that is in no table.
    pub(crate) splits: Vec<Option<Split>>,
    /// By query: searches left after cleaning.
    pub(crate) searches: Vec<u64>,
}

impl QueryTable<'_> {
    fn id(&self, query: u32) -> &str {
        &self.ids[query as usize]
    }

    fn split(&self, query: u32) -> &'static str {
        self.splits[query as usize].map_or("", Split::name)
    }

    /// Writes `queries`.
    pub(crate) fn write(&self, run: &mut StageRun) -> Result<()> {
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        order.retain(|&query| self.splits[query as usize].is_some());
        order.sort_by_key(|&query| self.id(query));
        write(run, "queries", &order, |rows| {
            vec![
                text(rows, |&query| self.id(query)),
                text(rows, |&query| self.queries.text(query)),
                int64s(rows, |&query| self.searches[query as usize]),
                text(rows, |&query| self.split(query)),
            ]
        })?;
        Ok(())
    }
}

/// Writes `impressions`: the kept rows of the log.
pub(crate) fn write_impressions(
    run: &mut StageRun,
    log: &Log,
    kept: &DataFrame,
    files: &[RawFile],
    documents: &Documents,
    table: &QueryTable,
) -> Result<u64> {
    let order = impression_order(log, kept, documents)?;
    write(run, "impressions", &order, |rows| {
        vec![
            text(rows, |&row| log.searches.name(log.search[row])),
            text(rows, |&row| log.sessions.name(log.session[row])),
            Arc::new(StringArray::from_iter(rows.iter().map(|&row| log.user[row].map(|user| log.users.name(user))))),
            text(rows, |&row| table.id(log.query[row])),
            text(rows, |&row| documents.ids.name(log.document[row])),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|&row| log.position[row]))),
            Arc::new(BooleanArray::from_iter(rows.iter().map(|&row| Some(log.clicked[row])))),
            Arc::new(Float64Array::from_iter(rows.iter().map(|&row| log.dwell_seconds[row]))),
            times(rows, |&row| log.shown_at[row]),
            text(rows, |&row| &files[log.file[row] as usize].name),
        ]
    })
}

/// The kept rows by search, position and document, texts byte-wise.
fn impression_order(log: &Log, kept: &DataFrame, documents: &Documents) -> Result<Vec<usize>> {
    let rows = clean::rows(kept)?;
    let (searches, ids) = (log.searches.ranks(), documents.ids.ranks());
    let rank =
        |ranks: &[u32], column: &[u32]| -> Vec<u32> { rows.iter().map(|&row| ranks[column[row] as usize]).collect() };
    let keys = df!(
        "search" => rank(&searches, &log.search),
        "position" => rows.iter().map(|&row| log.position[row]).collect::<Vec<i32>>(),
        "document" => rank(&ids, &log.document),
        "row" => rows.iter().map(|&row| row as u32).collect::<Vec<u32>>(),
    )?;
    let by = ["search", "position", "document"];
    Ok(clean::rows(&keys.sort(by, SortMultipleOptions::default())?)?)
}

/// Writes `pairs`.
pub(crate) fn write_pairs(run: &mut StageRun, pairs: &[Pair], documents: &Documents, table: &QueryTable) -> Result<()> {
    let (queries, ids) = (ranks(&table.ids), documents.ids.ranks());
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.sort_by_key(|pair| (queries[pair.query as usize], ids[pair.document as usize]));
    write(run, "pairs", &order, |rows| {
        vec![
            text(rows, |pair| table.id(pair.query)),
            text(rows, |pair| documents.ids.name(pair.document)),
            int64s(rows, |pair| pair.impressions),
            int64s(rows, |pair| pair.clicks),
            int64s(rows, |pair| pair.satisfied_clicks),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|pair| pair.ctr()))),
            Arc::new(Float64Array::from_iter_values(rows.iter().map(|pair| pair.debiased_ctr))),
            times(rows, |pair| pair.first_seen),
            times(rows, |pair| pair.last_seen),
            text(rows, |pair| table.split(pair.query)),
        ]
    })?;
    Ok(())
}

/// Writes `judgments`.
pub(crate) fn write_judgments(
    run: &mut StageRun,
    judgments: &[Judgment],
    documents: &Documents,
    table: &QueryTable,
) -> Result<()> {
    let (queries, ids) = (ranks(&table.ids), documents.ids.ranks());
    let mut order: Vec<&Judgment> = judgments.iter().collect();
    order.sort_by_key(|judgment| (queries[judgment.query as usize], ids[judgment.document as usize]));
    write(run, "judgments", &order, |rows| {
        vec![
            text(rows, |judgment| table.id(judgment.query)),
            text(rows, |judgment| documents.ids.name(judgment.document)),
            Arc::new(Int32Array::from_iter_values(rows.iter().map(|judgment| judgment.grade))),
            text(rows, |judgment| table.split(judgment.query)),
        ]
    })?;
    Ok(())
}

/// Writes `documents`.
pub(crate) fn write_documents(run: &mut StageRun, documents: &Documents) -> Result<()> {
    let mut order: Vec<u32> = (0..documents.ids.len() as u32).collect();
    order.sort_by_key(|&document| documents.ids.name(document));
    write(run, "documents", &order, |rows| {
        vec![
            text(rows, |&document| documents.ids.name(document)),
            text(rows, |&document| documents.titles[document as usize].as_str()),
            text(rows, |&document| documents.summaries[document as usize].as_str()),
        ]
    })?;
    Ok(())
}

/// Writes `rejects`.
pub(crate) fn write_rejects(run: &mut StageRun, mut rejects: Vec<Reject>) -> Result<()> {
    rejects.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    write(run, "rejects", &rejects, |rows| {
        vec![
            text(rows, |reject| &reject.file),
            int64s(rows, |reject| reject.line),
            text(rows, |reject| &reject.reason),
            text(rows, |reject| &reject.content),
        ]
    })?;
    Ok(())
}

fn write<T>(run: &mut StageRun, name: &str, rows: &[T], columns: impl Fn(&[T]) -> Vec<ArrayRef>) -> Result<u64> {
    let mut table = run.create_table(name, &[])?;
    for rows in rows.chunks(ROWS) {
        table.write(columns(rows))?;
    }
    Ok(run.finish_table(name, table)?)
}

fn text<'a, T>(rows: &'a [T], value: impl Fn(&'a T) -> &'a str) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
}

fn int64s<T>(rows: &[T], value: impl Fn(&T) -> u64) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| value(row) as i64)))
}

fn times<T>(rows: &[T], value: impl Fn(&T) -> Option<i64>) -> ArrayRef {
    let times: Vec<Option<i64>> = rows.iter().map(value).collect();
    Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
}
