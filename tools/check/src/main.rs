//! `check`: what a pipeline file means, and what the first records of its inputs are.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = check::Arguments::parse();
    pipeline::execute_alone(arguments.log_format, "nothing was written".to_string(), || check::run(&arguments))
}
