//! Stage `evaluate`: every system on the held-out queries, by the metrics of `evaluate.metrics` with confidence intervals and
//! paired tests, as tables, on stdout and as `report.html`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agreement;
mod compare;
mod evaluation;
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
mod stage;
mod summary;
mod systems;

use std::io::Write;

use anyhow::Context;
use pipeline::{BadInput, StageContext};

pub use input::{SystemRun, TestQuery};
pub use stage::{Config, Evaluate};

use evaluation::Evaluation;

/// Measures `runs` on `queries` and writes the tables, the report and the summary on stdout.
///
/// # Errors
/// [`BadInput`] without a query, [`ranking::metrics::MetricError`] on a score that is NaN (named with its system, query
/// and document), and where an earlier stage's output cannot be read.
pub fn evaluate(
    config: &Config,
    context: &mut StageContext,
    queries: &[TestQuery],
    runs: &[SystemRun],
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
    report::write(config, context, &evaluation)?;
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{}", summary::text(&evaluation)).context("stdout: writing failed")?;
    Ok(())
}

#[cfg(test)]
mod tests;
