//! Functions that several losses share.

use super::batch::ParameterError;

/// The lowest temperature of a loss whose labels or gradient grow as `1 / temperature`, so that both stay in f32.
const MIN_TEMPERATURE: f64 = 1e-6;

/// Checks that `parameter` is finite and above 0.
pub(super) fn check_above_0(parameter: &'static str, value: f64) -> Result<(), ParameterError> {
    ParameterError::unless(value.is_finite() && value > 0.0, parameter, "above 0", value)
}

/// Checks a temperature that something is divided by which stays finite from [`MIN_TEMPERATURE`].
pub(super) fn check_temperature(parameter: &'static str, value: f64) -> Result<(), ParameterError> {
    ParameterError::unless(value.is_finite() && value >= MIN_TEMPERATURE, parameter, "from 0.000001", value)
}

/// The gain of a grade, `2^grade - 1` (Burges et al., ICML 2005).
pub(super) fn gain(grade: f32) -> f64 {
    f64::from(grade).exp2() - 1.0
}

/// `ln(1 + e^x)` without overflow.
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^-x)` without overflow.
pub(super) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `ln(sum_i e^{x_i})` without overflow.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let max = values.clone().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = values.map(|value| (value - max).exp()).sum();
    max + sum.ln()
}

/// `tau ln softmax(values / tau)`. The factor keeps it finite at any temperature tau, however low.
pub(super) fn scaled_log_softmax(values: &[f32], tau: f64) -> Vec<f64> {
    let max = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let below = values.iter().map(|&value| f64::from(value) - max);
    let sum: f64 = below.clone().map(|gap| (gap / tau).exp()).sum();
    below.map(|gap| gap - tau * sum.ln()).collect()
}
