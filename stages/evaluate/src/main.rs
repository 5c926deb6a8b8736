//! The stage binary; see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    evaluate::execute()
}
