//! The means over pairs that the pairwise losses share.

use super::batch::{Batch, LossValue};

/// The mean of `pair(s_i - s_j)` over the pairs of one list with `label_i > label_j`, over all lists of the batch.
///
/// `pair` returns the loss of a score difference and its derivative. Without any pair the loss and its gradient are 0.
pub(super) fn mean_over_pairs(batch: &Batch<'_>, pair: impl Fn(f64) -> (f64, f64)) -> LossValue {
    mean(batch, |i, j| batch.labels[i] > batch.labels[j], |difference, _| pair(difference))
}

/// The mean of `pair(s_i - s_j, t_i - t_j)` over all pairs of one list, each counted once, over all lists of the batch.
///
/// `pair` returns a loss that is the same for (i, j) and (j, i), and its derivative on the difference of the scores.
/// Without any pair the loss and its gradient are 0.
pub(super) fn mean_over_all_pairs(batch: &Batch<'_>, pair: impl Fn(f64, f64) -> (f64, f64)) -> LossValue {
    mean(batch, |i, j| i < j, pair)
}

/// The mean of `pair` of the differences in score and label, over the pairs of one list that `counts` takes.
fn mean(batch: &Batch<'_>, counts: impl Fn(usize, usize) -> bool, pair: impl Fn(f64, f64) -> (f64, f64)) -> LossValue {
    let difference = |values: &[f32], i: usize, j: usize| f64::from(values[i]) - f64::from(values[j]);
    let (mut sum, mut pairs) = (0.0, 0_usize);
    let mut grad = vec![0.0; batch.scores.len()];
    for list in batch.lists() {
        for i in list.clone() {
            for j in list.clone().filter(|&j| counts(i, j)) {
                let (value, slope) = pair(difference(batch.scores, i, j), difference(batch.labels, i, j));
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
