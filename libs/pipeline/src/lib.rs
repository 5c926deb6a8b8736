//! `pipeline.toml` and the scaffold every stage runs in.
//!
//! A stage implements [`Stage`]; its `main` is one call of [`execute`], which parses the command line, validates the
//! configuration, decides whether there is anything to do, runs the stage into a partial folder, commits it with a
//! manifest and turns errors into one line and an exit code.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod execute;
mod exit;
mod freshness;
mod log;
mod progress;
mod stage;

pub use config::{ConfigError, Pipeline};
pub use execute::{Arguments, EXIT_CODES, execute, execute_alone, execute_with};
pub use exit::{BadInput, guarded};
pub use log::LogFormat;
pub use progress::Progress;
pub use stage::{Input, Stage, StageRun};
