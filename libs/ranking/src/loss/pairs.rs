//! The mean over preference pairs that the pairwise losses share.

use super::batch::{Batch, LossValue};

/// The mean of `pair(s_i - s_j)` over the pairs of one list with `label_i > label_j`, over all lists of the batch.
///
/// `pair` returns the loss of a score difference and its derivative. Without any pair the loss and its gradient are 0.
pub(super) fn mean_over_pairs(batch: &Batch<'_>, pair: impl Fn(f64) -> (f64, f64)) -> LossValue {
    let (scores, labels) = (batch.scores, batch.labels);
    let (mut sum, mut pairs) = (0.0, 0_usize);
    let mut grad = vec![0.0; scores.len()];
    for list in batch.lists() {
        for i in list.clone() {
            for j in list.clone().filter(|&j| labels[i] > labels[j]) {
                let (value, slope) = pair(f64::from(scores[i]) - f64::from(scores[j]));
                sum += value;
                grad[i] += slope;
                grad[j] -= slope;
                pairs += 1;
            }
        }
    }
    let scale = 1.0 / pairs.max(1) as f64;
    grad.iter_mut().for_each(|g| *g *= scale);
    LossValue::new(sum * scale, &grad)
}
