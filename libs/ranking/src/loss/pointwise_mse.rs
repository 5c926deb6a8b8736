use super::{LossError, LossValue, check_taught};

/// Point-wise mean squared error of the student's scores against the teacher's.
///
/// ```text
/// L = 1/n sum_i (t_i - s_i)^2
/// dL/ds_i = -2 (t_i - s_i) / n
/// ```
///
/// The point-wise part of the distillation loss of arXiv 2411.04539. An empty batch has loss 0.
///
/// # Shapes
/// `student` and `teacher` (n).
///
/// # Errors
/// [`LossError`] on lengths that differ or scores that are not finite.
pub fn pointwise_mse(student: &[f32], teacher: &[f32]) -> Result<LossValue, LossError> {
    check_taught(student, teacher)?;
    let scale = 1.0 / student.len().max(1) as f64;
    let gaps: Vec<f64> = student.iter().zip(teacher).map(|(&s, &t)| f64::from(t) - f64::from(s)).collect();
    let grad: Vec<f64> = gaps.iter().map(|gap| -2.0 * gap * scale).collect();
    let sum: f64 = gaps.iter().map(|gap| gap * gap).sum();
    Ok(LossValue::new(sum * scale, &grad))
}
