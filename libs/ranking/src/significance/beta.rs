//! The regularised incomplete beta function, the tail of the t distribution.

use std::f64::consts::PI;

/// `I_x(a, b)` for positive `a`, `b` and `x` in \[0, 1\] (Abramowitz and Stegun 26.5, continued fraction 26.5.8).
pub(super) fn regularised_incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let log_front = ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p();
    // The fraction converges fast below the mean; above it the symmetry I_x(a, b) = 1 - I_{1-x}(b, a) applies.
    if x < (a + 1.0) / (a + b + 2.0) {
        log_front.exp() * continued_fraction(a, b, x) / a
    } else {
        1.0 - log_front.exp() * continued_fraction(b, a, 1.0 - x) / b
    }
}

/// The continued fraction of `I_x(a, b)` by Lentz's method (Lentz, 1976; Thompson and Barnett, 1986).
fn continued_fraction(a: f64, b: f64, x: f64) -> f64 {
    const STEPS: usize = 10_000;
    let away_from_zero = |value: f64| {
        if value.abs() < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { value }
    };
    let mut c = 1.0;
    let mut d = 1.0 / away_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..STEPS {
        let m = step as f64;
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        let before = fraction;
        for numerator in [even, odd] {
            d = 1.0 / away_from_zero(1.0 + numerator * d);
            c = away_from_zero(1.0 + numerator / c);
            fraction *= c * d;
        }
        if (fraction / before - 1.0).abs() < f64::EPSILON {
            break;
        }
    }
    fraction
}

/// `ln Gamma(x)` for positive `x`: Stirling's series, reached from small `x` by the recurrence `Gamma(x + 1) = x Gamma(x)`
/// (Abramowitz and Stegun 6.1.41).
fn ln_gamma(x: f64) -> f64 {
    const ENOUGH: f64 = 16.0;
    let steps = (ENOUGH - x).ceil().max(0.0) as u32;
    let product: f64 = (0..steps).map(|step| x + f64::from(step)).product();
    let y = x + f64::from(steps);
    let z = 1.0 / (y * y);
    let series = (1.0 / 12.0 - z * (1.0 / 360.0 - z * (1.0 / 1260.0 - z * (1.0 / 1680.0 - z / 1188.0)))) / y;
    (y - 0.5) * y.ln() - y + 0.5 * (2.0 * PI).ln() + series - product.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ln_gamma_at_known_values() {
        for (x, expected) in
            [(0.5, PI.sqrt().ln()), (1.0, 0.0), (2.0, 0.0), (5.0, 24.0_f64.ln()), (0.1, 2.252712651734206)]
        {
            assert!((ln_gamma(x) - expected).abs() < 1e-13, "{x}");
        }
    }

    #[test]
    fn incomplete_beta_at_known_values() {
        for x in [0.0, 0.1, 0.5, 0.9, 1.0] {
            assert!((regularised_incomplete_beta(1.0, 1.0, x) - x).abs() < 1e-14);
            assert!((regularised_incomplete_beta(3.0, 1.0, x) - x.powi(3)).abs() < 1e-14);
            let arcsine = 2.0 / PI * x.sqrt().asin();
            assert!((regularised_incomplete_beta(0.5, 0.5, x) - arcsine).abs() < 1e-13);
        }
    }
}
