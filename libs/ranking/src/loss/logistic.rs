use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput};
use super::definition::Definition;
use super::functions::{sigmoid, softplus};
use super::pairs::mean_over_pairs;

/// Pairwise logistic loss (RankNet).
///
/// ```text
/// L = 1/|P| sum over (i, j) in P of ln(1 + exp(-(s_i - s_j)))
/// P = the pairs of one list with label_i > label_j, over all lists
/// ```
///
/// Without a pair the loss and its gradient are 0.
///
/// Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Logistic {}

impl Definition for Logistic {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_pairs(batch, |difference| (softplus(-difference), -sigmoid(-difference))).into()
    }
}
