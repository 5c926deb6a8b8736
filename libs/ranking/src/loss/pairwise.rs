//! The mean over preference pairs that the pair-wise losses share.

use super::{LossError, LossValue, check_graded, lists};

/// The mean of `pair(s_i - s_j)` over the pairs of one list with `grade_i > grade_j`, over all lists of the batch.
///
/// `pair` returns the loss of a score difference and its derivative. Without any pair the loss and its gradient are 0.
pub(super) fn mean_over_pairs(
    scores: &[f32],
    grades: &[f32],
    offsets: &[usize],
    pair: impl Fn(f64) -> (f64, f64),
) -> Result<LossValue, LossError> {
    check_graded(scores, grades)?;
    let (mut sum, mut pairs) = (0.0, 0_usize);
    let mut grad = vec![0.0; scores.len()];
    for list in lists(offsets, scores.len())? {
        for i in list.clone() {
            for j in list.clone().filter(|&j| grades[i] > grades[j]) {
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
    Ok(LossValue::new(sum * scale, &grad))
}
