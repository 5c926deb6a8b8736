//! `ablation`: the paper's comparisons over several seeds, as one command that can be interrupted and goes on where it was: on
//! simulated worlds, or with real models on a test collection. It runs the stages' binaries, which stand beside it, and writes the tables of all that is finished.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod claims;
mod document;
mod estimate;
mod execute;
mod grades;
mod measure;
mod plan;
mod results;
mod study;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use pipeline::config::{load, read_table};
use pipeline::{ConfigError, EXIT_CODES, LogFormat, execute_alone};

use crate::document::Made;
use crate::estimate::{Step, Timings, duration, steps};
use crate::plan::Run;
use crate::results::Results;
use crate::study::{Comparison, Name, Study};

/// Trains what is missing of every condition of every comparison, for each seed, and writes the tables
#[derive(Debug, Parser)]
#[command(name = "ablation", version, after_help = EXIT_CODES)]
struct Arguments {
    /// What is compared
    #[arg(long, value_enum, default_value = "simulated")]
    study: Name,
    /// The pipeline file of the base run; the study's own by default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A key of the pipeline file that has another value, such as teacher.base=/models/llm; may be given many times
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    overrides: Vec<String>,
    /// The document; the study's own by default
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The folder of all runs, in place of <run.root>/<run.name> of the pipeline file
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// The seeds; the study's own by default
    #[arg(long, value_delimiter = ',')]
    seeds: Vec<u64>,
    /// Runs the conditions of this comparison alone; may be given many times
    #[arg(long, value_name = "COMPARISON")]
    only: Vec<String>,
    /// Says what is missing and how long it will take, and does nothing
    #[arg(long)]
    plan: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let interrupted = "finished stages and the checkpoints of the others are kept; the same command goes on from there";
    execute_alone(LogFormat::Text, interrupted.to_string(), || run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut study = Study::of(arguments.study)?;
    study.config = arguments.config.clone().unwrap_or(study.config);
    study.out = arguments.out.clone().unwrap_or(study.out);
    if !arguments.seeds.is_empty() {
        study.seeds.clone_from(&arguments.seeds);
    }
    let pipeline = load(&study.config, &arguments.overrides)?;
    if arguments.study == Name::Simulated && pipeline.simulate.is_none() {
        let path = study.config.display();
        let reason = "expected the table [simulate], found none; every seed makes a world of its own";
        Err(ConfigError::Unusable(format!("{path}: {reason}")))?;
    }
    let root = std::path::absolute(arguments.root.clone().unwrap_or_else(|| pipeline.paths().run_dir()))?;
    let mut base = read_table(&study.config, &arguments.overrides)?;
    let folder = study.config.parent().unwrap_or(Path::new("."));
    plan::anchor(&mut base, &std::path::absolute(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })?);
    let planned = |wanted: &[&Comparison]| {
        let of_seeds = study.seeds.iter().map(|&seed| plan::runs(&study, wanted, &base, &root, seed));
        Ok::<Vec<Run>, anyhow::Error>(of_seeds.collect::<anyhow::Result<Vec<_>>>()?.concat())
    };
    let runs = planned(&study.only(&arguments.only)?)?;
    announce(&study, &runs);
    if arguments.plan {
        return Ok(());
    }
    let failures = execute::make(&runs, &study.seconds)?;
    let (seeds, observation) = (&study.seeds, study.observation);
    let results = Results { root: &root, seeds, observation, failures: &failures };
    let every = planned(&study.comparisons.iter().collect::<Vec<_>>())?;
    let made = Made {
        config: study.config.display().to_string(),
        seconds: Timings::of(&steps(&every), &study.seconds).spent(),
        runs: every.len() / study.seeds.len(),
    };
    let text = document::text(&study, &results, &made)?;
    files::write_atomically(&study.out, text.as_bytes())?;
    tracing::info!("ablation: {} is written; failed runs: {}", study.out.display(), failures.len());
    Ok(())
}

/// Says what is missing and how long it will take.
fn announce(study: &Study, runs: &[Run]) {
    let steps = steps(runs);
    let timings = Timings::of(&steps, &study.seconds);
    let missing: Vec<Step<'_>> = steps.iter().copied().filter(|step| !step.is_finished()).collect();
    let left = timings.left(&missing, &study.seconds);
    let basis = match timings.spent() {
        spent if spent > 0.0 => format!("by the {} that the finished stages took", duration(spent)),
        _ => "by the machine that the study names; the estimate follows this one while it runs".to_string(),
    };
    tracing::info!(
        "ablation: {} seeds, {} runs; {} of {} trainings are missing, about {} ({basis})",
        study.seeds.len(),
        runs.len(),
        missing.iter().filter(|step| step.is_training()).count(),
        steps.iter().filter(|step| step.is_training()).count(),
        duration(left)
    );
}
