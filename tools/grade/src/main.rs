//! `grade`: a sample of a run's queries and documents, graded by a language model.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = grade::Arguments::parse();
    let interrupted = "the answers so far are kept; the same command goes on from there".to_string();
    pipeline::execute_alone(arguments.log_format, interrupted, || grade::run(&arguments))
}
