use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput};
use super::definition::Definition;
use super::plackett_luce::negative_log_likelihood;

/// Position-aware ListMLE: ListMLE with more weight on the first positions.
///
/// ```text
/// L    = mean over lists of sum_{i=1}^n w_i (ln sum_{k >= i} e^{s_pi(k)} - s_pi(i))
/// w_i  = alpha(i) / sum_k alpha(k), alpha(i) = 2^(n - i) - 1
///      = (2^-i - 2^-n) / (1 - (n + 1) 2^-n)
/// pi(1), ..., pi(n) = the documents from the highest label to the lowest
/// ```
///
/// The weights alpha are those of the paper. Divided by their sum, as here, they stay finite in lists of any length,
/// and lists of any length weigh the same: the first position has about half of the weight, the second a quarter. Ties
/// and lists of one document are as in [`ListMle`](super::ListMle).
///
/// Lan et al., "Position-Aware ListMLE: A Sequential Learning Process for Ranking", UAI 2014.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PositionAwareListMle {}

impl Definition for PositionAwareListMle {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        negative_log_likelihood(batch, weight).into()
    }
}

/// The weight of position `i` of `n`, which sums to 1 over the positions from 1; `n` is 2 or more.
fn weight(i: usize, n: usize) -> f64 {
    let (i, n) = (i as f64, n as f64);
    ((-i).exp2() - (-n).exp2()) / (1.0 - (n + 1.0) * (-n).exp2())
}
