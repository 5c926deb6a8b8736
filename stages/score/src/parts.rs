//! The parts of the work: made one by one, kept beside the output, and put together at the end.

use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use collection::{Corpus, TRAIN};
use pipeline::config::StandardiseOver;
use pipeline::{BadInput, Progress, RunPaths, Shard, StageContext};
use ranking::interpolation::standardised;
use ranking::standardisation::Standardisation;
use tables::{Columns, Parts, Rows};

use crate::lists::{Lists, Plan, Queries, UnlabelledList, pairs};
use crate::sources::{Distribution, DocumentSource};
use crate::teachers::{Scores, Teacher};

/// The table of a part.
const TABLE: &str = "score_parts";

/// The folder of a run's parts.
pub(crate) fn folder(paths: &RunPaths) -> PathBuf {
    paths.run_dir().join("score.parts")
}

/// The parts of each teacher, by the digest of what decides them; `--force` removes those that are there.
pub(crate) fn open(context: &StageContext, fingerprints: &[String]) -> tables::Result<Vec<Parts>> {
    let folder = folder(context.paths());
    if context.forced() {
        Parts::remove(&folder)?;
    }
    let numbered = (1..).zip(fingerprints);
    numbered
        .map(|(number, decides): (usize, _)| Parts::open(&folder.join(number.to_string()), TABLE, decides))
        .collect()
}

/// A document to be scored, with its score.
#[derive(Debug, Clone, Copy)]
struct ScoredDocument {
    query: usize,
    document: usize,
    score: f32,
    source: DocumentSource,
    left_out: Option<bool>,
}

/// Makes the parts of one teacher that are missing, of `shard` or of all.
pub(crate) fn make_missing(
    context: &StageContext,
    (parts, plan, shard): (&Parts, &Plan, Option<Shard>),
    mut lists: Lists<'_>,
    (teacher, corpus): (&mut Teacher<'_>, &Corpus),
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
    let (started, scoring) = (Instant::now(), Duration::ZERO);
    let mut meter = Meter { progress, started, scoring, lists: finished_lists, pairs: 0 };
    for (number, queries) in missing {
        // Another process may have made it since.
        if !parts.is_finished(number)? {
            let (lists, mut scored) = (lists.of(queries)?, Vec::new());
            for lists in lists.chunks(teacher.lists_at_once()) {
                let begin = Instant::now();
                let own = score_lists(teacher, corpus, lists)?;
                meter.add(lists.len(), own.len(), begin.elapsed());
                scored.extend(own);
            }
            parts.write(number, columns(corpus, &scored))?;
        }
        finished_lists += queries.len();
        meter.reach(finished_lists);
    }
    Ok(())
}

/// Tells how far the work is and how fast.
struct Meter {
    progress: Progress,
    started: Instant,
    /// Time in the teacher.
    scoring: Duration,
    lists: usize,
    pairs: usize,
}

impl Meter {
    fn add(&mut self, lists: usize, pairs: usize, scoring: Duration) {
        self.pairs += pairs;
        self.scoring += scoring;
        self.reach(self.lists + lists);
    }

    fn reach(&mut self, lists: usize) {
        self.lists = lists;
        let rate = self.pairs as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        self.progress.set(self.lists as u64, &format!("{rate:.0} pairs/s"));
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.pairs as f64 / seconds.max(1e-9);
        let scoring = 100.0 * self.scoring.as_secs_f64() / seconds.max(1e-9);
        tracing::info!(
            "score: {} pairs in {seconds:.1}s, {rate:.0} pairs/s; {scoring:.1} % of it in the teacher",
            self.pairs
        );
    }
}

fn score_lists(
    teacher: &mut Teacher<'_>,
    corpus: &Corpus,
    lists: &[UnlabelledList],
) -> anyhow::Result<Vec<ScoredDocument>> {
    let Scores { scores, left_out } = teacher.score(corpus, lists)?;
    let sources = lists.iter().flat_map(|list| list.sources.iter().copied());
    let row = |(at, (((query, document), source), score))| {
        let left_out = left_out.as_ref().map(|left_out: &Vec<bool>| left_out[at]);
        ScoredDocument { query, document, score, source, left_out }
    };
    Ok(pairs(lists).zip(sources).zip(scores).enumerate().map(row).collect())
}

fn columns<'a>(corpus: &Corpus, rows: &'a [ScoredDocument]) -> Rows<'a, ScoredDocument> {
    Rows::of(rows)
        .strings("query_id", |row| corpus.queries[row.query].query_id.as_str())
        .strings("doc_id", |row| corpus.doc_id(row.document))
        .float32s("score", |row| row.score)
        .strings("source", |row| row.source.name())
        .bools("left_out", |row| row.left_out)
}

