//! Stage `score`: the teacher scores large unlabelled lists, query by query (section 3.3 of the paper).
//!
//! A list holds documents shown for the query, BM25's first documents that were not shown, and random ones. Only queries
//! of the training split are scored: the student never learns from the others.
//!
//! Outside a pipeline, the binary scores a file of pairs with any saved ranker ([`execute`]).

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod command;
mod lists;
mod pairs;

use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, Int32Array, StringArray};
use nn::folder::{SavedRanker, identity, load_ranker};
use nn::precision::Precision;
use nn::scoring::score_sequences;
use nn::text::Encoder;
use pipeline::{BadInput, Input, Pipeline, Stage, StageRun};
use training::{Collection, Corpus, PRECISION_KEY, keep_freed_memory, precision, teacher_inputs};

pub use command::execute;

use crate::lists::{UnlabelledList, unlabelled_lists};

/// Queries scored between two writes.
const QUERIES_PER_WRITE: usize = 64;

/// The stage.
#[derive(Debug)]
pub struct Score;

impl Stage for Score {
    const NAME: &'static str = "score";

    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
        let ingest = |table| Input::Table { stage: "ingest", table };
        let mut inputs = vec![ingest("queries"), ingest("documents"), ingest("pairs")];
        inputs.extend(teacher_inputs(pipeline)?);
        Ok(inputs)
    }

    fn config_keys(&self) -> &'static [&'static str] {
        &[PRECISION_KEY]
    }

    fn run(&self, run: &mut StageRun) -> anyhow::Result<()> {
        keep_freed_memory();
        let config = run.pipeline().score.clone();
        let ingest = run.input("ingest")?;
        let collection = Collection::read(&ingest)?;
        let lists = unlabelled_lists(&ingest, &collection, &config, run.seed())?;
        if lists.is_empty() {
            Err(BadInput(format!(
                "{}: expected training queries with at least two documents, found none; ingest more log",
                ingest.path().join("pairs").display()
            )))?;
        }
        let folder = run.input("teacher")?.folder("rank")?;
        let teacher = load_ranker(&folder)?;
        let name = identity(&folder)?;
        let precision = precision(run.pipeline());
        let mut progress = run.progress("score", lists.len() as u64);
        let mut table = run.create_table("teacher_scores", &[("disranker.teacher", &name)])?;
        let mut pairs = 0;
        for lists in lists.chunks(QUERIES_PER_WRITE) {
            let scored = score_lists(&teacher, &collection.corpus, lists, config.batch_tokens, precision)?;
            pairs += scored.len();
            table.write(columns(&collection.corpus, &scored, &name))?;
            progress.add(lists.len() as u64);
        }
        drop(progress);
        run.finish_table("teacher_scores", table)?;
        run.fact("lists", lists.len());
        run.fact("pairs", pairs);
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
fn score_lists(
    teacher: &SavedRanker,
    corpus: &Corpus,
    lists: &[UnlabelledList],
    batch_tokens: usize,
    precision: Precision,
) -> anyhow::Result<Vec<Scored>> {
    let encoder = Encoder::new(&teacher.tokenizer, &teacher.settings.scoring)?;
    let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)));
    let texts: Vec<_> = pairs.map(|(query, document)| corpus.texts(query, document)).collect();
    let scores = score_sequences(&teacher.ranker, &encoder.encode_batch(&texts)?, batch_tokens, precision)?;
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

fn columns(corpus: &Corpus, rows: &[Scored], teacher: &str) -> Vec<ArrayRef> {
    let query = |row: &Scored| &corpus.queries[row.query];
    vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &query(row).query_id))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &corpus.documents[row.document].doc_id))),
        Arc::new(Float32Array::from_iter_values(rows.iter().map(|row| row.score))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.rank))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.list_size))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| teacher))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &query(row).split))),
    ]
}
