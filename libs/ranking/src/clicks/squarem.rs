/// A step of an algorithm that climbs: the next parameters, and the height of the ones it was given.
pub(super) struct Step {
    /// The next parameters: positive, or 0 and always 0.
    pub(super) next: Vec<f64>,
    /// The objective at the parameters before the step, up to a constant; steps never lower it.
    pub(super) height: f64,
}

/// Repeats `step` from `start`, at most `steps` times, until no parameter changes by more than the share `tolerance` in
/// one; every third step starts from where the two before it lead.
///
/// With `r = F(x) - x` and `v = F(F(x)) - F(x) - r` of the parameters' logarithms, the third step starts from
/// `x - 2 a r + a^2 v`, `a = -|r| / |v|`, or from `F(F(x))` where that is not higher.
///
/// Varadhan and Roland, "Simple and Globally Convergent Methods for Accelerating the Convergence of Any EM Algorithm",
/// Scandinavian Journal of Statistics, 2008, scheme S3.
pub(super) fn climb(start: Vec<f64>, steps: usize, tolerance: f64, mut step: impl FnMut(&[f64]) -> Step) -> Vec<f64> {
    let mut left = steps;
    let mut x = start;
    while left > 0 {
        let first = step(&x).next;
        left -= 1;
        if left == 0 || change(&x, &first) <= tolerance {
            return first;
        }
        let Step { next: second, height } = step(&first);
        left -= 1;
        if left == 0 || change(&first, &second) <= tolerance {
            return second;
        }
        let ahead = extrapolated(&x, &first, &second);
        let third = step(&ahead);
        left -= 1;
        x = if third.height >= height { third.next } else { second };
    }
    x
}

/// The largest relative change.
fn change(before: &[f64], after: &[f64]) -> f64 {
    before.iter().zip(after).map(|(&before, &after)| log_ratio(after, before).abs()).fold(0.0, f64::max)
}

/// `ln(a / b)`, of two zeros 0.
fn log_ratio(a: f64, b: f64) -> f64 {
    if a > 0.0 && b > 0.0 { (a / b).ln() } else { 0.0 }
}

fn extrapolated(x: &[f64], first: &[f64], second: &[f64]) -> Vec<f64> {
    let r = |i: usize| log_ratio(first[i], x[i]);
    let v = |i: usize| log_ratio(second[i], first[i]) - r(i);
    let norm = |part: &dyn Fn(usize) -> f64| (0..x.len()).map(|i| part(i).powi(2)).sum::<f64>().sqrt();
    // At least a plain step; the upper bound keeps the result finite where the second difference vanishes.
    let a = (norm(&r) / norm(&v)).clamp(1.0, 1e3);
    (0..x.len()).map(|i| x[i] * (2.0 * a * r(i) + a * a * v(i)).clamp(-FURTHEST, FURTHEST).exp()).collect()
}

/// The furthest that a parameter's logarithm moves in one extrapolation.
const FURTHEST: f64 = 3.0;
