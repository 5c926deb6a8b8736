//! Raw click logs, documents and judgments to validated tables.
//!
//! Every input record becomes a row or a line of `rejects` with its file, line and reason, and the sum is checked. Raw
//! files are read record by record for that; counting, joining and sorting is polars' work, on numbers that stand for
//! the texts.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod account;
mod clean;
mod delimited;
mod documents;
mod files;
mod judgments;
mod log;
mod names;
mod output;
mod pairs;
mod parquet_rows;
mod query;
mod record;
mod split;
mod text;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use pipeline::config::{IngestConfig, JudgmentFormat, QuoteEscape, RawFormat};
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use serde_json::json;

use crate::account::{Account, Reject, Source};
use crate::clean::Cleaned;
use crate::delimited::Delimited;
use crate::documents::Documents;
use crate::files::RawFile;
use crate::judgments::{Judgment, QueryIds};
use crate::log::Log;
use crate::output::QueryTable;
use crate::pairs::Pairs;
use crate::query::Queries;
use crate::record::Layout;
use crate::split::Key;

/// The `ingest` stage.
#[derive(Debug, Clone, Copy)]
pub struct Ingest;

impl Stage for Ingest {
    const NAME: &'static str = "ingest";

    fn inputs(&self, pipeline: &Pipeline) -> Result<Vec<Input>> {
        let Files { log, documents, judgments, queries } = Files::list(pipeline)?;
        let all = log.into_iter().chain(documents).chain(judgments).chain(queries);
        Ok(all.map(|file| Input::File(file.path)).collect())
    }

    fn run(&self, run: &mut StageRun) -> Result<()> {
        let files = Files::list(run.pipeline())?;
        let config = run.pipeline().ingest.clone();
        let mut books = Books::default();
        let mut queries = Queries::default();
        let mut documents = read_documents(files.documents, &config, &mut books)?;
        let log = log::source(files.log, layout(config.log.format, config.log.escape), &config.log.columns);
        let (rows, mut log_account) = log::read(&log, &config, &mut documents, &mut queries)?;

        let cleaned = clean::clean(&rows, &config.clean)?;
        log_account.reject_rows(&log, &rejected_lines(&rows, &cleaned))?;
        books.close("log", log_account, cleaned.kept.height() as u64)?;
        if cleaned.kept.height() == 0 {
            Err(BadInput("log: expected shown results, found none after cleaning; see why each was left out with a looser [ingest.clean]".into()))?;
        }
        let pairs = pairs::count(&cleaned.kept)?;
        let judged = judge(run, (files.judgments, files.queries), &pairs, &documents, &mut queries, &mut books)?;
        let table = query_table(run, &queries, &cleaned, &judged)?;

        output::write_impressions(run, &rows, &cleaned.kept, &log.files, &documents, &table)?;
        table.write(run)?;
        output::write_documents(run, &documents)?;
        output::write_pairs(run, &pairs.pairs, &documents, &table)?;
        output::write_judgments(run, &judged.judgments, &documents, &table)?;
        output::write_rejects(run, books.rejects)?;
        books.figures.into_iter().for_each(|(what, figures)| run.fact(what, figures));
        note_clicks(run, &pairs);
        Ok(())
    }
}

/// The raw files of a pipeline.
struct Files {
    log: Vec<RawFile>,
    documents: Vec<RawFile>,
    judgments: Vec<RawFile>,
    queries: Vec<RawFile>,
}

impl Files {
    fn list(pipeline: &Pipeline) -> Result<Files> {
        let config = &pipeline.ingest;
        let documents = config.documents.as_ref().map_or(&[][..], |documents| &documents.paths);
        Ok(Files {
            log: files::list(pipeline, "ingest.log.paths", &config.log.paths)?,
            documents: files::list(pipeline, "ingest.documents.paths", documents)?,
            judgments: files::list(pipeline, "ingest.judgments.paths", &config.judgments.paths)?,
            queries: files::list(pipeline, "ingest.judgments.queries", config.judgments.queries.as_slice())?,
        })
    }
}

fn layout(format: RawFormat, escape: QuoteEscape) -> Layout {
    let header = true;
    match format {
        RawFormat::Jsonl => Layout::Jsonl,
        RawFormat::Parquet => Layout::Parquet,
        RawFormat::Tsv => Layout::Delimited { kind: Delimited::Tsv, header },
        RawFormat::Csv => {
            let backslash = escape == QuoteEscape::Backslash;
            Layout::Delimited { kind: Delimited::Csv { backslash }, header }
        }
    }
}

/// The closed accounts of all inputs.
#[derive(Default)]
struct Books {
    rejects: Vec<Reject>,
    figures: BTreeMap<&'static str, serde_json::Value>,
}

