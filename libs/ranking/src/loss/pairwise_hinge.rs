use super::pairwise::mean_over_pairs;
use super::{LossError, LossValue};

/// Pair-wise hinge loss.
///
/// ```text
/// L = 1/|P| sum over (i, j) in P of max(0, m - s_i + s_j)
/// P = the pairs of one list with grade_i > grade_j, over all lists
/// ```
///
/// A pair inside the margin pulls its scores apart with slope 1, a pair on or outside of it (`s_i - s_j >= m`) with 0.
/// Without a pair the loss and its gradient are 0.
///
/// Herbrich, Graepel and Obermayer, "Large Margin Rank Boundaries for Ordinal Regression", 2000; the teacher's rank
/// loss of arXiv 2411.04539.
///
/// # Shapes
/// `scores` and `grades` (n), `offsets` (lists + 1).
///
/// # Errors
/// [`LossError`] on lengths that differ, bad offsets, scores that are not finite, bad grades or a bad margin.
pub fn pairwise_hinge(scores: &[f32], grades: &[f32], offsets: &[usize], margin: f32) -> Result<LossValue, LossError> {
    if !(margin.is_finite() && margin >= 0.0) {
        return Err(LossError::Margin { found: margin });
    }
    mean_over_pairs(scores, grades, offsets, |difference| {
        let violation = f64::from(margin) - difference;
        if violation > 0.0 { (violation, -1.0) } else { (0.0, 0.0) }
    })
}
