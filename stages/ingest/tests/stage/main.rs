//! The stage as its users run it: files in, tables, an error line and an exit code out.

// A failed unwrap is a failed test, which is what a test wants.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod formats;
mod queries;
mod real_log;
mod rejects;
mod run;
