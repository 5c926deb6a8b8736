//! What finished runs have measured: quality from the tables of `evaluate`, size and latency from the models.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use collection::{Collection, TEST, graded_lists};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, load_ranker};
use nn::text::Texts;
use pipeline::config::{RetrievalConfig, Retriever};
use rayon::ThreadPoolBuilder;
use tables::StageDir;

/// Documents of a list whose latency is measured: one page of results.
pub(crate) const PAGE: usize = 10;
/// Lists that are timed, after a few that warm the caches.
const TIMED: usize = 60;
const WARM_UP: usize = 5;

/// Quality of a system on the test queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quality {
    pub(crate) ndcg: f64,
    /// Infinite without a discordant pair; NaN without any pair.
    pub(crate) pnr: f64,
}

/// The quality of `system` as the finished evaluation of a run has it; `None` where there is none, or it has no such system.
pub(crate) fn quality(run_dir: &Path, system: &str) -> anyhow::Result<Option<Quality>> {
    let Some(evaluation) = evaluation(run_dir)? else { return Ok(None) };
    let metrics = evaluation.table("metrics")?;
    let (systems, names) = (metrics.strings("system")?, metrics.strings("metric")?);
    let (slices, values) = (metrics.strings("slice")?, metrics.float64s("value")?);
    let of = |name: &str| {
        let mut rows = 0..metrics.rows();
        let row = rows.find(|&row| (systems.value(row), names.value(row), slices.value(row)) == (system, name, "all"));
        row.map(|row| values.value(row))
    };
    Ok(of("ndcg@10").map(|ndcg| Quality { ndcg, pnr: of("pnr").unwrap_or(f64::NAN) }))
}

/// NDCG@10 of `system` for each test query, by its text, as the finished evaluation of a run has it; empty where there is
/// none, or it has no such system: that of a pipeline without a bi-encoder lacks `dense`.
/// Ids are no names of observations: those of a run with a log are not those of the judgments.
pub(crate) fn qualities(run_dir: &Path, system: &str) -> anyhow::Result<Vec<(String, Quality)>> {
    let Some(evaluation) = evaluation(run_dir)? else { return Ok(Vec::new()) };
    let queries = StageDir::open(run_dir, "ingest")?.table("queries")?;
    let (ids, texts) = (queries.strings("query_id")?, queries.strings("query")?);
    let texts: BTreeMap<&str, &str> = (0..queries.rows()).map(|row| (ids.value(row), texts.value(row))).collect();
    let table = evaluation.table("query_metrics")?;
    let (systems, query_ids) = (table.strings("system")?, table.strings("query_id")?);
    let (names, values) = (table.strings("metric")?, table.float64s("value")?);
    let rows = (0..table.rows()).filter(|&row| (systems.value(row), names.value(row)) == (system, "ndcg@10"));
    let found = rows.map(|row| {
        let id = query_ids.value(row);
        let text = texts.get(id).with_context(|| format!("{}: no query {id}", run_dir.display()))?;
        Ok(((*text).to_string(), Quality { ndcg: values.value(row), pnr: f64::NAN }))
    });
    found.collect()
}

/// The finished evaluation of a run.
fn evaluation(run_dir: &Path) -> tables::Result<Option<StageDir>> {
    match StageDir::open(run_dir, "evaluate") {
        Err(tables::Error::MissingStage { .. }) => Ok(None),
        evaluation => evaluation.map(Some),
    }
}

impl Quality {
    /// The mean of some.
    pub(crate) fn mean(of: &[Quality]) -> Quality {
        let mean = |value: fn(&Quality) -> f64| of.iter().map(value).sum::<f64>() / of.len() as f64;
        Quality { ndcg: mean(|quality| quality.ndcg), pnr: mean(|quality| quality.pnr) }
    }
}

/// The folder of a system's model.
fn folder(run_dir: &Path, system: &str) -> PathBuf {
    match system {
        "teacher" => run_dir.join("teacher/rank"),
        student => run_dir.join("distill").join(student),
    }
}

/// Number of weights of a system's model.
pub(crate) fn parameters(run_dir: &Path, system: &str) -> anyhow::Result<usize> {
    let saved = load_ranker(&folder(run_dir, system), &InputChoice::default())?;
    Ok(saved.ranker.params().count())
}

/// Median milliseconds of BM25's first [`PAGE`] documents for a test query, from the texts to the scores, with one thread.
pub(crate) fn latency(run_dir: &Path, system: &str) -> anyhow::Result<f64> {
    let model = CrossEncoder::open(&folder(run_dir, system), Execution::default())?;
    let ingest = StageDir::open(run_dir, "ingest")?;
    let collection = Collection::read(|stage| StageDir::open(run_dir, stage), &RetrievalConfig::default())?;
    let (lists, _) = graded_lists(&ingest, &collection.corpus, TEST)?;
    let queries: Vec<usize> = lists.iter().map(|list| list.query).take(WARM_UP + TIMED).collect();
    let found = collection.best(Retriever::Bm25, &queries, PAGE)?;
    let pages =
        queries.iter().zip(&found).filter(|(_, documents)| documents.len() == PAGE).map(|(&query, documents)| {
            documents.iter().map(|&document| collection.corpus.texts(query, document)).collect::<Vec<Texts<'_>>>()
        });
    let pages: Vec<_> = pages.collect();
    anyhow::ensure!(!pages.is_empty(), "BM25 finds {PAGE} documents for no test query");
    let one_thread = ThreadPoolBuilder::new().num_threads(1).build()?;
    let mut milliseconds = one_thread.install(|| {
        let timed = pages.iter().cycle().take(WARM_UP + TIMED).map(|page| {
            let started = Instant::now();
            model.score(page)?;
            Ok(started.elapsed().as_secs_f64() * 1e3)
        });
        timed.collect::<nn::Result<Vec<f64>>>()
    })?;
    let timed = &mut milliseconds[WARM_UP..];
    timed.sort_unstable_by(f64::total_cmp);
    Ok(timed[timed.len() / 2])
}
