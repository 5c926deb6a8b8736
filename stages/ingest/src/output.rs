//! The tables, each in its schema's order.

use std::sync::Mutex;

use analysis::{Analyzer, AnalyzerName};
use anyhow::Result;
use pipeline::{StageContext, counted};
use tables::{Rows, TableWriter};

use crate::documents::Documents;
use crate::input::Reject;
use crate::judgments::Judgment;
use crate::ordered;
use crate::pairs::{Pair, Pairs};
use crate::parallel::{locked, unlocked};
use crate::propensities::Examination;
use crate::query::Queries;
use crate::rejects::Rejects;
use crate::report::{Fate, Tallies};
use crate::split::Split;
use crate::stats::Values;

/// Rows written at a time.
const ROWS: usize = 65_536;

/// Ids, splits and numbers of searches of the queries.
pub(crate) struct QueryTable<'a> {
    pub(crate) queries: &'a Queries,
    pub(crate) ids: &'a [String],
    /// Queries in the order of their ids.
    pub(crate) order: &'a [u32],
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
        let used = self.order.iter().copied().filter(|&query| self.splits[query as usize].is_some());
        let order: Vec<u32> = used.collect();
        write(context, "queries", &order, |rows| {
            rows.strings("query_id", |&query| self.id(query))
                .strings("query", |&query| self.queries.text(query))
                .int64s("searches", |&query| self.searches[query as usize] as i64)
                .strings("split", |&query| self.split(query))
        })
    }
}

/// Writes `pairs`; their queries are ranks of ids. Returns the clicks expected at each position.
pub(crate) fn write_pairs(
    context: &mut StageContext,
    pairs: Option<(&Pairs, &Examination)>,
    documents: &Documents,
    table: &QueryTable,
    threads: usize,
) -> Result<Vec<f64>> {
    let query = |pair: &Pair| table.order[pair.query as usize];
    let items = pairs.map_or(0, |(pairs, _)| pairs.partitions());
    let by_partition = Mutex::new(vec![Vec::new(); items]);
    let read = |partition| {
        let Some((pairs, examination)) = pairs else { return Ok(Vec::new()) };
        let pairs = pairs.read_debiased(partition, examination)?;
        locked(&by_partition)[partition] = expected_clicks(&pairs, &examination.by_position);
        Ok(pairs)
    };
    ordered::write(
        context,
        "pairs",
        (items, threads),
        read,
        |rows| {
            rows.strings("query_id", |pair| table.id(query(pair)))
                .strings("doc_id", |pair| documents.ids.name(pair.document))
                .int64s("impressions", |pair| pair.impressions as i64)
                .int64s("clicks", |pair| pair.clicks as i64)
                .int64s("satisfied_clicks", |pair| pair.satisfied_clicks as i64)
                .float64s("ctr", |pair| pair.ctr())
                .float64s("debiased_ctr", |pair| pair.debiased_ctr)
                .timestamps("first_seen", |pair| pair.first_seen)
                .timestamps("last_seen", |pair| pair.last_seen)
                .strings("split", |pair| table.split(query(pair)))
        },
        |_| Ok(()),
    )?;
    let mut expected = vec![0.0; pairs.map_or(0, |(pairs, _)| pairs.counts.len())];
    for clicks in unlocked(by_partition) {
        expected.iter_mut().zip(clicks).for_each(|(all, clicks)| *all += clicks);
    }
    Ok(expected)
}

/// By position: the clicks that the debiased rates of `pairs` let expect.
fn expected_clicks(pairs: &[Pair], examination: &[f64]) -> Vec<f64> {
    let mut expected = vec![0.0; examination.len()];
    for pair in pairs {
        for &(position, impressions, _) in &pair.cells {
            let at = position as usize - 1;
            expected[at] += (examination[at] * pair.debiased_ctr).min(1.0) * f64::from(impressions);
        }
    }
    expected
}

/// A row of `propensities`.
struct Position {
    position: i32,
    propensity: f64,
    measured: bool,
    impressions: u64,
    clicks: u64,
    expected_clicks: f64,
}