/// A row of `teacher_scores` or `held_out_scores`.
#[derive(Debug, Clone, Copy)]
struct Ranked<'a> {
    query_id: &'a str,
    split: &'a str,
    doc_id: &'a str,
    score: f32,
    source: &'a str,
    spread: Option<f32>,
    left_out: Option<bool>,
    rank: i32,
    list_size: i32,
}

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// Lists of `teacher_scores`.
    pub(crate) lists: usize,
    /// Pairs of `teacher_scores`.
    pub(crate) pairs: usize,
    pub(crate) held_out_lists: usize,
    /// Where the documents of `teacher_scores` come from.
    pub(crate) sources: Distribution,
}

/// The table of the training split.
const TEACHER_SCORES: &str = "teacher_scores";
/// The table of the other splits.
const HELD_OUT_SCORES: &str = "held_out_scores";

/// Writes the table `teacher_scores`, and `held_out_scores` where held-out queries are scored, from the `count` parts of each teacher.
pub(crate) fn write_tables(
    context: &mut StageContext,
    (parts, count): (&[Parts], usize),
    (teachers, over): (&[Teacher<'_>], StandardiseOver),
    (corpus, queries): (&Corpus, Queries),
) -> anyhow::Result<Written> {
    let names: Vec<&str> = teachers.iter().map(|teacher| teacher.name.as_str()).collect();
    let name = names.join(", ");
    let average = Average::new((parts, count), teachers, over)?;
    let create = |table| context.create_table(table, &[("disranker.teacher", &name)]);
    let mut of_train = create(TEACHER_SCORES)?;
    let mut held_out = queries.held_out.then(|| create(HELD_OUT_SCORES)).transpose()?;
    let mut written = Written::default();
    for number in 0..count {
        let parts = parts.iter().map(|parts| parts.read(number)).collect::<tables::Result<Vec<_>>>()?;
        let rows = ranked(&parts, &average, corpus)?;
        let (train, others): (Vec<Ranked<'_>>, Vec<Ranked<'_>>) = rows.into_iter().partition(|row| row.split == TRAIN);
        of_train.write(table_columns(&train, &name))?;
        if let Some(held_out) = &mut held_out {
            held_out.write(table_columns(&others, &name))?;
        }
        let lists = |rows: &[Ranked<'_>]| rows.iter().filter(|row| row.rank == 1).count();
        written.lists += lists(&train);
        written.pairs += train.len();
        train.iter().for_each(|row| written.sources.add(row.source, row.score));
        written.held_out_lists += lists(&others);
    }
    context.finish_table(TEACHER_SCORES, of_train)?;
    if let Some(held_out) = held_out {
        context.finish_table(HELD_OUT_SCORES, held_out)?;
    }
    Ok(written)
}

fn table_columns<'a>(rows: &'a [Ranked<'_>], teacher: &'a str) -> Rows<'a, Ranked<'a>> {
    Rows::of(rows)
        .strings("query_id", |row| row.query_id)
        .strings("doc_id", |row| row.doc_id)
        .float32s("score", |row| row.score)
        .int32s("rank", |row| row.rank)
        .int32s("list_size", |row| row.list_size)
        .strings("teacher", move |_| teacher)
        .strings("split", |row| row.split)
        .strings("source", |row| row.source)
        .float32s("spread", |row| row.spread)
        .bools("left_out", |row| row.left_out)
}

/// The weighted mean of the standardised scores of several teachers; one teacher's scores stay as they are.
struct Average {
    /// The weight of each teacher, all of them 1 together, and how its scores are standardised over the table.
    teachers: Vec<(f64, Standardisation)>,
    over: StandardiseOver,
}

impl Average {
    fn new(
        (parts, count): (&[Parts], usize),
        teachers: &[Teacher<'_>],
        over: StandardiseOver,
    ) -> anyhow::Result<Average> {
        if teachers.len() == 1 {
            return Ok(Average { teachers: Vec::new(), over });
        }
        let total: f64 = teachers.iter().map(|teacher| teacher.weight).sum();
        let mut fitted = Vec::with_capacity(teachers.len());
        for (parts, teacher) in parts.iter().zip(teachers) {
            let mut scores = Vec::new();
            for number in 0..count {
                scores.extend_from_slice(parts.read(number)?.float32s("score")?.values());
            }
            let standardisation = Standardisation::fit(&scores)
                .map_err(|error| BadInput(format!("score.teacher {}: {error}; leave it out", teacher.name)))?;
            fitted.push((teacher.weight / total, standardisation));
        }
        Ok(Average { teachers: fitted, over })
    }

    /// The scores of each teacher for the rows of a part, which holds whole `lists`, as they are averaged.
    fn standardised(&self, scores: &[&[f32]], lists: &[Range<usize>]) -> Vec<Vec<f32>> {
        if self.teachers.is_empty() {
            return scores.iter().map(|scores| scores.to_vec()).collect();
        }
        let of_teacher = |((_, fitted), scores): (&(f64, Standardisation), &&[f32])| match self.over {
            StandardiseOver::Table => scores.iter().map(|&score| fitted.apply(score)).collect(),
            StandardiseOver::List => lists.iter().flat_map(|list| standardised_list(&scores[list.clone()])).collect(),
        };
        self.teachers.iter().zip(scores).map(of_teacher).collect()
    }

    /// The score of a document that the teachers scored so, standardised, and how far they are apart.
    fn of(&self, scores: &[f32]) -> (f32, Option<f32>) {
        if self.teachers.is_empty() {
            return (scores[0], None);
        }
        let standardised = self.teachers.iter().zip(scores);
        let standardised = standardised.map(|((weight, _), &score)| (weight, f64::from(score)));
        let mean: f64 = standardised.clone().map(|(weight, score)| weight * score).sum();
        let variance: f64 = standardised.map(|(weight, score)| weight * (score - mean).powi(2)).sum();
        (mean as f32, Some(variance.sqrt() as f32))
    }
}

/// The scores of a list with mean 0 and standard deviation 1; zeros where all are the same.
pub(crate) fn standardised_list(scores: &[f32]) -> Vec<f32> {
    let scores: Vec<f64> = scores.iter().copied().map(f64::from).collect();
    standardised(&scores).into_iter().map(|score| score as f32).collect()
}

/// The rows of the same part of each teacher as one, each list by falling score.
fn ranked<'a>(parts: &'a [Columns], average: &Average, corpus: &'a Corpus) -> anyhow::Result<Vec<Ranked<'a>>> {
    let (query_ids, doc_ids) = (parts[0].strings("query_id")?, parts[0].strings("doc_id")?);
    // The teachers score the same lists.
    let sources = parts[0].strings("source")?;
    let scores = parts.iter().map(|part| part.float32s("score")).collect::<tables::Result<Vec<_>>>()?;
    let scores: Vec<&[f32]> = scores.iter().map(|scores| &scores.values()[..]).collect();
    let ends =
        (1..=parts[0].rows()).filter(|&row| row == parts[0].rows() || query_ids.value(row) != query_ids.value(row - 1));
    let lists: Vec<Range<usize>> = ends.scan(0, |start, end| Some(std::mem::replace(start, end)..end)).collect();
    let scores = average.standardised(&scores, &lists);
    let left_out = parts.iter().map(|part| Ok(part.bools("left_out")?.iter().collect::<Vec<_>>()));
    let left_out = left_out.collect::<tables::Result<Vec<_>>>()?;
    let row = |row: usize| {
        let (score, spread) = average.of(&scores.iter().map(|scores| scores[row]).collect::<Vec<_>>());
        let query_id = query_ids.value(row);
        Ok(Ranked {
            query_id,
            split: corpus.queries[corpus.query(query_id)?].split.as_str(),
            doc_id: doc_ids.value(row),
            score,
            source: sources.value(row),
            spread,
            left_out: left_out.iter().filter_map(|left_out| left_out[row]).reduce(|a, b| a || b),
            rank: 0,
            list_size: 0,
        })
    };
    let mut rows = (0..parts[0].rows()).map(row).collect::<anyhow::Result<Vec<Ranked<'_>>>>()?;
    for list in rows.chunk_by_mut(|a, b| a.query_id == b.query_id) {
        list.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.doc_id.cmp(b.doc_id)));
        let list_size = list.len() as i32;
        for (row, rank) in list.iter_mut().zip(1..) {
            (row.rank, row.list_size) = (rank, list_size);
        }
    }
    Ok(rows)
}
