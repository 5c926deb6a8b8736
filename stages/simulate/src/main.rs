//! The `simulate` stage's binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    pipeline::execute(&simulate::Simulate)
}