impl Books {
    fn close(&mut self, what: &'static str, account: Account, rows: u64) -> Result<()> {
        let (rejects, figures) = account.close(rows)?;
        self.rejects.extend(rejects);
        self.figures.insert(what, figures);
        Ok(())
    }
}

/// The documents of their own files; none yet where the log's rows carry them.
fn read_documents(files: Vec<RawFile>, config: &IngestConfig, books: &mut Books) -> Result<Documents> {
    let Some(wanted) = &config.documents else {
        return Ok(Documents::default());
    };
    let layout = layout(wanted.format, wanted.escape);
    let (documents, account) = Documents::read(files, layout, wanted, &config.clean)?;
    books.close("documents", account, documents.ids.len() as u64)?;
    Ok(documents)
}

fn rejected_lines(log: &Log, cleaned: &Cleaned) -> BTreeMap<(usize, u64), &'static str> {
    let lines = cleaned.rejected.iter();
    lines.map(|&(row, reason)| ((log.file[row] as usize, log.line[row]), reason)).collect()
}

/// The judgments, and the ids that they name queries by.
struct Judged {
    judgments: Vec<Judgment>,
    ids: QueryIds,
}

impl Judged {
    /// The first of each judged query's ids.
    fn first_ids(&self) -> HashMap<u32, &str> {
        let judged: HashSet<u32> = self.judgments.iter().map(|judgment| judgment.query).collect();
        let mut first: HashMap<u32, &str> = HashMap::new();
        for (id, query) in self.ids.iter().filter(|(_, query)| judged.contains(query)) {
            let known = first.entry(*query).or_insert(id);
            if split::id_order(id) < split::id_order(known) {
                *known = id;
            }
        }
        first
    }
}

/// Grades from the judgment files and their query texts, or from clicks.
fn judge(
    run: &mut StageRun,
    (files, query_files): (Vec<RawFile>, Vec<RawFile>),
    pairs: &Pairs,
    documents: &Documents,
    queries: &mut Queries,
    books: &mut Books,
) -> Result<Judged> {
    let config = run.pipeline().ingest.clone();
    if config.judgments.format == JudgmentFormat::Clicks {
        run.fact("judgments_source", "clicks");
        run.fact("grade_shares", judgments::GRADE_SHARES.to_vec());
        let judgments = judgments::from_clicks(&pairs.pairs, config.clean.min_grade_impressions);
        return Ok(Judged { judgments, ids: own_ids(queries)? });
    }
    run.fact("judgments_source", "judgments");
    let complete = !query_files.is_empty();
    let ids = if complete {
        let (ids, account) = judgments::read_queries(query_files, queries)?;
        books.close("judged_queries", account, ids.len() as u64)?;
        ids
    } else {
        own_ids(queries)?
    };
    let source: Source = judgments::source(files, config.judgments.format);
    let (judgments, account) = judgments::read(&source, &ids, complete, documents)?;
    books.close("judgments", account, judgments.len() as u64)?;
    Ok(Judged { judgments, ids })
}

/// The queries by the ids that the tables know them by.
fn own_ids(queries: &Queries) -> Result<QueryIds> {
    Ok(queries.ids()?.into_iter().zip(0..).collect())
}

/// Ids, searches and splits of the queries that were searched or judged.
fn query_table<'a>(
    run: &mut StageRun,
    queries: &'a Queries,
    cleaned: &Cleaned,
    judged: &Judged,
) -> Result<QueryTable<'a>> {
    let searches = pairs::searches(&cleaned.kept, queries.len())?;
    let mut used: Vec<bool> = searches.iter().map(|&searches| searches > 0).collect();
    let first_ids = judged.first_ids();
    first_ids.keys().for_each(|&query| used[query as usize] = true);
    let used: Vec<u32> = (0..queries.len() as u32).filter(|&query| used[query as usize]).collect();
    let key = |&query: &u32| Key { hash: queries.hash(query).number(), judged_as: first_ids.get(&query).copied() };
    let keys: Vec<Key> = used.iter().map(key).collect();
    let assignment = split::assign(&keys, &run.pipeline().ingest.split)?;
    run.fact("split_rule", assignment.rule);
    let mut splits = vec![None; queries.len()];
    for (query, split) in used.into_iter().zip(assignment.splits) {
        splits[query as usize] = Some(split);
    }
    Ok(QueryTable { queries, ids: queries.ids()?, splits, searches })
}

fn note_clicks(run: &mut StageRun, pairs: &Pairs) {
    run.fact("examination_by_position", pairs.examination.clone());
    let prior = json!({ "rate": pairs.prior, "examinations": pairs::PRIOR_STRENGTH });
    run.fact("debiasing_prior", prior);
}
