use std::num::NonZeroUsize;

use rand::RngExt;

use super::{SignificanceError, check};
use crate::metrics::PairCounts;
use crate::rng;

/// A 95 % confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The 2.5 % quantile.
    pub low: f64,
    /// The 97.5 % quantile.
    pub high: f64,
}

/// The 95 % percentile interval of `statistic` over `resamples` draws of `n` query indices with replacement.
///
/// The ends are order statistics, not interpolated, so that an infinite statistic has its place. Draws in which the
/// statistic is undefined are left out; `None` without any other draw. Two systems are compared by a statistic that
/// reads both at the same indices.
///
/// Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979.
pub fn bootstrap(
    n: usize,
    resamples: NonZeroUsize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    let mut rng = rng::stream(seed, "bootstrap", 0);
    let mut draw = vec![0; n];
    let mut values = Vec::with_capacity(resamples.get());
    for _ in 0..resamples.get() {
        draw.fill_with(|| rng.random_range(0..n));
        values.extend(statistic(&draw));
    }
    values.sort_unstable_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    let cut = (0.025 * values.len() as f64).floor() as usize;
    Some(Interval { low: values[cut], high: values[last - cut] })
}

/// The 95 % interval of the mean of `values`, one per query.
///
/// # Errors
/// [`SignificanceError`] without a query or on values that are not finite.
pub fn bootstrap_mean(values: &[f64], resamples: NonZeroUsize, seed: u64) -> Result<Interval, SignificanceError> {
    check(values, 1)?;
    let mean = |draw: &[usize]| Some(draw.iter().map(|&query| values[query]).sum::<f64>() / draw.len() as f64);
    bootstrap(values.len(), resamples, seed, mean).ok_or(SignificanceError::TooFew { expected: 1, found: 0 })
}

/// The 95 % interval of the ratio of two systems' means, `a / b`, over queries with a value of each, on the same draws. Draws in
/// which the mean of `b` is not above 0 are left out; `None` without any other draw.
pub fn bootstrap_ratio(queries: &[(f64, f64)], resamples: NonZeroUsize, seed: u64) -> Option<Interval> {
    let ratio = |draw: &[usize]| {
        let (a, b) = draw.iter().fold((0.0, 0.0), |(a, b), &query| (a + queries[query].0, b + queries[query].1));
        Some(a / b).filter(|ratio| b > 0.0 && !ratio.is_nan())
    };
    bootstrap(queries.len(), resamples, seed, ratio)
}

/// The 95 % interval of the pooled positive-negative ratio of `queries`; `None` where no query has an ordered pair.
pub fn bootstrap_pnr(queries: &[PairCounts], resamples: NonZeroUsize, seed: u64) -> Option<Interval> {
    let pooled = |draw: &[usize]| draw.iter().map(|&query| queries[query]).sum::<PairCounts>().pnr();
    bootstrap(queries.len(), resamples, seed, pooled)
}

/// The 95 % interval of the difference of two systems' pooled positive-negative ratios, on the same draws of queries. `None` where
/// no draw has two finite ratios.
pub fn bootstrap_pnr_difference(
    queries: &[(PairCounts, PairCounts)],
    resamples: NonZeroUsize,
    seed: u64,
) -> Option<Interval> {
    let difference = |draw: &[usize]| {
        let (a, b) = draw.iter().fold((PairCounts::default(), PairCounts::default()), |(a, b), &query| {
            (a + queries[query].0, b + queries[query].1)
        });
        Some(a.pnr()? - b.pnr()?).filter(|difference| !difference.is_nan())
    };
    bootstrap(queries.len(), resamples, seed, difference)
}
