//! The stage as its users run it: files in, tables, an error line and an exit code out.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod formats;
mod queries;
mod real_log;
mod rejects;
mod run;
