use std::num::NonZeroUsize;

use rand::RngExt;

use super::beta::regularised_incomplete_beta;
use super::{Interval, SignificanceError, check};
use crate::metrics::PairCounts;
use crate::rng;

/// Two-sided paired randomisation test: the p-value of a mean difference at least as far from 0 as the one found.
///
/// `differences` holds, per query, the metric of one system less that of the other. Under the null hypothesis the two
/// are exchangeable, so each draw flips every sign by a fair coin; `p = (1 + draws as extreme) / (1 + draws)`, which
/// counts the sample itself and is never 0.
///
/// Fisher, "The Design of Experiments", 1935; the add-one estimate of Davison and Hinkley, 1997.
///
/// # Errors
/// [`SignificanceError`] without a query or on differences that are not finite.
pub fn randomisation_test(differences: &[f64], draws: NonZeroUsize, seed: u64) -> Result<f64, SignificanceError> {
    check(differences, 1)?;
    let mut rng = rng::stream(seed, "randomisation test", 0);
    // Sums of the same numbers under other signs differ by rounding where they are equal in exact arithmetic.
    let rounding = 1e-12 * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let found = differences.iter().sum::<f64>().abs() - rounding;
    let mut as_extreme = 0_usize;
    for _ in 0..draws.get() {
        let flipped: f64 = differences.iter().map(|&d| if rng.random::<bool>() { d } else { -d }).sum();
        as_extreme += usize::from(flipped.abs() >= found);
    }
    Ok((1 + as_extreme) as f64 / (1.0 + draws.get() as f64))
}

/// Two-sided paired randomisation test of two systems' pooled positive-negative ratios.
///
/// `queries` holds the counts of both systems by query; each draw swaps the two by a fair coin. The statistic is the
/// difference of the shares `concordant / (concordant + discordant)`, which rise with the ratios but stay finite without
/// a discordant pair. A draw that leaves a system without an ordered pair counts as extreme. `None` where either ratio
/// is undefined.
pub fn randomisation_test_pnr(queries: &[(PairCounts, PairCounts)], draws: NonZeroUsize, seed: u64) -> Option<f64> {
    let found = concordance_gap(queries.iter().copied())?;
    let mut rng = rng::stream(seed, "randomisation test", 0);
    let mut as_extreme = 0_usize;
    for _ in 0..draws.get() {
        let swapped = queries.iter().map(|&(a, b)| if rng.random::<bool>() { (a, b) } else { (b, a) });
        as_extreme += usize::from(concordance_gap(swapped).is_none_or(|gap| gap >= found));
    }
    Some((1 + as_extreme) as f64 / (1.0 + draws.get() as f64))
}

/// The distance between the shares of concordant pairs of two systems.
fn concordance_gap(queries: impl Iterator<Item = (PairCounts, PairCounts)>) -> Option<f64> {
    let (a, b) = queries.fold(Default::default(), |(a, b), (of_a, of_b)| (a + of_a, b + of_b));
    let share = |counts: PairCounts| {
        let ordered = counts.concordant + counts.discordant;
        (ordered > 0).then(|| counts.concordant as f64 / ordered as f64)
    };
    Some((share(a)? - share(b)?).abs())
}

/// The result of [`paired_t_test`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// The mean difference in standard errors.
    pub t: f64,
    /// The two-sided p-value.
    pub p_value: f64,
}

/// Two-sided paired t test of a mean difference of 0, with `n - 1` degrees of freedom.
///
/// Differences that are all 0 have `t = 0, p = 1`; differences that are all the same other number have an infinite `t`
/// and `p = 0`.
///
/// Student, "The Probable Error of a Mean", 1908.
///
/// # Errors
/// [`SignificanceError`] on fewer than two queries or on differences that are not finite.
pub fn paired_t_test(differences: &[f64]) -> Result<TTest, SignificanceError> {
    check(differences, 2)?;
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    let variance = differences.iter().map(|difference| (difference - mean).powi(2)).sum::<f64>() / (n - 1.0);
    if differences.iter().all(|&difference| difference == 0.0) {
        return Ok(TTest { t: 0.0, p_value: 1.0 });
    }
    let t = mean / (variance / n).sqrt();
    Ok(TTest { t, p_value: two_sided(t, n - 1.0) })
}

impl TTest {
    /// The one-sided p-value against a mean difference of 0 or below.
    #[must_use]
    pub fn p_above(&self) -> f64 {
        if self.t > 0.0 { self.p_value / 2.0 } else { 1.0 - self.p_value / 2.0 }
    }
}

/// Probability of a value at least as far from 0 as `t` under the t distribution.
fn two_sided(t: f64, freedom: f64) -> f64 {
    // t^2 / (freedom + t^2) is Beta distributed; written so that an infinite t gives 0.
    regularised_incomplete_beta(freedom / 2.0, 0.5, 1.0 / (1.0 + t * t / freedom))
}

/// The 95 % interval of the mean of a few values, such as one for each seed, by the t distribution with `n - 1` degrees of
/// freedom.
///
/// # Errors
/// [`SignificanceError`] on fewer than two values or on values that are not finite.
pub fn t_interval(values: &[f64]) -> Result<Interval, SignificanceError> {
    const OUTSIDE: f64 = 0.05;
    check(values, 2)?;
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    // The critical value by bisection: 12.71 is the highest, that of two values.
    let (mut low, mut high) = (0.0, 13.0);
    while high - low > 1e-12 {
        let middle = (low + high) / 2.0;
        if two_sided(middle, n - 1.0) > OUTSIDE { low = middle } else { high = middle }
    }
    let half = high * (variance / n).sqrt();
    Ok(Interval { low: mean - half, high: mean + half })
}
