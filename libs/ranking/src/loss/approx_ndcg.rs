use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Labels, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::{check_temperature, gain};
use super::lists::{List, are_equal, mean_over_lists};
use super::ranks::{add_rank_gradient, approximate_ranks, discount, discount_slope, ideal_dcg};

/// ApproxNDCG: one minus the NDCG at differentiable ranks.
///
/// ```text
/// L      = mean over lists of 1 - sum_i (2^grade_i - 1) / log2(1 + rhat_i) / ideal DCG of the list
/// rhat_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / tau)
/// ```
///
/// NDCG is over the whole list. The mean runs over the lists whose grades are not all equal: in the others every order
/// has the same NDCG, and they contribute nothing. The NDCG at approximate ranks of tied documents is not that of any
/// order, as they share the mean of their ranks.
///
/// Qin, Liu and Li, "A General Approximation Framework for Direct Optimization of Information Retrieval Measures",
/// Information Retrieval 13, 2010, whose alpha is 1 / tau; Bruch et al., "Revisiting Approximate Metric Optimization in
/// the Age of Deep Neural Networks", SIGIR 2019. The default temperature is that of TensorFlow Ranking, whose loss is
/// this one less 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ApproxNdcg {
    /// The temperature tau of the approximate ranks, from 0.000001; the lower, the nearer they are to the ranks.
    pub temperature: f64,
}

impl Default for ApproxNdcg {
    fn default() -> Self {
        Self { temperature: 0.1 }
    }
}

impl Definition for ApproxNdcg {
    const LABELS: Labels = Labels::Grades;

    fn check(&self) -> Result<(), ParameterError> {
        check_temperature("temperature", self.temperature)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, |list| self.add_list(list)).into()
    }
}

impl ApproxNdcg {
    fn add_list(&self, list: List<'_>) -> bool {
        if are_equal(list.labels) {
            return false;
        }
        let ideal = ideal_dcg(list.labels);
        let ranks = approximate_ranks(list.scores, self.temperature);
        let mut slopes = Vec::with_capacity(ranks.len());
        *list.sum += 1.0;
        for (rank, &grade) in ranks.into_iter().zip(list.labels) {
            let share = gain(grade) / ideal;
            *list.sum -= share * discount(rank);
            slopes.push(-share * discount_slope(rank));
        }
        add_rank_gradient(list.scores, self.temperature, &slopes, list.grad);
        true
    }
}
