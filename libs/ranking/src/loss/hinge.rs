use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::check_above_0;
use super::pairs::mean_over_pairs;

/// Pairwise hinge loss.
///
/// ```text
/// L = 1/|P| sum over (i, j) in P of max(0, m - s_i + s_j)
/// P = the pairs of one list with label_i > label_j, over all lists
/// ```
///
/// A pair inside the margin pulls its scores apart with slope 1, a pair on or outside of it (`s_i - s_j >= m`) with 0.
/// Without a pair the loss and its gradient are 0.
///
/// Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression", 2000; the teacher's rank
/// loss of arXiv 2411.04539.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hinge {
    /// The margin m, in logits.
    pub margin: f64,
}

impl Default for Hinge {
    fn default() -> Self {
        Self { margin: 1.0 }
    }
}

impl Definition for Hinge {
    fn check(&self) -> Result<(), ParameterError> {
        check_above_0("margin", self.margin)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        // Scores are f32, and so is the margin between them.
        let margin = f64::from(self.margin as f32);
        let pair = |difference: f64| {
            let violation = margin - difference;
            if violation > 0.0 { (violation, -1.0) } else { (0.0, 0.0) }
        };
        mean_over_pairs(batch, pair).into()
    }
}
