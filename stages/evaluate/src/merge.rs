//! The folds of a cross-validation as one evaluation: the test queries of several runs, with what each run answered.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use collection::{Collection, Corpus, TEST, candidate_lists};
use pipeline::config::BASELINE;
use pipeline::{BadInput, Outdated, RunPaths, outdated};
use tables::{Columns, StageDir};

use crate::input::{Answered, Background};
use crate::interpolation::across_folds;
use crate::systems::{STUDENT, is_interpolated, order};
use crate::{Config, SystemRun, TestQuery, slices};

/// The manifests of the finished evaluations of `runs`.
///
/// # Errors
/// [`tables::Error::MissingStage`] where a run has none.
pub(crate) fn manifests(runs: &[String], paths: &RunPaths) -> tables::Result<Vec<PathBuf>> {
    let dirs = runs.iter().map(|name| StageDir::open(&paths.run_dir_of(name), "evaluate"));
    dirs.map(|dir| Ok(dir?.path().join(tables::MANIFEST_FILE))).collect()
}

/// What `ingest` made in each of the merged runs.
///
/// # Errors
/// [`tables::Error::MissingStage`] where a run has none.
pub(crate) fn ingested(config: &Config, paths: &RunPaths) -> tables::Result<Vec<StageDir>> {
    let runs = config.evaluate.merge_runs.iter();
    runs.map(|name| StageDir::open(&paths.run_dir_of(name), "ingest")).collect()
}

/// The test queries of all merged runs, and the answers of every system to them.
///
/// # Errors
/// [`BadInput`] for runs that test a query twice, or that do not hold the same systems with a score of every candidate.
pub(crate) fn read(all: &Config, paths: &RunPaths) -> anyhow::Result<Answered> {
    let config = &all.evaluate;
    let (mut queries, mut folds): (Vec<TestQuery>, Vec<usize>) = (Vec::new(), Vec::new());
    let mut background = Background::default();
    let mut merged: BTreeMap<(usize, String), Vec<Vec<f64>>> = BTreeMap::new();
    for name in &config.merge_runs {
        let dir = paths.run_dir_of(name);
        let (own, corpus) = test_queries(all, &dir)?;
        background.corpora.push(corpus);
        let known: BTreeSet<&str> = queries.iter().map(|query| query.query_id.as_str()).collect();
        if let Some(twice) = own.iter().find(|query| known.contains(query.query_id.as_str())) {
            Err(BadInput(format!(
                "evaluate.merge_runs: expected runs that test different queries, found query `{}` of {} in an earlier run too; \
                 set ingest.split.folds, and another test_fold for each run",
                twice.query_id,
                dir.display()
            )))?;
        }
        let evaluation = StageDir::open(&dir, "evaluate")?;
        refuse_outdated(paths, &dir)?;
        let answers = evaluation.table("runs")?;
        let answers = Answers::of(&answers)?;
        // Interpolated systems are made anew: each fold's weight from the others.
        for system in answers.systems().filter(|system| !is_interpolated(system)) {
            let scores = own.iter().map(|query| answers.scores(system, query, &dir)).collect::<Result<Vec<_>, _>>()?;
            merged.entry((order(system), system.to_string())).or_default().extend(scores);
        }
        queries.extend(own);
        folds.push(queries.len());
    }
    let whole = |(_, system): &(usize, String), scores: &Vec<Vec<f64>>| {
        let found = scores.len();
        if found == queries.len() {
            return Ok(());
        }
        Err(BadInput(format!(
            "evaluate.merge_runs: expected answers of system `{system}` to the {} test queries of all runs, found {found}; \
             evaluate every run with the same configuration",
            queries.len()
        )))
    };
    merged.iter().try_for_each(|(system, scores)| whole(system, scores))?;
    let runs = merged.into_iter().map(|((_, system), scores)| SystemRun { system, scores, weights: Vec::new() });
    let mut runs: Vec<SystemRun> = runs.collect();
    if config.interpolate {
        runs.extend(across_folds(&runs, &queries, &folds, &config.validation())?);
    }
    Ok(Answered { queries, runs, background })
}

/// Refuses an evaluation that was made from other tables than the run now holds.
fn refuse_outdated(paths: &RunPaths, run_dir: &Path) -> anyhow::Result<()> {
    let Some(Outdated { path, changed, .. }) = outdated(paths, run_dir, ["evaluate"])? else { return Ok(()) };
    Err(BadInput(format!(
        "{}: expected an evaluation of the run's present tables, found that {changed} has changed since; re-run evaluate of \
         that run",
        path.display(),
    )))?
}

fn test_queries(config: &Config, run_dir: &Path) -> anyhow::Result<(Vec<TestQuery>, Corpus)> {
    let ingest = StageDir::open(run_dir, "ingest")?;
    let collection = Collection::read(|stage| StageDir::open(run_dir, stage), &config.retrieval)?;
    let lists = candidate_lists(&ingest, &collection, TEST, &config.evaluate.validation())?;
    let mut queries: Vec<TestQuery> = lists.iter().map(|list| TestQuery::of(&collection.corpus, list)).collect();
    slices::read(&ingest, &config.evaluate.slices, &mut queries)?;
    Ok((queries, collection.corpus))
}

/// What the student of an earlier run answered, as the system [`BASELINE`].
///
/// # Errors
/// [`BadInput`] where it did not score all candidates of these queries.
pub(crate) fn baseline(name: &str, paths: &RunPaths, queries: &[TestQuery]) -> anyhow::Result<SystemRun> {
    let dir = paths.run_dir_of(name);
    let answers = StageDir::open(&dir, "evaluate")?.table("runs")?;
    let answers = Answers::of(&answers)?;
    let scores = queries.iter().map(|query| answers.scores(STUDENT, query, &dir)).collect::<Result<_, _>>()?;
    Ok(SystemRun { system: BASELINE.into(), scores, weights: Vec::new() })
}

/// The table `runs` of one run: scores by system, query and document.
struct Answers<'a>(BTreeMap<&'a str, HashMap<(&'a str, &'a str), f64>>);

impl<'a> Answers<'a> {
    fn of(runs: &'a Columns) -> tables::Result<Answers<'a>> {
        let (systems, query_ids) = (runs.strings("system")?, runs.strings("query_id")?);
        let (doc_ids, scores) = (runs.strings("doc_id")?, runs.float64s("score")?);
        let mut answers: BTreeMap<&str, HashMap<(&str, &str), f64>> = BTreeMap::new();
        for row in 0..runs.rows() {
            let pair = (query_ids.value(row), doc_ids.value(row));
            answers.entry(systems.value(row)).or_default().insert(pair, scores.value(row));
        }
        Ok(Answers(answers))
    }

    fn systems(&self) -> impl Iterator<Item = &'a str> {
        self.0.keys().copied()
    }

    fn scores(&self, system: &str, query: &TestQuery, run_dir: &Path) -> Result<Vec<f64>, BadInput> {
        let score = |doc_id: &String| self.0.get(system)?.get(&(query.query_id.as_str(), doc_id.as_str())).copied();
        let score = |doc_id: &String| {
            score(doc_id).ok_or_else(|| {
                BadInput(format!(
                    "{}: expected a score of system `{system}` for query `{}` and document `{doc_id}`, found none; \
                     re-run evaluate of that run with the [evaluate] table of this one",
                    run_dir.join("evaluate/runs").display(),
                    query.query_id
                ))
            })
        };
        query.doc_ids.iter().map(score).collect()
    }
}