/// Writes `propensities`; `expected` holds the clicks expected at each position.
pub(crate) fn write_propensities(
    context: &mut StageContext,
    found: Option<(&Pairs, &Examination)>,
    expected: &[f64],
) -> Result<()> {
    let method = found.map_or("none", |(_, examination)| examination.method);
    let row = |(pairs, examination): (&Pairs, &Examination), at: usize| Position {
        position: at as i32 + 1,
        propensity: examination.by_position[at],
        measured: examination.measured[at],
        impressions: pairs.counts[at].0,
        clicks: pairs.counts[at].1,
        expected_clicks: expected[at],
    };
    let positions = found.map(|found| (0..found.0.counts.len()).map(|at| row(found, at)).collect());
    let positions: Vec<Position> = positions.unwrap_or_default();
    let rate = |clicks: f64, impressions: u64| if impressions == 0 { 0.0 } else { clicks / impressions as f64 };
    write(context, "propensities", &positions, |rows| {
        rows.int32s("position", |row| row.position)
            .float64s("propensity", |row| row.propensity)
            .strings("method", move |_| method)
            .bools("measured", |row| row.measured)
            .int64s("impressions", |row| row.impressions as i64)
            .int64s("clicks", |row| row.clicks as i64)
            .float64s("ctr", move |row| rate(row.clicks as f64, row.impressions))
            .float64s("expected_ctr", move |row| rate(row.expected_clicks, row.impressions))
    })
}

/// Writes `judgments`.
pub(crate) fn write_judgments(
    context: &mut StageContext,
    judgments: &[Judgment],
    documents: &Documents,
    table: &QueryTable,
    ranks: &[u32],
) -> Result<()> {
    let mut order: Vec<&Judgment> = judgments.iter().collect();
    order.sort_unstable_by_key(|judgment| (ranks[judgment.query as usize], judgment.document));
    write(context, "judgments", &order, |rows| {
        rows.strings("query_id", |judgment| table.id(judgment.query))
            .strings("doc_id", |judgment| documents.ids.name(judgment.document))
            .int32s("grade", |judgment| judgment.grade)
            .strings("split", |judgment| table.split(judgment.query))
    })
}

/// Writes `documents`, and the folder `collection`: the texts of the documents, and the index of BM25 over them.
pub(crate) fn write_documents(
    context: &mut StageContext,
    documents: &Documents,
    analyzer: AnalyzerName,
    work: search::Work,
) -> Result<()> {
    let mut texts = search::Writer::create(&context.out().join(search::FOLDER))?;
    ordered::write(
        context,
        "documents",
        (documents.ranges(), work.threads),
        |range| documents.read(range),
        |rows| {
            rows.strings("doc_id", |document| documents.ids.name(document.0))
                .strings("title", |document| document.1.as_str())
                .strings("summary", |document| document.2.as_str())
        },
        |records| {
            let push = |(number, title, summary): &(u32, String, String)| {
                texts.push(documents.ids.name(*number), title, summary)
            };
            Ok(records.iter().try_for_each(push)?)
        },
    )?;
    texts.finish(&Analyzer::new(analyzer), work)?;
    context.fact(search::ANALYZER_FACT, analyzer.name());
    Ok(())
}

/// Writes `rejects`: those of the log, and `others`. All rejects of a file are in one of them.
pub(crate) fn write_rejects(context: &mut StageContext, log: Option<&Rejects>, mut others: Vec<Reject>) -> Result<()> {
    others.sort_unstable_by(|a, b| (&a.file, a.line, &a.reason).cmp(&(&b.file, b.line, &b.reason)));
    let mut others = others.into_iter().peekable();
    let mut writer = context.create_table("rejects", &[])?;
    let rows = |rejects: Vec<Reject>, writer: &mut TableWriter| {
        append(writer, &rejects, |rows| {
            rows.strings("file", |reject| &*reject.file)
                .int64s("line", |reject| reject.line as i64)
                .strings("reason", |reject| &*reject.reason)
                .strings("content", |reject| reject.content.as_str())
        })
    };
    if let Some(log) = log {
        log.visit(|rejects| {
            let Some(file) = rejects.first().map(|reject| reject.file.clone()) else { return Ok(()) };
            let mut before = Vec::new();
            while let Some(reject) = others.next_if(|reject| reject.file < file) {
                before.push(reject);
            }
            rows(before, &mut writer)?;
            rows(rejects, &mut writer)
        })?;
    }
    rows(others.collect(), &mut writer)?;
    context.finish_table("rejects", writer)?;
    Ok(())
}

