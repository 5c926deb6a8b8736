use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::{check_temperature, log_sum_exp, sigmoid, softplus};
use super::lists::{List, are_equal, mean_over_lists};

/// Contrastive loss (InfoNCE) within the list: the best document against the others.
///
/// ```text
/// L = mean over lists of 1/|B| sum_{b in B} -ln(e^{s_b / tau} / (e^{s_b / tau} + sum_{k not in B} e^{s_k / tau}))
/// B = the documents of the list with its highest label
/// ```
///
/// Where several documents share the highest label, each stands alone against those below it, never against the others
/// of B, and the list has the mean of their losses. Below the highest, labels make no difference. The mean runs over
/// the lists whose labels are not all equal; without any the loss and its gradient are 0. The gradient is at most 1 /
/// tau per document: it grows as tau falls.
///
/// Gao, Dai and Callan, "Rethink Training of BERT Rerankers in Multi-Stage Retrieval Pipeline", ECIR 2021 (localized
/// contrastive estimation); van den Oord, Li and Vinyals, "Representation Learning with Contrastive Predictive Coding",
/// arXiv 1807.03748, section 2.3.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InfoNce {
    /// The temperature tau that the scores are divided by, from 0.000001; the lower, the more the best of the others
    /// counts.
    pub temperature: f64,
}

impl Default for InfoNce {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Definition for InfoNce {
    fn check(&self) -> Result<(), ParameterError> {
        check_temperature("temperature", self.temperature)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, |list| self.add_list(list)).into()
    }
}

impl InfoNce {
    fn add_list(&self, list: List<'_>) -> bool {
        if are_equal(list.labels) {
            return false;
        }
        let highest = list.labels.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let scaled = |&score: &f32| f64::from(score) / self.temperature;
        let is_best = |label: &f32| *label == highest;
        let documents = list.scores.iter().zip(list.labels);
        let others =
            log_sum_exp(documents.clone().filter(|(_, label)| !is_best(label)).map(|(score, _)| scaled(score)));
        let share = 1.0 / list.labels.iter().filter(|label| is_best(label)).count() as f64;
        // The mean probability that the others take from the best.
        let mut taken = 0.0;
        for ((score, _), g) in documents.clone().zip(list.grad.iter_mut()).filter(|((_, label), _)| is_best(label)) {
            let below = others - scaled(score);
            *list.sum += share * softplus(below);
            *g = -share * sigmoid(below) / self.temperature;
            taken += share * sigmoid(below);
        }
        for ((score, _), g) in documents.zip(list.grad.iter_mut()).filter(|((_, label), _)| !is_best(label)) {
            *g = taken * (scaled(score) - others).exp() / self.temperature;
        }
        true
    }
}
