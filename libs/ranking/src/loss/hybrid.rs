use super::{LossError, LossValue, margin_mse, pointwise_mse};

/// The hybrid distillation loss with its parts, which are logged separately.
#[derive(Debug, Clone, PartialEq)]
pub struct Hybrid {
    /// `alpha * pointwise + (1 - alpha) * margin`, and its gradient on the student's scores.
    pub total: LossValue,
    /// The value of [`pointwise_mse`].
    pub pointwise: f64,
    /// The value of [`margin_mse`].
    pub margin: f64,
}

/// Hybrid distillation loss: point-wise MSE keeps the teacher's scale, margin MSE its order and distances.
///
/// ```text
/// L = alpha * pointwise_mse(s, t) + (1 - alpha) * margin_mse(s, t)
/// ```
///
/// arXiv 2411.04539, the distillation loss.
///
/// # Shapes
/// `student` and `teacher` (n), `offsets` (lists + 1), `alpha` in \[0, 1\].
///
/// # Errors
/// [`LossError`] on lengths that differ, bad offsets, scores that are not finite or alpha outside of \[0, 1\].
pub fn hybrid(student: &[f32], teacher: &[f32], offsets: &[usize], alpha: f64) -> Result<Hybrid, LossError> {
    if !(0.0..=1.0).contains(&alpha) {
        return Err(LossError::Alpha { found: alpha });
    }
    let pointwise = pointwise_mse(student, teacher)?;
    let margin = margin_mse(student, teacher, offsets)?;
    let mix = |point: f64, margin: f64| alpha * point + (1.0 - alpha) * margin;
    let grad: Vec<f64> =
        pointwise.grad.iter().zip(&margin.grad).map(|(&p, &m)| mix(f64::from(p), f64::from(m))).collect();
    let total = LossValue::new(mix(pointwise.value, margin.value), &grad);
    Ok(Hybrid { total, pointwise: pointwise.value, margin: margin.value })
}
