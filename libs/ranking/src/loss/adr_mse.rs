use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::check_temperature;
use super::lists::{List, mean_over_lists};
use super::ranks::{add_rank_gradient, approximate_ranks, discount, mean_ranks};

/// Approximate discounted rank mean squared error (ADR-MSE): the ranks of the scores against those of the labels.
///
/// ```text
/// L      = mean over lists of 1/n sum_i (r_i - rhat_i)^2 / log2(1 + r_i)
/// r_i    = rank by label, from 1 for the highest
/// rhat_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / tau)
/// ```
///
/// Only the order of the labels counts. Documents of equal labels share the mean of their ranks, as in
/// sentence-transformers: equal scores then fit them, and their order in the list does not matter. The mean runs over
/// the lists of two documents or more; without any the loss and its gradient are 0. The ranks are bounded, so that a
/// pair far in the wrong order has next to no gradient; a higher temperature tau lets it have one.
///
/// Schlatt et al., "Rank-DistiLLM: Closing the Effectiveness Gap Between Cross-Encoders and LLMs for Passage
/// Re-Ranking", arXiv 2405.07920, ECIR 2025; the approximate ranks are those of Qin, Liu and Li (see
/// [`ApproxNdcg`](super::ApproxNdcg)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AdrMse {
    /// The temperature tau of the approximate ranks, from 0.000001; the lower, the nearer they are to the ranks.
    pub temperature: f64,
}

impl Default for AdrMse {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Definition for AdrMse {
    fn check(&self) -> Result<(), ParameterError> {
        check_temperature("temperature", self.temperature)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, |list| self.add_list(list)).into()
    }
}

impl AdrMse {
    fn add_list(&self, list: List<'_>) -> bool {
        let n = list.scores.len();
        if n < 2 {
            return false;
        }
        let ranks = mean_ranks(list.labels);
        let found = approximate_ranks(list.scores, self.temperature);
        let mut slopes = Vec::with_capacity(n);
        for (rank, found) in ranks.into_iter().zip(found) {
            let weight = discount(rank) / n as f64;
            *list.sum += weight * (found - rank).powi(2);
            slopes.push(2.0 * weight * (found - rank));
        }
        add_rank_gradient(list.scores, self.temperature, &slopes, list.grad);
        true
    }
}
