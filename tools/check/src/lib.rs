//! Says what a pipeline file means before anything runs: the first records of each input as `ingest` reads them, the models, and
//! how long a run takes and what it needs, as an estimate. Nothing is written but copies of objects, which the run would fetch too.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod estimate;
mod inputs;
mod models;
mod numbers;

use std::io::{ErrorKind, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use ingest::Ingest;
use ingest::sample::{self, Input};
use pipeline::config::load;
use pipeline::{ConfigError, EXIT_CODES, LogFormat, NothingToDo, Pipeline, Stage};

use crate::estimate::{Estimate, Speed};
use crate::models::Models;

/// The command line.
#[derive(Debug, Parser)]
#[command(
    version,
    about = "Says what a pipeline file means and what the first records of its inputs are, before anything runs",
    after_help = EXIT_CODES
)]
pub struct Arguments {
    /// The pipeline file; relative paths in it start at its folder
    #[arg(long, value_name = "FILE", default_value = "pipeline.toml")]
    pub config: PathBuf,
    /// Overrides one key of the pipeline file; may be given many times, later ones win
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How warnings are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Reads the first records of the inputs, looks at the models, and prints what is understood.
///
/// # Errors
/// The first of what a stage would refuse: [`ConfigError`] for a bad configuration, [`pipeline::BadInput`] for inputs.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    let paths = pipeline.paths();
    let settings =
        Ingest::default().configure(&pipeline).map_err(|NothingToDo(reason)| ConfigError::Unusable(reason))?;
    let config = arguments.config.display();
    say(&format!("{config}: the keys are valid; the run will be in {}\n", paths.run_dir().display()))?;

    let mut first = None;
    let mut inputs = Vec::new();
    for mut input in sample::inputs(&settings, &paths) {
        let problem = input.problem.take().filter(|problem| !is_still_to_be_made(&pipeline, problem));
        say(&inputs::text(&input, problem.is_some()))?;
        input.warnings.iter().for_each(|warning| tracing::warn!("{}: {warning}", input.name));
        note(&mut first, problem)?;
        inputs.push(input);
    }
    if pipeline.ingest.grades_from_clicks() {
        say("\njudgments (ingest.judgments)\n  grades from 0 to 4 are made of the log's clicks\n")?;
    } else if !pipeline.is_judged() {
        say("\njudgments (ingest.judgments)\n  none: systems are measured by the teacher's order of the documents\n")?;
    }
    let mut models = Models::of(&pipeline);
    say(&models.text(&pipeline))?;
    note(&mut first, models.problem.take())?;
    match first {
        Some(problem) => Err(problem),
        None => {
            let speed = Speed::new(&pipeline)?;
            say(&Estimate::new(&pipeline, &inputs, &models, speed)?.text())
        }
    }
}

/// True of files that the pipeline's own stage `simulate` makes, which has not run.
fn is_still_to_be_made(pipeline: &Pipeline, problem: &anyhow::Error) -> bool {
    let missing =
        |error: &tables::Error| matches!(error, tables::Error::MissingStage { stage, .. } if stage == "simulate");
    pipeline.simulate.is_some() && problem.downcast_ref().is_some_and(missing)
}

/// Prints a problem, and keeps the first.
fn note(first: &mut Option<anyhow::Error>, problem: Option<anyhow::Error>) -> anyhow::Result<()> {
    if let Some(problem) = problem {
        say(&format!("  refused: {problem:#}\n"))?;
        first.get_or_insert(problem);
    }
    Ok(())
}

fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Who has read enough needs no more.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.context("stdout: writing failed"),
    }
}

/// The input of this name, where its records could be read.
fn named<'i>(inputs: &'i [Input], name: &str) -> Option<&'i Input> {
    inputs.iter().find(|input| input.name == name && input.records > 0)
}
