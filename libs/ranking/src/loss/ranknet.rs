use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput};
use super::definition::Definition;
use super::functions::{sigmoid, softplus};
use super::pairs::mean_over_all_pairs;

/// RankNet with soft targets: the probability that one document is better than another, against that of the labels.
///
/// ```text
/// L    = 1/|P| sum over {i, j} in P of -p_ij ln q_ij - (1 - p_ij) ln(1 - q_ij)
/// p_ij = sigmoid(t_i - t_j), q_ij = sigmoid(s_i - s_j)
/// P    = the pairs of one list, each counted once, over all lists
/// ```
///
/// A pair's derivative on `s_i` is `q_ij - p_ij`, so that the loss is least where scores and labels differ by a
/// constant of the list; its value there is the entropy of the targets, not 0. Pairs of equal labels count, with a
/// target of 1/2. Lists of one document have no pair; without any pair the loss and its gradient are 0.
///
/// [`Logistic`](super::Logistic) is RankNet on the order of the labels alone: its target is 1 for the better document
/// of a pair, and pairs of equal labels do not count. This loss nears it as the labels of a list move apart.
///
/// Burges et al., "Learning to Rank using Gradient Descent", ICML 2005, section 3.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RankNet {}

impl Definition for RankNet {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let pair = |score: f64, label: f64| {
            let (above, below) = (sigmoid(label), sigmoid(-label));
            (above * softplus(-score) + below * softplus(score), below * sigmoid(score) - above * sigmoid(-score))
        };
        mean_over_all_pairs(batch, pair).into()
    }
}
