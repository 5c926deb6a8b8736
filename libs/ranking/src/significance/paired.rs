use std::num::NonZeroUsize;

use rand::Rng;

use super::beta::regularised_incomplete_beta;
use super::{Interval, SignificanceError, check};
use crate::metrics::PairCounts;
use crate::rng;

/// The smallest p-value that a randomisation test of so many draws can have: that of a difference which no draw reached. The true
/// one is this or less.
#[must_use]
pub fn p_floor(draws: NonZeroUsize) -> f64 {
    1.0 / (1.0 + draws.get() as f64)
}

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
    let sums = SignedSums::of(differences.iter().copied());
    // Sums of the same numbers under other signs differ by rounding where they are equal in exact arithmetic.
    let rounding = ROUNDING * differences.iter().map(|difference| difference.abs()).sum::<f64>();
    let found = differences.iter().sum::<f64>().abs() - rounding;
    Ok(p_value(differences.len(), draws, seed, |signs| sums.under(signs).abs() >= found))
}

/// Two-sided paired randomisation test of two systems' pooled positive-negative ratios.
///
/// `queries` holds the counts of both systems by query; each draw swaps the two by a fair coin. The statistic is the
/// difference of the shares `concordant / (concordant + discordant)`, which rise with the ratios but stay finite without
/// a discordant pair. A draw that leaves a system without an ordered pair counts as extreme. `None` where either ratio
/// is undefined.
pub fn randomisation_test_pnr(queries: &[(PairCounts, PairCounts)], draws: NonZeroUsize, seed: u64) -> Option<f64> {
    let sum = |of: fn(&(PairCounts, PairCounts)) -> PairCounts| queries.iter().map(of).sum::<PairCounts>();
    let (a, b) = (sum(|pair| pair.0), sum(|pair| pair.1));
    let both = a + b;
    let less = |of: fn(&PairCounts) -> u64| queries.iter().map(move |(a, b)| of(a) as f64 - of(b) as f64);
    let concordant = SignedSums::of(less(|pairs| pairs.concordant));
    let discordant = SignedSums::of(less(|pairs| pairs.discordant));
    // What one system has is half of the sum and the difference of both; these are whole numbers, and exact.
    let gap = |concordant: f64, discordant: f64| {
        let share = |sign: f64| {
            let concordant = both.concordant as f64 + sign * concordant;
            let ordered = concordant + both.discordant as f64 + sign * discordant;
            (ordered > 0.0).then(|| concordant / ordered)
        };
        Some((share(1.0)? - share(-1.0)?).abs())
    };
    let found = gap(a.concordant as f64 - b.concordant as f64, a.discordant as f64 - b.discordant as f64)? - ROUNDING;
    let is_extreme =
        |signs: &[u8]| gap(concordant.under(signs), discordant.under(signs)).is_none_or(|gap| gap >= found);
    Some(p_value(queries.len(), draws, seed, is_extreme))
}

/// Relative rounding error of a sum.
const ROUNDING: f64 = 1e-12;

/// The p-value of a test whose draws are signs of `queries` queries, one bit each.
fn p_value(queries: usize, draws: NonZeroUsize, seed: u64, is_extreme: impl Fn(&[u8]) -> bool) -> f64 {
    let mut rng = rng::stream(seed, "randomisation test", 0);
    let mut signs = vec![0; queries.div_ceil(8)];
    let mut as_extreme = 0_usize;
    for _ in 0..draws.get() {
        rng.fill_bytes(&mut signs);
        as_extreme += usize::from(is_extreme(&signs));
    }
    (1 + as_extreme) as f64 / (1.0 + draws.get() as f64)
}

/// Sums of values under signs: those of eight values for each byte of signs, so that a draw is an addition for eight queries.
struct SignedSums(Vec<[f64; 256]>);

impl SignedSums {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let values: Vec<f64> = values.collect();
        let of_eight = |values: &[f64]| {
            let signed = |signs: usize, bit: usize, value: f64| if signs >> bit & 1 == 1 { value } else { -value };
            let sum = |signs| values.iter().enumerate().map(|(bit, &value)| signed(signs, bit, value)).sum();
            std::array::from_fn(sum)
        };
        Self(values.chunks(8).map(of_eight).collect())
    }

    fn under(&self, signs: &[u8]) -> f64 {
        self.0.iter().zip(signs).map(|(sums, &signs)| sums[usize::from(signs)]).sum()
    }
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
