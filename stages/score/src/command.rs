//! The command line: of the stage, or of scoring a file of pairs outside a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pipeline::EXIT_CODES;

use crate::Score;
use crate::pairs::score_pairs;

#[derive(Debug, Parser)]
#[command(version, about = "Scores lists with a pipeline's teacher, or any pairs with any ranker", after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    stage: pipeline::Arguments,
    /// Folder of a saved ranker that scores --pairs, outside a pipeline
    #[arg(long, value_name = "DIR", requires_all = ["pairs", "out"], conflicts_with_all = ["config", "overrides", "force", "resume"])]
    model: Option<PathBuf>,
    /// Rows with query, title and summary, and whatever else; `.jsonl` or `.parquet`
    #[arg(long, value_name = "FILE", requires = "model")]
    pairs: Option<PathBuf>,
    /// Where the same rows go, with `score`, the raw logit; of the same format as --pairs
    #[arg(long, value_name = "FILE", requires = "model")]
    out: Option<PathBuf>,
}

/// The binary's `main`.
#[must_use]
pub fn execute() -> ExitCode {
    let Arguments { stage, model, pairs, out } = Arguments::parse();
    match (model, pairs, out) {
        (Some(model), Some(pairs), Some(out)) => {
            pipeline::execute_alone(stage.log_format, || score_pairs(&model, &pairs, &out))
        }
        _ => pipeline::execute_with(&Score, &stage),
    }
}
