//! The `[ingest.split]` table.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;

/// Shares of the queries, assigned by a hash of the normalised text; the rest is the test split.
///
/// With `folds`, for cross-validation, the test split is one fold of the judged queries instead, and all other queries are
/// divided in the proportion of `train` to `validation`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share for training.
    pub train: f64,
    /// Share for validation.
    pub validation: f64,
    /// Number of folds of the judged queries: in the order of their ids (numbers by value), the n-th, counted from 1, is in
    /// fold n mod `folds`.
    pub folds: Option<usize>,
    /// The fold that is the test split, counted from 0.
    pub test_fold: usize,
}

impl Default for SplitConfig {
    fn default() -> Self {
        SplitConfig { train: 0.6, validation: 0.1, folds: None, test_fold: 0 }
    }
}

impl SplitConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.fraction("ingest.split.train", self.train);
        checks.fraction("ingest.split.validation", self.validation);
        let sum = self.train + self.validation;
        checks.require(sum < 1.0, "ingest.split", "train + validation below 1, the rest is test", &sum);
        if let Some(folds) = self.folds {
            checks.at_least("ingest.split.folds", folds, 2);
            checks.require(self.train > 0.0, "ingest.split.train", "a share above 0 beside folds", &self.train);
        }
        let folds = self.folds.unwrap_or(1);
        let expected = format!("a fold below {folds}");
        checks.require(self.test_fold < folds, "ingest.split.test_fold", &expected, &self.test_fold);
    }
}
