//! Stage `score`: the teacher scores large unlabelled lists, query by query (section 3.3 of the paper).
//!
//! A list holds documents shown for the query, the first documents found that were not shown, and random ones; without a
//! log, the first documents found take the place of shown ones. Only queries of the training split are scored: the student never
//! learns from the others.
//!
//! Outside a pipeline, the binary scores a file of pairs with any saved cross-encoder ([`execute`]).

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod lists;

use collection::{Collection, Corpus};
use models::{arithmetic, keep_freed_memory, teacher_inputs};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::identity;
use pipeline::config::{self, BaseModel, RetrievalConfig, ScoreConfig};
use pipeline::{About, BadInput, Input, NothingToDo, Pipeline, RunPaths, Stage, StageContext};
use serde::Serialize;
use tables::Rows;

pub use command::execute;

use crate::lists::{UnlabelledList, unlabelled_lists};

/// Queries scored between two writes.
const QUERIES_PER_WRITE: usize = 64;

/// The stage.
#[derive(Debug)]
pub struct Score;

/// What the stage reads of `pipeline.toml`.
#[derive(Debug, Serialize)]
pub struct Config {
    seed: u64,
    precision: config::Precision,
    score: ScoreConfig,
    /// What finds documents that were not shown.
    retrieval: RetrievalConfig,
    /// The base model of a teacher that is saved as an adapter.
    adapter_base: Option<BaseModel>,
}

impl Stage for Score {
    const NAME: &'static str = "score";
    const VERSION: u32 = 1;
    const ABOUT: About = About {
        does: "scores large lists of documents with the teacher, a list for each query of the training split",
        reads: "ingest/queries, ingest/collection, ingest/pairs; the folder teacher/rank",
        writes: "teacher_scores",
    };
    type Config = Config;

    fn configure(&self, pipeline: &Pipeline) -> Result<Config, NothingToDo> {
        Ok(Config {
            seed: pipeline.run.seed,
            precision: pipeline.run.precision,
            score: pipeline.score.clone(),
            retrieval: pipeline.retrieval.clone(),
            adapter_base: pipeline.teacher.adapter_base().cloned(),
        })
    }

    fn inputs(&self, config: &Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = collection::inputs(&config.retrieval);
        inputs.push(ingest("pairs"));
        inputs.extend(teacher_inputs(paths, config.adapter_base.as_ref())?);
        Ok(inputs)
    }

    fn run(&self, config: &Config, context: &mut StageContext) -> anyhow::Result<()> {
        keep_freed_memory();
        let ingest = context.input("ingest")?;
        let collection = Collection::read(|stage| context.input(stage), &config.retrieval)?;
        let lists = unlabelled_lists(&ingest, &collection, &config.score, config.seed)?;
        if lists.is_empty() {
            Err(BadInput(format!(
                "{}: expected training queries with at least two documents, shown or found, found none; ingest more log or \
                 judgments, or look at ingest.analyzer, retrieval.lists and score.random_documents",
                ingest.path().display()
            )))?;
        }
        let folder = context.input("teacher")?.folder("rank")?;
        let execution = Execution { precision: arithmetic(config.precision), batch_tokens: config.score.batch_tokens };
        let teacher = CrossEncoder::open(&folder, execution)?;
        let name = identity(&folder)?;
        let mut progress = context.progress("score", lists.len() as u64);
        let mut table = context.create_table("teacher_scores", &[("disranker.teacher", &name)])?;
        let mut pairs = 0;
        for lists in lists.chunks(QUERIES_PER_WRITE) {
            let scored = score_lists(&teacher, &collection.corpus, lists)?;
            pairs += scored.len();
            table.write(columns(&collection.corpus, &scored, &name))?;
            progress.add(lists.len() as u64);
        }
        drop(progress);
        context.finish_table("teacher_scores", table)?;
        context.fact("lists", lists.len());
        context.fact("pairs", pairs);
        Ok(())
    }
}

/// One scored document.
#[derive(Debug, Clone, Copy)]
struct Scored {
    query: usize,
    document: usize,
    score: f32,
    rank: i32,
    list_size: i32,
}

/// Scores of a few lists, each list by falling score.
fn score_lists(teacher: &CrossEncoder, corpus: &Corpus, lists: &[UnlabelledList]) -> anyhow::Result<Vec<Scored>> {
    let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)));
    let texts: Vec<_> = pairs.map(|(query, document)| corpus.texts(query, document)).collect();
    let scores = teacher.score(&texts)?;
    let mut rest = &scores[..];
    let mut rows = Vec::with_capacity(scores.len());
    for list in lists {
        let (own, later) = rest.split_at(list.documents.len());
        rest = later;
        let mut order: Vec<(usize, f32)> = list.documents.iter().copied().zip(own.iter().copied()).collect();
        // Documents are indexed in the order of their ids.
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let list_size = order.len() as i32;
        rows.extend(order.into_iter().zip(1..).map(|((document, score), rank)| Scored {
            query: list.query,
            document,
            score,
            rank,
            list_size,
        }));
    }
    Ok(rows)
}

fn columns<'a>(corpus: &Corpus, rows: &'a [Scored], teacher: &str) -> Rows<'a, Scored> {
    Rows::of(rows)
        .strings("query_id", |row| corpus.queries[row.query].query_id.as_str())
        .strings("doc_id", |row| corpus.doc_id(row.document))
        .float32s("score", |row| row.score)
        .int32s("rank", |row| row.rank)
        .int32s("list_size", |row| row.list_size)
        .strings("teacher", |_| teacher)
        .strings("split", |row| corpus.queries[row.query].split.as_str())
}
