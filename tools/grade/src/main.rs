//! `grade`: a sample of a run's queries and documents, graded by a language model.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = grade::Arguments::parse();
    pipeline::execute_alone(arguments.log_format, || grade::run(&arguments))
}
