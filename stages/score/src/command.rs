//! The command line: of the stage, or of scoring a file of pairs outside a pipeline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use models::scoring_precision;
use nn::folder::InputChoice;
use pipeline::config::Precision;
use pipeline::{EXIT_CODES, LogFormat, ShardArgument, local_file, local_folder};
use score_pairs::{Request, score_pairs};
use serde::Deserialize;
use serde::de::IntoDeserializer;

use crate::Score;

#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    stage: pipeline::Arguments,
    #[command(flatten)]
    shard: ShardArgument,
    /// Folder or URL of any saved cross-encoder, which scores --pairs outside a pipeline. A run that was interrupted goes on; with --force
    /// it begins anew, and replaces an output that is there
    #[arg(long, value_name = "DIR", requires_all = ["pairs", "out"], conflicts_with_all = ["config", "overrides", "resume"])]
    model: Option<PathBuf>,
    /// Rows with query, title and summary, and any other columns; a file, or the URL of an object: `.parquet`, or `.jsonl`, `.csv` or `.tsv`, plain or packed as
    /// `.gz`, `.zst`, `.bz2` or `.lz4`
    #[arg(long, value_name = "FILE", requires = "model")]
    pairs: Option<PathBuf>,
    /// Where the same rows are written, with `score`, the raw logit; of the same format as --pairs, text plain or packed as `.gz`
    /// or `.zst`. Scores are kept in the folder `<FILE>.parts` until it is whole
    #[arg(long, value_name = "FILE", requires = "model")]
    out: Option<PathBuf>,
    /// One text with `{query}` and `{document}` in it, or `pair`, for a model of another library that does not say what it reads
    #[arg(long, value_name = "TEXT", requires = "model")]
    template: Option<String>,
    /// Tokens of a query and a document together, for a model of another library; by default as many as it takes
    #[arg(long, value_name = "TOKENS", requires = "model")]
    max_length: Option<usize>,
    /// Precision of matrix products: `f32`, `bf16`, `auto`, which is bf16 where the processor has it, or `int8`
    #[arg(long, value_name = "PRECISION", requires = "model", default_value = "f32", value_parser = parse_precision)]
    precision: Precision,
}

fn parse_precision(text: &str) -> Result<Precision, String> {
    Precision::deserialize(text.into_deserializer()).map_err(|error: serde::de::value::Error| error.to_string())
}

/// The binary's `main`.
#[must_use]
pub fn execute() -> ExitCode {
    let matches = pipeline::described::<Score>(Arguments::command()).get_matches();
    let Arguments { stage, shard, model, pairs, out, template, max_length, precision } =
        Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match (model, pairs, out) {
        (Some(model), Some(pairs), Some(out)) => {
            let choice = InputChoice { template, max_length, ..InputChoice::default() };
            let interrupted = format!(
                "the scores made so far are kept in {}.parts; the same command goes on from there",
                out.display()
            );
            pipeline::execute_alone(stage.log_format, interrupted, || {
                let (model, pairs) = (local_folder(model)?, local_file(pairs)?);
                score_pairs(&Request {
                    model: &model,
                    choice: &choice,
                    precision: scoring_precision(precision),
                    pairs: &pairs,
                    out: &out,
                    force: stage.force,
                    // Tasks of a job array often score a file each: a share has to be asked for.
                    shard: shard.given::<Arguments>(),
                    bars: stage.log_format == LogFormat::Text,
                })
            })
        }
        _ => {
            let shard = shard.shard::<Arguments>(stage.force);
            pipeline::execute_with(&Score { shard }, &stage)
        }
    }
}
