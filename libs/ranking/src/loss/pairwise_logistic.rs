use super::pairwise::mean_over_pairs;
use super::{LossError, LossValue, sigmoid, softplus};

/// Pair-wise logistic loss (RankNet).
///
/// ```text
/// L = 1/|P| sum over (i, j) in P of ln(1 + exp(-(s_i - s_j)))
/// P = the pairs of one list with grade_i > grade_j, over all lists
/// ```
///
/// Without a pair the loss and its gradient are 0.
///
/// Burges et al., "Learning to Rank using Gradient Descent", ICML 2005.
///
/// # Shapes
/// `scores` and `grades` (n), `offsets` (lists + 1).
///
/// # Errors
/// [`LossError`] on lengths that differ, bad offsets, scores that are not finite or bad grades.
pub fn pairwise_logistic(scores: &[f32], grades: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
    mean_over_pairs(scores, grades, offsets, |difference| (softplus(-difference), -sigmoid(-difference)))
}
