//! The tables, each in its schema's order.

use anyhow::Result;
use pipeline::StageContext;
use polars::prelude::*;
use records::RawFile;
use tables::Rows;

use crate::clean;
use crate::documents::Documents;
use crate::input::Reject;
use crate::judgments::Judgment;
use crate::log::Log;
use crate::names::ranks;
use crate::pairs::Pair;
use crate::query::Queries;
use crate::split::Split;

/// Rows written at a time.
const ROWS: usize = 65_536;

/// Ids, splits and numbers of searches of the queries.
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
    pub(crate) fn write(&self, context: &mut StageContext) -> Result<()> {
        let mut order: Vec<u32> = (0..self.ids.len() as u32).collect();
        order.retain(|&query| self.splits[query as usize].is_some());
        order.sort_by_key(|&query| self.id(query));
        write(context, "queries", &order, |rows| {
            rows.strings("query_id", |&query| self.id(query))
                .strings("query", |&query| self.queries.text(query))
                .int64s("searches", |&query| self.searches[query as usize] as i64)
                .strings("split", |&query| self.split(query))
        })?;
        Ok(())
    }
}

/// Writes `impressions`: the kept rows of the log.
pub(crate) fn write_impressions(
    context: &mut StageContext,
    log: &Log,
    kept: &DataFrame,
    files: &[RawFile],
    documents: &Documents,
    table: &QueryTable,
) -> Result<u64> {
    let order = impression_order(log, kept, documents)?;
    write(context, "impressions", &order, |rows| {
        rows.strings("search_id", |&row| log.searches.name(log.search[row]))
            .strings("session_id", |&row| log.sessions.name(log.session[row]))
            .strings("user_id", |&row| log.user[row].map(|user| log.users.name(user)))
            .strings("query_id", |&row| table.id(log.query[row]))
            .strings("doc_id", |&row| documents.ids.name(log.document[row]))
            .int32s("position", |&row| log.position[row])
            .bools("clicked", |&row| log.clicked[row])
            .float64s("dwell_seconds", |&row| log.dwell_seconds[row])
            .timestamps("shown_at", |&row| log.shown_at[row])
            .strings("source", |&row| &*files[log.file[row] as usize].name)
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
pub(crate) fn write_pairs(
    context: &mut StageContext,
    pairs: &[Pair],
    documents: &Documents,
    table: &QueryTable,
) -> Result<()> {
    let (queries, ids) = (ranks(&table.ids), documents.ids.ranks());
    let mut order: Vec<&Pair> = pairs.iter().collect();
    order.sort_by_key(|pair| (queries[pair.query as usize], ids[pair.document as usize]));
    write(context, "pairs", &order, |rows| {
        rows.strings("query_id", |pair| table.id(pair.query))
            .strings("doc_id", |pair| documents.ids.name(pair.document))
            .int64s("impressions", |pair| pair.impressions as i64)
            .int64s("clicks", |pair| pair.clicks as i64)
            .int64s("satisfied_clicks", |pair| pair.satisfied_clicks as i64)
            .float64s("ctr", |pair| pair.ctr())
            .float64s("debiased_ctr", |pair| pair.debiased_ctr)
            .timestamps("first_seen", |pair| pair.first_seen)
            .timestamps("last_seen", |pair| pair.last_seen)
            .strings("split", |pair| table.split(pair.query))
    })?;
    Ok(())
}

/// Writes `judgments`.
pub(crate) fn write_judgments(
    context: &mut StageContext,
    judgments: &[Judgment],
    documents: &Documents,
    table: &QueryTable,
) -> Result<()> {
    let (queries, ids) = (ranks(&table.ids), documents.ids.ranks());
    let mut order: Vec<&Judgment> = judgments.iter().collect();
    order.sort_by_key(|judgment| (queries[judgment.query as usize], ids[judgment.document as usize]));
    write(context, "judgments", &order, |rows| {
        rows.strings("query_id", |judgment| table.id(judgment.query))
            .strings("doc_id", |judgment| documents.ids.name(judgment.document))
            .int32s("grade", |judgment| judgment.grade)
            .strings("split", |judgment| table.split(judgment.query))
    })?;
    Ok(())
}

/// Writes `documents`.
pub(crate) fn write_documents(context: &mut StageContext, documents: &Documents) -> Result<()> {
    let mut order: Vec<u32> = (0..documents.ids.len() as u32).collect();
    order.sort_by_key(|&document| documents.ids.name(document));
    write(context, "documents", &order, |rows| {
        rows.strings("doc_id", |&document| documents.ids.name(document))
            .strings("title", |&document| documents.titles[document as usize].as_str())
            .strings("summary", |&document| documents.summaries[document as usize].as_str())
    })?;
    Ok(())
}

/// Writes `rejects`.
pub(crate) fn write_rejects(context: &mut StageContext, mut rejects: Vec<Reject>) -> Result<()> {
    rejects.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    write(context, "rejects", &rejects, |rows| {
        rows.strings("file", |reject| &*reject.file)
            .int64s("line", |reject| reject.line as i64)
            .strings("reason", |reject| &*reject.reason)
            .strings("content", |reject| reject.content.as_str())
    })?;
    Ok(())
}

fn write<T>(
    context: &mut StageContext,
    name: &str,
    records: &[T],
    columns: impl for<'a> Fn(Rows<'a, T>) -> Rows<'a, T>,
) -> Result<u64> {
    let mut table = context.create_table(name, &[])?;
    for records in records.chunks(ROWS) {
        table.write(columns(Rows::of(records)))?;
    }
    Ok(context.finish_table(name, table)?)
}
