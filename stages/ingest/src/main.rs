//! Raw click logs, documents and judgments to tables.

use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};
use ingest::Ingest;
use mimalloc::MiMalloc;
use pipeline::{EXIT_CODES, ShardArgument};

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
struct Arguments {
    #[command(flatten)]
    stage: pipeline::Arguments,
    #[command(flatten)]
    shard: ShardArgument,
}

fn main() -> ExitCode {
    let matches = pipeline::described::<Ingest>(Arguments::command()).get_matches();
    let Arguments { stage, shard } = Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    pipeline::execute_with(&Ingest { shard: shard.shard::<Arguments>(stage.force) }, &stage)
}
