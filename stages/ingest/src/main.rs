//! Raw click logs, documents and judgments to tables.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::execute(&ingest::Ingest)
}
