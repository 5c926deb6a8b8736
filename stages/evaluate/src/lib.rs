//! Stage `evaluate`: every system on the held-out queries, by the metrics of `evaluate.metrics` with confidence intervals and
//! paired tests, as tables, on stdout and as `report.html`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod command;
mod compare;
mod cost;
mod evaluation;
mod files_command;
#[cfg(test)]
mod fixture;
mod held_out;
mod input;
mod interpolation;
mod measure;
mod merge;
mod model_scores;
mod number;
mod output;
mod report;
mod slices;
mod stage;
mod summary;
mod systems;
mod trec;
mod trec_files;
mod verdicts;

use std::io::Write;

use anyhow::Context;
use pipeline::config::EvaluateConfig;
use pipeline::{BadInput, StageContext};

pub use command::execute;
pub use input::{Attribute, SystemRun, TestQuery};
pub use stage::{Config, Evaluate};

use evaluation::Evaluation;
use input::Background;

/// The program's version.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Measures `runs` on `queries` and writes the tables, the report and the summary on stdout.
///
/// # Errors
/// [`BadInput`] without a query, [`ranking::metrics::MetricError`] on a score that is NaN (named with its system, query
/// and document), and where an earlier stage's output cannot be read.
pub(crate) fn evaluate(
    config: &Config,
    context: &mut StageContext,
    queries: &[TestQuery],
    runs: &[SystemRun],
    background: &Background,
) -> anyhow::Result<()> {
    if queries.is_empty() {
        let judgments = context.paths().run_dir().join("ingest/judgments");
        Err(BadInput(format!(
            "{}: expected judged queries of the split `test`, found none; judge more queries or lower \
             ingest.split.train, then re-run stage `ingest`",
            judgments.display()
        )))?;
    }
    let evaluation = Evaluation::new(queries, runs, &config.evaluate, config.seed)?;
    output::write(context, &evaluation)?;
    trec::write_runs(&evaluation, context.out())?;
    report::write(config, context, &evaluation, background)?;
    print(&evaluation, &config.evaluate)
}

/// Writes the summary on stdout.
fn print(evaluation: &Evaluation, config: &EvaluateConfig) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{}", summary::text(evaluation, config)).context("stdout: writing failed")
}

#[cfg(test)]
mod tests;
