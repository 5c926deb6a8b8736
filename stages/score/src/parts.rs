//! The parts of the work: made one by one, kept beside the output, and put together at the end.

use std::path::PathBuf;
use std::time::Instant;

use collection::{Corpus, TRAIN};
use nn::cross_encoder::CrossEncoder;
use pipeline::{Progress, RunPaths, StageContext};
use tables::{Columns, Parts, Rows};

use crate::lists::{Lists, Plan, UnlabelledList};
use crate::shard::Shard;

/// The table of a part.
const TABLE: &str = "score_parts";

/// The folder of a run's parts.
pub(crate) fn folder(paths: &RunPaths) -> PathBuf {
    paths.run_dir().join("score.parts")
}

/// The parts of a run, which belong to its inputs and its configuration; `--force` removes those that are there.
pub(crate) fn open(context: &StageContext) -> tables::Result<Parts> {
    let folder = folder(context.paths());
    if context.forced() {
        Parts::remove(&folder)?;
    }
    Parts::open(&folder, TABLE, context.fingerprint())
}

/// A document to be scored, with its score.
#[derive(Debug, Clone, Copy)]
struct ScoredDocument {
    query: usize,
    document: usize,
    score: f32,
}

/// Makes the parts of `shard`, or of all, that are missing.
pub(crate) fn make_missing(
    context: &StageContext,
    (parts, plan, shard): (&Parts, &Plan, Option<Shard>),
    mut lists: Lists<'_>,
    (teacher, corpus): (&CrossEncoder, &Corpus),
) -> anyhow::Result<()> {
    let mut missing = Vec::with_capacity(plan.parts().len());
    let mut finished_lists = 0;
    for (number, queries) in plan.parts().enumerate() {
        let finished = parts.is_finished(number)?;
        finished_lists += if finished { queries.len() } else { 0 };
        if !finished && shard.is_none_or(|shard| shard.has(number)) {
            missing.push((number, queries));
        }
    }
    if missing.len() < plan.parts().len() {
        tracing::info!("score: {} of {} parts to make", missing.len(), plan.parts().len());
    }
    let mut progress = context.progress("score", plan.lists() as u64);
    progress.go_on_from(finished_lists as u64);
    let mut meter = Meter { progress, started: Instant::now(), lists: finished_lists, pairs: 0 };
    for (number, queries) in missing {
        // Another process may have made it since.
        if !parts.is_finished(number)? {
            let scored = score_lists(teacher, corpus, &lists.of(queries)?)?;
            parts.write(number, columns(corpus, &scored))?;
            meter.pairs += scored.len();
        }
        meter.add_lists(queries.len());
    }
    Ok(())
}

/// Tells how far the work is and how fast.
struct Meter {
    progress: Progress,
    started: Instant,
    lists: usize,
    pairs: usize,
}

impl Meter {
    fn add_lists(&mut self, lists: usize) {
        self.lists += lists;
        let rate = self.pairs as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        self.progress.set(self.lists as u64, &format!("{rate:.0} pairs/s"));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.pairs as f64 / seconds.max(1e-9);
        tracing::info!("score: {} pairs in {seconds:.1}s, {rate:.0} pairs/s", self.pairs);
    }
}

fn score_lists(
    teacher: &CrossEncoder,
    corpus: &Corpus,
    lists: &[UnlabelledList],
) -> anyhow::Result<Vec<ScoredDocument>> {
    let pairs = lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)));
    let texts: Vec<_> = pairs.clone().map(|(query, document)| corpus.texts(query, document)).collect();
    let scores = teacher.score(&texts)?;
    Ok(pairs.zip(scores).map(|((query, document), score)| ScoredDocument { query, document, score }).collect())
}

fn columns<'a>(corpus: &Corpus, rows: &'a [ScoredDocument]) -> Rows<'a, ScoredDocument> {
    Rows::of(rows)
        .strings("query_id", |row| corpus.queries[row.query].query_id.as_str())
        .strings("doc_id", |row| corpus.doc_id(row.document))
        .float32s("score", |row| row.score)
}

/// A row of `teacher_scores`.
#[derive(Debug, Clone, Copy)]
struct Ranked<'a> {
    query_id: &'a str,
    doc_id: &'a str,
    score: f32,
    rank: i32,
    list_size: i32,
}

/// Writes the table `teacher_scores` from all parts; `teacher` is the model's identity. Returns the numbers of lists and pairs.
pub(crate) fn write_table(
    context: &mut StageContext,
    parts: &Parts,
    count: usize,
    teacher: &str,
) -> anyhow::Result<(usize, usize)> {
    let mut table = context.create_table("teacher_scores", &[("disranker.teacher", teacher)])?;
    let (mut lists, mut pairs) = (0, 0);
    for number in 0..count {
        let part = parts.read(number)?;
        let rows = ranked(&part)?;
        lists += rows.iter().filter(|row| row.rank == 1).count();
        pairs += rows.len();
        let columns = Rows::of(&rows)
            .strings("query_id", |row| row.query_id)
            .strings("doc_id", |row| row.doc_id)
            .float32s("score", |row| row.score)
            .int32s("rank", |row| row.rank)
            .int32s("list_size", |row| row.list_size)
            .strings("teacher", |_| teacher)
            .strings("split", |_| TRAIN);
        table.write(columns)?;
    }
    context.finish_table("teacher_scores", table)?;
    Ok((lists, pairs))
}

/// The rows of a part, each list by falling score.
fn ranked(part: &Columns) -> tables::Result<Vec<Ranked<'_>>> {
    let (query_ids, doc_ids) = (part.strings("query_id")?, part.strings("doc_id")?);
    let scores = part.float32s("score")?;
    let row = |row: usize| Ranked {
        query_id: query_ids.value(row),
        doc_id: doc_ids.value(row),
        score: scores.value(row),
        rank: 0,
        list_size: 0,
    };
    let mut rows: Vec<Ranked<'_>> = (0..part.rows()).map(row).collect();
    for list in rows.chunk_by_mut(|a, b| a.query_id == b.query_id) {
        list.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.doc_id.cmp(b.doc_id)));
        let list_size = list.len() as i32;
        for (row, rank) in list.iter_mut().zip(1..) {
            (row.rank, row.list_size) = (rank, list_size);
        }
    }
    Ok(rows)
}
