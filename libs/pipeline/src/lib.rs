//! `pipeline.toml` and the scaffold every stage runs in.
//!
//! A stage implements [`Stage`]; its `main` is one call of [`execute`], which parses the command line, validates the
//! configuration, decides whether there is anything to do, runs the stage into a partial folder, commits it with a
//! manifest and turns errors into one line and an exit code.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod config;
mod counted;
mod execute;
mod exit;
mod freshness;
mod interrupt;
mod lineage;
mod lock;
mod log;
mod objects;
mod paths;
mod progress;
mod ranks;
mod shard;
mod stage;

pub use config::{ConfigError, Pipeline};
pub use counted::counted;
pub use execute::{Arguments, EXIT_CODES, described, execute, execute_alone, execute_service, execute_with};
pub use exit::{BadInput, Regression, guarded};
pub use lineage::{Outdated, outdated};
pub use log::LogFormat;
pub use objects::{fetch_objects, is_fetched, local_file, local_folder};
pub use paths::{RunPaths, without_detours};
pub use progress::Progress;
pub use shard::{Shard, ShardArgument};
pub use stage::{About, Input, NothingToDo, Stage, StageContext, stages};
