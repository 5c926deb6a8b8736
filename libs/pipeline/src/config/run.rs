//! The `[run]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// Settings of all stages.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Name of the run, its folder below `root`: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Folder of all runs, relative to the configuration file.
    #[serde(default = "root")]
    pub root: String,
    /// Seed of all random numbers.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Worker threads; 0 means one per core.
    #[serde(default)]
    pub threads: usize,
    /// Precision of the matrix products of models.
    #[serde(default)]
    pub precision: Precision,
}

/// Precision of the operands of matrix products; sums, weights and optimizer state are always `f32`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// Operands rounded to bfloat16: faster on AMD's processors with AVX-512 BF16 and Intel's with AMX, slower on others.
    Bf16,
    /// `bf16` where it is faster, else `f32`.
    Auto,
    /// Whole numbers of 8 bits where a model only scores, in `embed`, `score` and `evaluate`.
    /// Trainings are as with `auto`.
    Int8,
}

default_fn!(root: String = "data/runs".into());
default_fn!(seed: u64 = 42);

/// The rule for names of runs, for messages.
pub(super) const RUN_NAME: &str = "letters, digits, `-`, `_` and `.`, not starting with a dot";

/// True if a run may have this name.
pub(super) fn is_run_name(name: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(named)
}

impl RunConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(is_run_name(&self.name), "run.name", RUN_NAME, &self.name);
        checks.local("run.root", &self.root);
        checks.require(self.threads <= 1024, "run.threads", "at most 1024", &self.threads);
    }
}
