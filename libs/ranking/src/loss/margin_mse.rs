use super::{LossError, LossValue, check_taught, lists};

/// Margin mean squared error: the student's score differences against the teacher's.
///
/// ```text
/// L = 1/|P| sum over {i, j} in P of ((t_i - t_j) - (s_i - s_j))^2
/// P = the pairs of one list, each counted once, over all lists
/// ```
///
/// With `d = t - s`, a list of `n` documents and the mean `m` of its `d`, the pairs of the list sum to
/// `n sum_i d_i^2 - (sum_i d_i)^2 = n sum_i (d_i - m)^2`, so that the cost is linear in the batch, and
/// `dL/ds_i = -2 n (d_i - m) / |P|`. The centred form is the one computed: it does not cancel where teacher and student
/// differ by a large constant. Lists of one document have no pair; without any pair the loss and its gradient are 0.
///
/// Hofstätter et al., "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation",
/// arXiv 2010.02666, over all pairs of a list as in arXiv 2411.04539.
///
/// # Shapes
/// `student` and `teacher` (n), `offsets` (lists + 1).
///
/// # Errors
/// [`LossError`] on lengths that differ, bad offsets or scores that are not finite.
pub fn margin_mse(student: &[f32], teacher: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
    check_taught(student, teacher)?;
    let (mut sum, mut pairs) = (0.0, 0.0);
    let mut grad = vec![0.0; student.len()];
    for list in lists(offsets, student.len())? {
        let n = list.len() as f64;
        let gap = |i: usize| f64::from(teacher[i]) - f64::from(student[i]);
        let mean = list.clone().map(gap).sum::<f64>() / n;
        for i in list {
            let centred = gap(i) - mean;
            sum += n * centred * centred;
            grad[i] = -2.0 * n * centred;
        }
        pairs += n * (n - 1.0) / 2.0;
    }
    let scale = if pairs > 0.0 { 1.0 / pairs } else { 0.0 };
    grad.iter_mut().for_each(|g| *g *= scale);
    Ok(LossValue::new(sum * scale, &grad))
}
