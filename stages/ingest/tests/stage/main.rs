//! The stage as its users run it: files in, tables, an error line and an exit code out.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

mod bad_input;
mod clicks;
mod events;
mod formats;
mod grades;
mod ids;
mod incremental;
mod kills;
mod layouts;
mod loss;
mod missing_values;
mod mutations;
mod presets;
mod privacy;
mod queries;
mod real_log;
mod rejects;
mod run;
mod searches;
mod text;
mod times;
