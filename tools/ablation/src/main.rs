//! `ablation`: the paper's comparisons on simulated worlds, one for each seed, as one command that can be interrupted and goes on
//! where it was. It runs the stages' binaries, which stand beside it, and writes the tables of all that is finished.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod claims;
mod comparisons;
mod document;
mod estimate;
mod execute;
mod grades;
mod measure;
mod plan;
mod results;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use pipeline::config::load;
use pipeline::{ConfigError, EXIT_CODES, LogFormat, execute_alone};

use crate::comparisons::{Comparison, Comparisons};
use crate::document::Made;
use crate::estimate::{Step, Timings, duration, steps};
use crate::plan::Run;
use crate::results::Results;

/// Trains what is missing of every condition of every comparison, for each seed, and writes the tables
#[derive(Debug, Parser)]
#[command(name = "ablation", version, after_help = EXIT_CODES)]
struct Arguments {
    /// The pipeline file of the base run, which has a simulated world
    #[arg(long, value_name = "FILE", default_value = "configs/ablation.toml")]
    config: PathBuf,
    /// The document
    #[arg(long, value_name = "FILE", default_value = "docs/results.md")]
    out: PathBuf,
    /// The folder of all runs, in place of <run.root>/<run.name> of the pipeline file
    #[arg(long, value_name = "FOLDER")]
    root: Option<PathBuf>,
    /// The seeds, each a world of its own
    #[arg(long, value_delimiter = ',', default_values_t = [1, 2, 3, 4, 5])]
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
    execute_alone(LogFormat::Text, || run(&arguments))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pipeline = load(&arguments.config, &[])?;
    if pipeline.simulate.is_none() {
        let path = arguments.config.display();
        let reason = "expected the table [simulate], found none; every seed makes a world of its own";
        Err(ConfigError::Unusable(format!("{path}: {reason}")))?;
    }
    let root = std::path::absolute(arguments.root.clone().unwrap_or_else(|| pipeline.paths().run_dir()))?;
    let all = Comparisons::built_in()?;
    let wanted = all.only(&arguments.only)?;
    let runs = planned(arguments, &all, &wanted, &root)?;
    announce(arguments, &runs, &all);
    if arguments.plan {
        return Ok(());
    }
    let failures = execute::make(&runs, &all.seconds)?;
    let results = Results { root: &root, seeds: &arguments.seeds, failures: &failures };
    let every: Vec<&Comparison> = all.comparisons.iter().collect();
    let every = planned(arguments, &all, &every, &root)?;
    let made = Made {
        config: arguments.config.display().to_string(),
        seconds: Timings::of(&steps(&every), &all.seconds).spent(),
        runs: every.len() / arguments.seeds.len(),
    };
    let text = document::text(&all, &results, &made)?;
    files::write_atomically(&arguments.out, text.as_bytes())?;
    tracing::info!("ablation: {} is written; failed runs: {}", arguments.out.display(), failures.len());
    Ok(())
}

/// The runs of all seeds.
fn planned(arguments: &Arguments, all: &Comparisons, wanted: &[&Comparison], root: &Path) -> anyhow::Result<Vec<Run>> {
    let path = &arguments.config;
    let text = std::fs::read_to_string(path).with_context(|| format!("{}: reading failed", path.display()))?;
    let base = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let of_seeds = arguments.seeds.iter().map(|&seed| plan::runs(all, wanted, &base, root, seed));
    Ok(of_seeds.collect::<anyhow::Result<Vec<_>>>()?.concat())
}

/// Says what is missing and how long it will take.
fn announce(arguments: &Arguments, runs: &[Run], all: &Comparisons) {
    let steps = steps(runs);
    let timings = Timings::of(&steps, &all.seconds);
    let missing: Vec<Step<'_>> = steps.iter().copied().filter(|step| !step.is_finished()).collect();
    let left = timings.left(&missing, &all.seconds);
    let basis = match timings.spent() {
        spent if spent > 0.0 => format!("by the {} that the finished stages took", duration(spent)),
        _ => "on two idle cores of an AMD EPYC (Zen 3); the estimate follows this machine while it runs".to_string(),
    };
    tracing::info!(
        "ablation: {} seeds, {} runs; {} of {} trainings are missing, about {} ({basis})",
        arguments.seeds.len(),
        runs.len(),
        missing.iter().filter(|step| step.is_training()).count(),
        steps.iter().filter(|step| step.is_training()).count(),
        duration(left)
    );
}
