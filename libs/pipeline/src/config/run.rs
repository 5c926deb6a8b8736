//! The `[run]` table.

use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// What concerns every stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// The run's name: its folder below `root`. Letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Folder of all runs, relative to the configuration file.
    #[serde(default = "root")]
    pub root: String,
    /// Seed of everything random.
    #[serde(default = "seed")]
    pub seed: u64,
    /// Worker threads; 0 takes one for each core.
    #[serde(default)]
    pub threads: usize,
    /// Where models are computed.
    #[serde(default)]
    pub device: Device,
    /// How exactly matrix products are computed.
    #[serde(default)]
    pub precision: Precision,
}

/// What the matrix products of models multiply; sums, weights and optimizer state are `f32` in every case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// Numbers as they are.
    #[default]
    F32,
    /// Numbers rounded to bf16: faster on processors with AVX-512 BF16, slower on others.
    Bf16,
    /// `bf16` where the processor has it, else `f32`.
    Auto,
}

/// Where models are computed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
}

default_fn!(root: String = "data/runs".into());
default_fn!(seed: u64 = 42);

/// What the name of a run is made of.
pub(super) const RUN_NAME: &str = "letters, digits, `-`, `_` and `.`, not starting with a dot";

/// Whether a folder below `root` may be called so.
pub(super) fn is_run_name(name: &str) -> bool {
    let named = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    !name.is_empty() && !name.starts_with('.') && name.chars().all(named)
}

impl RunConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.require(is_run_name(&self.name), "run.name", RUN_NAME, &self.name);
        checks.require(self.threads <= 1024, "run.threads", "at most 1024", &self.threads);
    }
}
