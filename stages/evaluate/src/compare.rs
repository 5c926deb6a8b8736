//! Paired tests between systems, and verdicts.

use std::num::NonZeroUsize;

use pipeline::config::EvaluateConfig;
use ranking::metrics::{Measurements, PairCounts};
use ranking::significance::{
    Interval, SignificanceError, Verdict, bootstrap_mean, bootstrap_pnr_difference, holm, p_floor, paired_t_test,
    randomisation_test, randomisation_test_pnr, verdict,
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::measure::{Measure, Measured};
use crate::slices::{ALL, Slice};

/// Two systems on the queries they share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) system_a: String,
    pub(crate) system_b: String,
    pub(crate) metric: String,
    pub(crate) slice: String,
    /// The metric of a less that of b.
    pub(crate) difference: f64,
    pub(crate) interval: Interval,
    /// Paired randomisation test.
    pub(crate) p_value: PValue,
    /// Paired t test; `None` for a pooled metric, which has no values of queries.
    pub(crate) p_value_t: Option<f64>,
    /// `None` where the comparison is exploratory.
    pub(crate) key: Option<Key>,
}

/// What a comparison of the family has beside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Key {
    /// The p-value after Holm's correction over the family.
    pub(crate) p_adjusted: PValue,
    /// On a, compared with b.
    pub(crate) verdict: Verdict,
}

/// A p-value of a randomisation test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct PValue {
    pub(crate) value: f64,
    /// True if no draw reached what was found, so that the value is the smallest there can be, and the true one is it or less.
    pub(crate) at_floor: bool,
}

/// How tests are drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    /// Bootstrap resamples.
    pub(crate) resamples: NonZeroUsize,
    /// Sign flips of the randomisation test.
    pub(crate) permutations: NonZeroUsize,
    pub(crate) seed: u64,
}

impl Draws {
    /// Those of the configuration.
    pub(crate) fn of(config: &EvaluateConfig, seed: u64) -> Draws {
        let count = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Draws { resamples: count(config.bootstrap), permutations: count(config.permutations), seed }
    }

    fn p_value(&self, value: f64) -> PValue {
        PValue { value, at_floor: value <= p_floor(self.permutations) }
    }
}

/// Compares each system with each later one by every one of `metrics` on every slice; those of the family by `primary` on all
/// queries are corrected for one another and get a verdict. A pair of the family is compared in the order of the family.
///
/// Metrics with fewer than two common queries, and ratios that are undefined or infinite, are left out: no test is defined for them.
///
/// # Errors
/// [`SignificanceError`], which finite metrics rule out.
pub(crate) fn compare(
    metrics: &[Measure],
    primary: Measure,
    systems: &[Measured],
    slices: &[Slice],
    config: &EvaluateConfig,
    draws: Draws,
) -> Result<Vec<Comparison>, SignificanceError> {
    let is_key = |a: &Measured, b: &Measured| config.family.iter().any(|[c, d]| c == a.system && d == b.system);
    let mut wanted = Vec::new();
    for slice in slices {
        for metric in metrics.iter().enumerate() {
            for (i, a) in systems.iter().enumerate() {
                let pairs = systems[i + 1..].iter().map(|b| if is_key(b, a) { (b, a) } else { (a, b) });
                wanted.extend(pairs.map(|pair| (slice, metric, pair)));
            }
        }
    }
    let compared = wanted.into_par_iter().map(|(slice, (index, metric), (a, b))| {
        let Some(tested) = tested(a, b, index, slice, draws)? else { return Ok(None) };
        let is_key = *metric == primary && slice.name == ALL && is_key(a, b);
        let key = is_key.then(|| Key { p_adjusted: tested.p_value, verdict: verdict(tested.interval, config.margin) });
        Ok(Some(Comparison { metric: metric.to_string(), slice: slice.name.clone(), key, ..tested }))
    });
    let compared: Result<Vec<Option<Comparison>>, SignificanceError> = compared.collect();
    let mut compared: Vec<Comparison> = compared?.into_iter().flatten().collect();
    correct(&mut compared)?;
    Ok(compared)
}

/// Holm's correction over the comparisons of the family.
fn correct(compared: &mut [Comparison]) -> Result<(), SignificanceError> {
    let mut family: Vec<(&mut Key, PValue)> =
        compared.iter_mut().filter_map(|comparison| Some((comparison.key.as_mut()?, comparison.p_value))).collect();
    let adjusted = holm(&family.iter().map(|(_, p)| p.value).collect::<Vec<_>>())?;
    // The corrected values of the smallest p-values are equal: those of the floor are at the floor of the correction.
    for ((key, p), value) in family.iter_mut().zip(adjusted) {
        key.p_adjusted = PValue { value, at_floor: p.at_floor && value < 1.0 };
    }
    Ok(())
}

/// The test of two systems by the metric at a place among those measured, without names of metric and slice; `None` where no test
/// is defined.
fn tested(
    a: &Measured,
    b: &Measured,
    metric: usize,
    slice: &Slice,
    draws: Draws,
) -> Result<Option<Comparison>, SignificanceError> {
    let Draws { resamples, permutations, seed } = draws;
    let (difference, interval, p_value, p_value_t) = match (&a.metrics[metric].found, &b.metrics[metric].found) {
        (Measurements::Pooled(of_a), Measurements::Pooled(of_b)) => {
            let queries: Vec<_> = slice.queries.iter().map(|&query| (of_a[query], of_b[query])).collect();
            let total =
                |of: fn(&(PairCounts, PairCounts)) -> PairCounts| queries.iter().map(of).sum::<PairCounts>().pnr();
            let difference = total(|pair| pair.0).zip(total(|pair| pair.1)).map(|(a, b)| a - b);
            let Some(difference) = difference.filter(|difference| difference.is_finite()) else { return Ok(None) };
            let interval = bootstrap_pnr_difference(&queries, resamples, seed);
            let p_value = randomisation_test_pnr(&queries, permutations, seed);
            let Some((interval, p_value)) = interval.zip(p_value) else { return Ok(None) };
            (difference, interval, p_value, None)
        }
        _ => {
            let differences = differences(a, b, metric, slice);
            if differences.len() < 2 {
                return Ok(None);
            }
            let mean = differences.iter().sum::<f64>() / differences.len() as f64;
            let interval = bootstrap_mean(&differences, resamples, seed)?;
            let p_value = randomisation_test(&differences, permutations, seed)?;
            (mean, interval, p_value, Some(paired_t_test(&differences)?.p_value))
        }
    };
    Ok(Some(Comparison {
        system_a: a.system.to_string(),
        system_b: b.system.to_string(),
        metric: String::new(),
        slice: String::new(),
        difference,
        interval,
        p_value: draws.p_value(p_value),
        p_value_t,
        key: None,
    }))
}

/// Differences of a metric, given by its place among those measured, on the queries that count for both systems.
fn differences(a: &Measured, b: &Measured, metric: usize, slice: &Slice) -> Vec<f64> {
    let (a, b) = (&a.metrics[metric].found, &b.metrics[metric].found);
    slice.queries.iter().filter_map(|&query| Some(a.of_query(query)? - b.of_query(query)?)).collect()
}
