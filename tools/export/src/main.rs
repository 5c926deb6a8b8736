//! `export`: a saved cross-encoder as ONNX.

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let arguments = export::Arguments::parse();
    pipeline::execute_alone(arguments.log_format, "nothing was written".to_string(), || export::run(&arguments))
}
