//! `serve`: a cross-encoder over HTTP.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = serve::Arguments::parse();
    pipeline::execute_service(arguments.log_format, arguments.threads, || serve::run(&arguments))
}
