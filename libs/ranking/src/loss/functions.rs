//! Functions that several losses share.

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
pub(super) fn log_sum_exp(values: &[f32]) -> f64 {
    let max = f64::from(values.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = values.iter().map(|&value| (f64::from(value) - max).exp()).sum();
    max + sum.ln()
}
