use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::{check_above_0, check_temperature, scaled_log_softmax};
use super::lists::{List, mean_over_lists};

/// Listwise Kullback-Leibler divergence of the scores' softmax from that of the labels, each at a temperature.
///
/// ```text
/// p_i = softmax(t / tau_t)_i, q_i = softmax(s / tau)_i within each list
/// L   = tau^2 mean over lists of sum_i p_i ln(p_i / q_i)
/// dL/ds_i = tau (q_i - p_i) / lists
/// ```
///
/// The temperature of the labels tau_t is tau unless `label_temperature` gives another.
///
/// Where tau is large beside the differences within a list, the divergence shrinks as 1 / tau^2. The factor tau^2 takes
/// that back, so that the size of the gradient, and with it the learning rate, does not depend on tau there: the loss
/// of a list nears half the variance of its `t_i - s_i`, its part of `margin_mse` up to a factor. Where tau is small
/// the highest labels alone count, and no document's gradient is above tau.
///
/// The factor is that of the scores' temperature alone: `label_temperature` changes the target p, not the scale that
/// the gradient is written in. The loss is 0 at `s = (tau / tau_t) t` plus a constant, so that a tau_t below tau asks
/// for scores further apart than the labels, and one above it for scores closer together; where both are large, the
/// loss of a list nears half the variance of its `(tau / tau_t) t_i - s_i`.
///
/// The labels are logits, grades as well as a teacher's scores; a shift of all labels or all scores of a list changes
/// nothing. The mean runs over the lists of two documents or more: the others have no distribution to learn. Without
/// any the loss and its gradient are 0.
///
/// Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531, section 2 for the
/// temperature and tau^2; over the documents of a list it is ListNet's top-one loss (Cao et al., ICML 2007) less the
/// labels' entropy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Kl {
    /// The temperature tau that scores and labels are divided by, above 0; a higher one weighs all documents more
    /// evenly.
    pub temperature: f64,
    /// The temperature that the labels are divided by instead, from 0.000001; `temperature` where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_temperature: Option<f64>,
}

impl Default for Kl {
    fn default() -> Self {
        Self { temperature: 1.0, label_temperature: None }
    }
}

impl Definition for Kl {
    fn check(&self) -> Result<(), ParameterError> {
        check_above_0("temperature", self.temperature)?;
        self.label_temperature.map_or(Ok(()), |temperature| check_temperature("label_temperature", temperature))
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, |list| self.add_list(list)).into()
    }
}

impl Kl {
    fn add_list(&self, list: List<'_>) -> bool {
        if list.scores.len() < 2 {
            return false;
        }
        let (tau, label_tau) = (self.temperature, self.label_temperature.unwrap_or(self.temperature));
        let target = scaled_log_softmax(list.labels, label_tau);
        let found = scaled_log_softmax(list.scores, tau);
        for ((g, target), found) in list.grad.iter_mut().zip(target).zip(found) {
            let (p, q) = ((target / label_tau).exp(), (found / tau).exp());
            // A probability that underflows adds nothing, whatever its logarithm.
            if p > 0.0 {
                *list.sum += tau * p * (target * (tau / label_tau) - found);
            }
            *g = tau * (q - p);
        }
        true
    }
}
