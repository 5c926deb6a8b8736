//! Losses of lists of different weight.

use super::Loss;
use super::batch::{LossError, LossOutput, LossValue};

impl Loss {
    /// The weighted mean of the losses of the lists, each computed alone, and its gradient on the scores:
    ///
    /// ```text
    /// L = sum_l w_l L_l / sum_l w_l
    /// ```
    ///
    /// # Shapes
    /// As [`Self::compute`]; `weights` (lists), above 0.
    ///
    /// # Errors
    /// As [`Self::compute`]; weights that are not above 0, or not one per list.
    pub fn compute_weighted(
        &self,
        scores: &[f32],
        labels: &[f32],
        offsets: &[usize],
        weights: &[f64],
    ) -> Result<LossOutput, LossError> {
        // Refuses what is malformed, before it is cut into lists.
        let whole = self.compute(scores, labels, offsets)?;
        check(weights, offsets.len() - 1)?;
        let sum: f64 = weights.iter().sum();
        let mut total = LossValue { value: 0.0, grad: Vec::with_capacity(scores.len()) };
        let mut components: Vec<_> = whole.components.iter().map(|&(name, _)| (name, 0.0)).collect();
        for (ends, weight) in offsets.windows(2).zip(weights) {
            let (list, own) = (ends[0]..ends[1], ends[0] * self.outputs()..ends[1] * self.outputs());
            let found = self.compute(&scores[own], &labels[list.clone()], &[0, list.len()])?;
            let share = weight / sum;
            total.value += share * found.total.value;
            total.grad.extend(found.total.grad.iter().map(|&slope| (share * f64::from(slope)) as f32));
            for (component, (_, value)) in components.iter_mut().zip(found.components) {
                component.1 += share * value;
            }
        }
        Ok(LossOutput { total, components })
    }
}

/// Checks that each of `lists` lists has a weight.
fn check(weights: &[f64], lists: usize) -> Result<(), LossError> {
    let refuse = |found: String| Err(LossError::Weights { lists, found });
    if weights.len() != lists {
        return refuse(format!("{} weights", weights.len()));
    }
    match weights.iter().find(|weight| !(weight.is_finite() && **weight > 0.0)) {
        Some(weight) => refuse(weight.to_string()),
        None => Ok(()),
    }
}