/// What became of an input.
pub(crate) struct InputReport {
    pub(crate) input: &'static str,
    pub(crate) tallies: Tallies,
    /// By optional column: its values.
    pub(crate) values: Vec<(String, Values)>,
}

struct ReportRow<'a> {
    input: &'static str,
    fate: &'static str,
    reason: String,
    rows: u64,
    all_rows: u64,
    clicks: u64,
    all_clicks: u64,
    example: &'a str,
}

/// Writes `ingest_report` and prints it.
pub(crate) fn write_report(context: &mut StageContext, reports: &[InputReport]) -> Result<()> {
    let mut lines: Vec<ReportRow> = reports.iter().flat_map(report_rows).collect();
    for line in &lines {
        print(line);
    }
    lines.sort_by(|a, b| (a.input, a.fate, &a.reason).cmp(&(b.input, b.fate, &b.reason)));
    let share = |part: u64, all: u64| if all == 0 { 0.0 } else { part as f64 / all as f64 };
    write(context, "ingest_report", &lines, |rows| {
        rows.strings("input", |row| row.input)
            .strings("fate", |row| row.fate)
            .strings("reason", |row| row.reason.as_str())
            .int64s("rows", |row| row.rows as i64)
            .float64s("row_share", move |row| share(row.rows, row.all_rows))
            .int64s("clicks", |row| row.clicks as i64)
            .float64s("click_share", move |row| share(row.clicks, row.all_clicks))
            .strings("example", |row| row.example)
    })
}

fn report_rows(report: &InputReport) -> Vec<ReportRow<'_>> {
    let input = report.input;
    let (all_rows, all_clicks) = report.tallies.sum(|_| true);
    let fates = report.tallies.iter().map(|(fate, reason, tally)| ReportRow {
        input,
        fate: fate.name(),
        reason: reason.to_string(),
        rows: tally.rows,
        all_rows,
        clicks: tally.clicks,
        all_clicks,
        example: &tally.example,
    });
    let values = report.values.iter().filter(|(_, values)| values.bad > 0).map(|(column, values)| {
        let (reason, example) = values.example.as_ref().map_or(("", ""), |(reason, text)| (reason, text));
        let reason = format!("{column} dropped: {reason}");
        ReportRow { input, fate: "value", reason, rows: values.bad, all_rows, clicks: 0, all_clicks, example }
    });
    fates.chain(values).collect()
}

fn print(row: &ReportRow) {
    let ReportRow { input, fate, reason, rows, all_rows, clicks, all_clicks, example } = row;
    let percent = |part: u64, all: u64| 100.0 * part as f64 / all.max(1) as f64;
    let fate = fate.replace('_', " ");
    let mut line =
        format!("{input}: {rows} of {} ({:.1} %) {fate}", counted(all_rows, "row"), percent(*rows, *all_rows));
    if *all_clicks > 0 {
        line +=
            &format!(", with {clicks} of {} ({:.1} %)", counted(all_clicks, "click"), percent(*clicks, *all_clicks));
    }
    if !reason.is_empty() {
        line += &format!(": {reason}, such as `{example}`");
    }
    let lost = row.fate == Fate::LeftOut.name() || row.fate == Fate::Rejected.name() || row.fate == "value";
    if lost && *rows * 100 > *all_rows { tracing::warn!("{line}") } else { tracing::info!("{line}") }
}

fn write<T>(
    context: &mut StageContext,
    name: &str,
    records: &[T],
    columns: impl for<'a> Fn(Rows<'a, T>) -> Rows<'a, T>,
) -> Result<()> {
    let mut table = context.create_table(name, &[])?;
    append(&mut table, records, columns)?;
    context.finish_table(name, table)?;
    Ok(())
}

fn append<T>(
    table: &mut TableWriter,
    records: &[T],
    columns: impl for<'a> Fn(Rows<'a, T>) -> Rows<'a, T>,
) -> Result<()> {
    for records in records.chunks(ROWS) {
        table.write(columns(Rows::of(records)))?;
    }
    Ok(())
}
