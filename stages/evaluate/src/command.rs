//! The command line: of the stage, or of an evaluation of TREC files outside a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use pipeline::{EXIT_CODES, ShardArgument};

use crate::Evaluate;
use crate::files_command::{Request, evaluate_files};

#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    stage: pipeline::Arguments,
    #[command(flatten)]
    shard: ShardArgument,
    /// Exit code 4 where the verdict on the student beside evaluate.baseline is REGRESSION, or with --qrels that on any run beside the
    /// baseline
    #[arg(long)]
    fail_on_regression: bool,
    /// Judgments on which each --run is evaluated outside a pipeline, as TREC has them (query, iteration, document, grade), or as test
    /// collections of BEIR (header query-id, corpus-id, score). Conventions and metrics are given as --set evaluate.KEY=VALUE
    #[arg(long, value_name = "FILE", requires_all = ["runs", "out"], conflicts_with_all = ["config", "resume", "shard"])]
    qrels: Option<PathBuf>,
    /// A run as TREC has it: query, Q0, document, rank, score, name; may be given many times
    #[arg(long = "run", value_name = "NAME=FILE", requires = "qrels", value_parser = parse_run)]
    runs: Vec<(String, PathBuf)>,
    /// The folder where tables and report are written; one that is there is replaced with --force alone
    #[arg(long, value_name = "FOLDER", requires = "qrels")]
    out: Option<PathBuf>,
    /// The run that all others are compared with, with a verdict; the first without this option
    #[arg(long, value_name = "NAME", requires = "qrels")]
    baseline: Option<String>,
}

fn parse_run(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("expected NAME=FILE")?;
    Ok((name.to_string(), PathBuf::from(file)))
}

/// The binary's `main`.
#[must_use]
pub fn execute() -> ExitCode {
    let matches = pipeline::described::<Evaluate>(Arguments::command()).get_matches();
    let Arguments { stage, shard, fail_on_regression, qrels, runs, out, baseline } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match (qrels, out) {
        (Some(qrels), Some(out)) => {
            let request = Request {
                qrels: &qrels,
                runs: &runs,
                out: &out,
                baseline: baseline.as_deref(),
                overrides: &stage.overrides,
                force: stage.force,
                fail_on_regression,
            };
            let interrupted = format!("{} stays as it was; the same command begins again", out.display());
            pipeline::execute_alone(stage.log_format, interrupted, || evaluate_files(&request))
        }
        _ => {
            let shard = shard.shard::<Arguments>(stage.force);
            pipeline::execute_with(&Evaluate { fail_on_regression, shard }, &stage)
        }
    }
}
