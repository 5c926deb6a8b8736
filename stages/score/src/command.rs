//! The command line: of the stage, or of scoring a file of pairs outside a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pipeline::EXIT_CODES;
use pipeline::config::Precision;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use training::arithmetic;

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
    /// What matrix products multiply: `f32`, `bf16`, or `auto`, which is bf16 where the processor has it
    #[arg(long, value_name = "PRECISION", requires = "model", default_value = "f32", value_parser = parse_precision)]
    precision: Precision,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    Precision::deserialize(text.into_deserializer()).map_err(|error: serde::de::value::Error| error.to_string())
}

/// The binary's `main`.
#[must_use]
pub fn execute() -> ExitCode {
    let Arguments { stage, model, pairs, out, precision } = Arguments::parse();
    match (model, pairs, out) {
        (Some(model), Some(pairs), Some(out)) => {
            pipeline::execute_alone(stage.log_format, || score_pairs(&model, &pairs, &out, arithmetic(precision)))
        }
        _ => pipeline::execute_with(&Score, &stage),
    }
}
