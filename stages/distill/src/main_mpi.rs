//! The stage binary as one of several ranks; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    group::with_ranks(|| pipeline::execute(&distill::Distill))
}
