//! Raw click logs, documents and judgments to tables.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    pipeline::execute(&ingest::Ingest)
}
