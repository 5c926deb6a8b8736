//! Raw click logs, documents and judgments to validated tables.
//!
//! Every input record becomes a row of a table or a row of `rejects` with its file, line and reason; the counts are checked.
//! Texts are replaced by numbers while reading, and polars counts, joins and sorts those.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod clean;
mod documents;
mod files;
mod input;
mod judgments;
mod log;
mod names;
mod output;
mod pairs;
mod query;
mod split;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Result;
use pipeline::config::{IngestConfig, JudgmentFormat};
use pipeline::{About, BadInput, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use records::RawFile;
use serde_json::json;

use crate::clean::Cleaned;
use crate::documents::Documents;
use crate::input::{RecordCounts, Reject, Source};
use crate::judgments::{Judgment, QueryIds};
use crate::log::Log;
use crate::output::QueryTable;
use crate::pairs::Pairs;
use crate::query::Queries;
use crate::split::Key;

/// The `ingest` stage.
#[derive(Debug, Clone, Copy)]
pub struct Ingest;

impl Stage for Ingest {
    const NAME: &'static str = "ingest";
    const VERSION: u32 = 1;
    const ABOUT: About = About {
        does: "turns raw click logs, documents and judgments into validated tables",
        reads: "the files of ingest.log, ingest.documents and ingest.judgments",
        writes: "impressions, queries, documents, pairs, judgments, rejects",
    };
    type Config = IngestConfig;

    fn configure(&self, pipeline: &Pipeline) -> std::result::Result<IngestConfig, NothingToDo> {
        Ok(pipeline.ingest.clone())
    }

    fn inputs(&self, config: &IngestConfig, paths: &RunPaths) -> Result<Vec<Input>> {
        let Files { log, documents, judgments, queries } = Files::list(config, paths)?;
        let all = log.into_iter().chain(documents).chain(judgments).chain(queries);
        Ok(all.map(|file| Input::File(file.path)).collect())
    }

    fn run(&self, config: &IngestConfig, context: &mut StageContext) -> Result<()> {
        let files = Files::list(config, context.paths())?;
        let mut inputs = Inputs::default();
        let mut queries = Queries::default();
        let mut documents = read_documents(files.documents, config, &mut inputs)?;
        let log = log::source(files.log, config.log.format.layout(config.log.escape), &config.log.columns);
        let (rows, mut log_counts) = log::read(&log, config, &mut documents, &mut queries)?;

        let cleaned = clean::clean(&rows, &config.clean)?;
        log_counts.reject_rows(&log, &rejected_lines(&rows, &cleaned))?;
        inputs.add("log", log_counts, cleaned.kept.height() as u64)?;
        if cleaned.kept.height() == 0 {
            Err(BadInput("log: expected shown results, found none after cleaning; see why each was left out with a looser [ingest.clean]".into()))?;
        }
        let pairs = pairs::count(&cleaned.kept)?;
        let judged =
            judge((config, context), (files.judgments, files.queries), &pairs, &documents, &mut queries, &mut inputs)?;
        let table = query_table((config, context), &queries, &cleaned, &judged)?;

        output::write_impressions(context, &rows, &cleaned.kept, &log.files, &documents, &table)?;
        table.write(context)?;
        output::write_documents(context, &documents)?;
        output::write_pairs(context, &pairs.pairs, &documents, &table)?;
        output::write_judgments(context, &judged.judgments, &documents, &table)?;
        output::write_rejects(context, inputs.rejects)?;
        inputs.figures.into_iter().for_each(|(what, figures)| context.fact(what, figures));
        note_clicks(context, &pairs);
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
    fn list(config: &IngestConfig, paths: &RunPaths) -> Result<Files> {
        let documents = config.documents.as_ref().map_or(&[][..], |documents| &documents.paths);
        Ok(Files {
            log: files::list(paths, "ingest.log.paths", &config.log.paths)?,
            documents: files::list(paths, "ingest.documents.paths", documents)?,
            judgments: files::list(paths, "ingest.judgments.paths", &config.judgments.paths)?,
            queries: files::list(paths, "ingest.judgments.queries", config.judgments.queries.as_slice())?,
        })
    }
}

/// Rejects and counts of all inputs.
#[derive(Default)]
struct Inputs {
    rejects: Vec<Reject>,
    figures: BTreeMap<&'static str, serde_json::Value>,
}

impl Inputs {
    fn add(&mut self, what: &'static str, counts: RecordCounts, rows: u64) -> Result<()> {
        let (rejects, figures) = counts.finish(rows)?;
        self.rejects.extend(rejects);
        self.figures.insert(what, figures);
        Ok(())
    }
}

/// The documents of their own files; empty if the log's rows carry them.
fn read_documents(files: Vec<RawFile>, config: &IngestConfig, inputs: &mut Inputs) -> Result<Documents> {
    let Some(wanted) = &config.documents else {
        return Ok(Documents::default());
    };
    let layout = wanted.format.layout(wanted.escape);
    let (documents, counts) = Documents::read(files, layout, wanted, &config.clean)?;
    inputs.add("documents", counts, documents.ids.len() as u64)?;
    Ok(documents)
}

fn rejected_lines(log: &Log, cleaned: &Cleaned) -> BTreeMap<(usize, u64), &'static str> {
    let lines = cleaned.rejected.iter();
    lines.map(|&(row, reason)| ((log.file[row] as usize, log.line[row]), reason)).collect()
}

/// The judgments, and the query ids they use.
struct Judged {
    judgments: Vec<Judgment>,
    ids: QueryIds,
}

impl Judged {
    /// By judged query: the first of its ids.
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
    (config, context): (&IngestConfig, &mut StageContext),
    (files, query_files): (Vec<RawFile>, Vec<RawFile>),
    pairs: &Pairs,
    documents: &Documents,
    queries: &mut Queries,
    inputs: &mut Inputs,
) -> Result<Judged> {
    if config.judgments.format == JudgmentFormat::Clicks {
        context.fact("judgments_source", "clicks");
        context.fact("grade_shares", judgments::GRADE_SHARES.to_vec());
        let judgments = judgments::from_clicks(&pairs.pairs, config.clean.min_grade_impressions);
        return Ok(Judged { judgments, ids: own_ids(queries)? });
    }
    context.fact("judgments_source", "judgments");
    let complete = !query_files.is_empty();
    let ids = if complete {
        let (ids, counts) = judgments::read_queries(query_files, queries)?;
        inputs.add("judged_queries", counts, ids.len() as u64)?;
        ids
    } else {
        own_ids(queries)?
    };
    let source: Source = judgments::source(files, config.judgments.format);
    let (judgments, counts) = judgments::read(&source, &ids, complete, documents)?;
    inputs.add("judgments", counts, judgments.len() as u64)?;
    Ok(Judged { judgments, ids })
}

/// The queries by their ids in the tables.
fn own_ids(queries: &Queries) -> Result<QueryIds> {
    Ok(queries.ids()?.into_iter().zip(0..).collect())
}

/// Ids, searches and splits of the queries that were searched or judged.
fn query_table<'a>(
    (config, context): (&IngestConfig, &mut StageContext),
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
    let assignment = split::assign(&keys, &config.split)?;
    context.fact("split_rule", assignment.rule);
    let mut splits = vec![None; queries.len()];
    for (query, split) in used.into_iter().zip(assignment.splits) {
        splits[query as usize] = Some(split);
    }
    Ok(QueryTable { queries, ids: queries.ids()?, splits, searches })
}

fn note_clicks(context: &mut StageContext, pairs: &Pairs) {
    context.fact("examination_by_position", pairs.examination.clone());
    let prior = json!({ "rate": pairs.prior, "examinations": pairs::PRIOR_STRENGTH });
    context.fact("debiasing_prior", prior);
}
