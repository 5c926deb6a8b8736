//! What finished runs have measured: quality from the tables of `evaluate`, size and latency from the models.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use collection::{Collection, TEST, graded_lists};
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, load_ranker};
use nn::text::Texts;
use pipeline::config::RetrievalConfig;
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

/// The quality of `system` as the finished evaluation of a run has it; `None` where there is none.
pub(crate) fn quality(run_dir: &Path, system: &str) -> anyhow::Result<Option<Quality>> {
    let evaluation = match StageDir::open(run_dir, "evaluate") {
        Err(tables::Error::MissingStage { .. }) => return Ok(None),
        evaluation => evaluation?,
    };
    let metrics = evaluation.table("metrics")?;
    let (systems, names) = (metrics.strings("system")?, metrics.strings("metric")?);
    let (slices, values) = (metrics.strings("slice")?, metrics.float64s("value")?);
    let of = |name: &str| {
        let mut rows = 0..metrics.rows();
        let row = rows.find(|&row| (systems.value(row), names.value(row), slices.value(row)) == (system, name, "all"));
        row.map(|row| values.value(row))
    };
    let ndcg = of("ndcg@10").with_context(|| format!("{}: no ndcg@10 of {system}", evaluation.path().display()))?;
    Ok(Some(Quality { ndcg, pnr: of("pnr").unwrap_or(f64::NAN) }))
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

/// Median milliseconds of a list of [`PAGE`] documents, from the texts to the scores, with one thread.
pub(crate) fn latency(run_dir: &Path, system: &str) -> anyhow::Result<f64> {
    let model = CrossEncoder::open(&folder(run_dir, system), Execution::default())?;
    let ingest = StageDir::open(run_dir, "ingest")?;
    let collection = Collection::read(|stage| StageDir::open(run_dir, stage), &RetrievalConfig::default())?;
    let (lists, _) = graded_lists(&ingest, &collection.corpus, TEST)?;
    let pages = lists.iter().filter(|list| list.documents.len() >= PAGE).map(|list| {
        let page = list.documents.iter().take(PAGE);
        page.map(|&document| collection.corpus.texts(list.query, document)).collect::<Vec<Texts<'_>>>()
    });
    let pages: Vec<_> = pages.collect();
    anyhow::ensure!(!pages.is_empty(), "no test query has {PAGE} judged documents");
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
