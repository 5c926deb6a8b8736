use super::{LossError, LossValue, check_graded, gain, lists};

/// List-wise softmax cross-entropy against the normalised gains.
///
/// ```text
/// p_i = (2^grade_i - 1) / sum_k (2^grade_k - 1)
/// L   = mean over lists of -sum_i p_i ln softmax(s)_i
/// dL/ds_i = (softmax(s)_i - p_i) / lists
/// ```
///
/// The mean runs over the lists that hold a document of a grade above 0; the others have no target and contribute
/// nothing.
///
/// Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet), ICML 2007, with the
/// normalised labels of Bruch et al., "An Analysis of the Softmax Cost Function for Learning to Rank with Binary
/// Relevance", ICTIR 2019, as the target.
///
/// # Shapes
/// `scores` and `grades` (n), `offsets` (lists + 1).
///
/// # Errors
/// [`LossError`] on lengths that differ, bad offsets, scores that are not finite or bad grades.
pub fn listwise_softmax(scores: &[f32], grades: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
    check_graded(scores, grades)?;
    let (mut sum, mut contributing) = (0.0, 0_usize);
    let mut grad = vec![0.0; scores.len()];
    for list in lists(offsets, scores.len())? {
        let total_gain: f64 = grades[list.clone()].iter().copied().map(gain).sum();
        if total_gain == 0.0 {
            continue;
        }
        let log_partition = log_sum_exp(&scores[list.clone()]);
        for i in list {
            let target = gain(grades[i]) / total_gain;
            let log_probability = f64::from(scores[i]) - log_partition;
            sum -= target * log_probability;
            grad[i] = log_probability.exp() - target;
        }
        contributing += 1;
    }
    let scale = 1.0 / contributing.max(1) as f64;
    grad.iter_mut().for_each(|g| *g *= scale);
    Ok(LossValue::new(sum * scale, &grad))
}

/// `ln(sum_i e^{s_i})` without overflow.
fn log_sum_exp(scores: &[f32]) -> f64 {
    let max = f64::from(scores.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = scores.iter().map(|&score| (f64::from(score) - max).exp()).sum();
    max + sum.ln()
}
