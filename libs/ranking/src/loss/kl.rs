use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, LossValue, ParameterError};
use super::definition::Definition;

/// Listwise Kullback-Leibler divergence of the scores' softmax from that of the labels, both at a temperature.
///
/// ```text
/// p_i = softmax(t / tau)_i, q_i = softmax(s / tau)_i within each list
/// L   = tau^2 mean over lists of sum_i p_i ln(p_i / q_i)
/// dL/ds_i = tau (q_i - p_i) / lists
/// ```
///
/// Where tau is large beside the differences within a list, the divergence shrinks as 1 / tau^2. The factor tau^2 takes
/// that back, so that the size of the gradient, and with it the learning rate, does not depend on tau there: the loss of
/// a list nears half the variance of its `t_i - s_i`, its part of `margin_mse` up to a factor. Where tau is small the
/// highest labels alone count, and no document's gradient is above tau.
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
    /// The temperature tau that labels and scores are divided by, above 0; a higher one weighs all documents more evenly.
    pub temperature: f64,
}

impl Default for Kl {
    fn default() -> Self {
        Self { temperature: 1.0 }
    }
}

impl Definition for Kl {
    fn check(&self) -> Result<(), ParameterError> {
        let temperature = self.temperature;
        ParameterError::unless(temperature.is_finite() && temperature > 0.0, "temperature", "above 0", temperature)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let tau = self.temperature;
        let (mut sum, mut contributing) = (0.0, 0_usize);
        let mut grad = vec![0.0; batch.scores.len()];
        for list in batch.lists().filter(|list| list.len() > 1) {
            let target = scaled_log_softmax(&batch.labels[list.clone()], tau);
            let found = scaled_log_softmax(&batch.scores[list.clone()], tau);
            for ((g, target), found) in grad[list].iter_mut().zip(target).zip(found) {
                let (p, q) = ((target / tau).exp(), (found / tau).exp());
                sum += tau * p * (target - found);
                *g = tau * (q - p);
            }
            contributing += 1;
        }
        let scale = 1.0 / contributing.max(1) as f64;
        grad.iter_mut().for_each(|g| *g *= scale);
        LossValue::new(sum * scale, &grad).into()
    }
}

/// `tau ln softmax(values / tau)`. The factor keeps it finite at any temperature, however low.
fn scaled_log_softmax(values: &[f32], tau: f64) -> Vec<f64> {
    let max = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let below = values.iter().map(|&value| f64::from(value) - max);
    let sum: f64 = below.clone().map(|gap| (gap / tau).exp()).sum();
    below.map(|gap| gap - tau * sum.ln()).collect()
}
