//! Paired tests between systems.

use std::num::NonZeroUsize;

use ranking::significance::{Interval, bootstrap_mean, holm, paired_t_test, randomisation_test};

use crate::measure::{Measure, Measured, Slice};

/// Two systems on the queries they share.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Comparison {
    pub(crate) system_a: String,
    pub(crate) system_b: String,
    pub(crate) metric: String,
    pub(crate) slice: &'static str,
    /// Mean of a less mean of b.
    pub(crate) difference: f64,
    pub(crate) interval: Interval,
    /// Paired randomisation test.
    pub(crate) p_value: f64,
    /// Paired t test.
    pub(crate) p_value_t: f64,
    /// `p_value` after Holm's correction over all comparisons.
    pub(crate) p_adjusted: f64,
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

/// Compares each system with each later one by every one of `metrics` that is a mean over queries; a pooled one has no
/// values of queries to pair.
///
/// Metrics with fewer than two common queries are left out: no test is defined for them.
///
/// # Errors
/// [`ranking::significance::SignificanceError`], which finite metrics rule out.
pub(crate) fn compare(
    metrics: &[Measure],
    systems: &[Measured],
    slice: &Slice,
    draws: Draws,
) -> anyhow::Result<Vec<Comparison>> {
    let mut found = Vec::new();
    for (index, metric) in metrics.iter().enumerate().filter(|(_, metric)| !metric.is_pooled()) {
        for (i, a) in systems.iter().enumerate() {
            for b in &systems[i + 1..] {
                let differences = differences(a, b, index, slice);
                if differences.len() >= 2 {
                    found.push(Comparison {
                        system_a: a.system.to_string(),
                        system_b: b.system.to_string(),
                        metric: metric.to_string(),
                        slice: slice.name,
                        difference: differences.iter().sum::<f64>() / differences.len() as f64,
                        interval: bootstrap_mean(&differences, draws.resamples, draws.seed)?,
                        p_value: randomisation_test(&differences, draws.permutations, draws.seed)?,
                        p_value_t: paired_t_test(&differences)?.p_value,
                        p_adjusted: 1.0,
                    });
                }
            }
        }
    }
    let p_values: Vec<f64> = found.iter().map(|comparison| comparison.p_value).collect();
    for (comparison, adjusted) in found.iter_mut().zip(holm(&p_values)?) {
        comparison.p_adjusted = adjusted;
    }
    Ok(found)
}

/// Differences of a metric, given by its place among those measured, on the queries that count for both systems.
pub(crate) fn differences(a: &Measured, b: &Measured, metric: usize, slice: &Slice) -> Vec<f64> {
    let (a, b) = (&a.metrics[metric], &b.metrics[metric]);
    slice.queries.iter().filter_map(|&query| Some(a.of_query(query)? - b.of_query(query)?)).collect()
}
