//! `query`: SQL over the tables of a run.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = query::Arguments::parse();
    pipeline::guarded(|| query::run(&arguments))
}
