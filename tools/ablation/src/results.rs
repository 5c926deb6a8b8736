//! The measured values of all conditions, one for each seed.

use std::path::Path;

use ranking::significance::{Interval, paired_t_test, t_interval};

use crate::claims::mean;
use crate::comparisons::{Comparison, Row};
use crate::execute::Failures;
use crate::measure::{Quality, quality};
use crate::plan::seed_dir;

/// What a system of a run measured for each seed; `None` where it has not been run or has failed.
#[derive(Debug, Clone)]
pub(crate) struct Values(pub(crate) Vec<Option<Quality>>);

/// Where results are, and what has failed.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) root: &'a Path,
    pub(crate) seeds: &'a [u64],
    pub(crate) failures: &'a Failures,
}

impl Results<'_> {
    /// The values of a system.
    pub(crate) fn of(&self, run: &str, system: &str) -> anyhow::Result<Values> {
        let failed = |seed: u64| self.failures.contains_key(&(seed, run.to_string()));
        let value = |&seed: &u64| match failed(seed) {
            true => Ok(None),
            false => quality(&seed_dir(self.root, seed).join(run), system),
        };
        Ok(Values(self.seeds.iter().map(value).collect::<anyhow::Result<_>>()?))
    }

    /// The values of a row.
    pub(crate) fn of_row(&self, comparison: &Comparison, row: &Row) -> anyhow::Result<Values> {
        self.of(&row.run, comparison.system(row))
    }

    /// The first message that a run has failed with, and for which seeds it has failed.
    pub(crate) fn failure(&self, run: &str) -> Option<(&str, Vec<u64>)> {
        let of_run: Vec<_> = self.failures.iter().filter(|((_, name), _)| name == run).collect();
        let message = of_run.first()?.1;
        Some((message, of_run.iter().map(|((seed, _), _)| *seed).collect()))
    }
}

impl Values {
    /// NDCG@10 of the seeds that have one.
    pub(crate) fn ndcg(&self) -> Vec<f64> {
        self.0.iter().flatten().map(|quality| quality.ndcg).collect()
    }

    /// Mean PNR of the seeds that have one.
    pub(crate) fn pnr(&self) -> f64 {
        mean(&self.0.iter().flatten().map(|quality| quality.pnr).collect::<Vec<_>>())
    }

    /// NDCG@10 of both for the seeds that both have.
    pub(crate) fn paired(&self, other: &Values) -> (Vec<f64>, Vec<f64>) {
        let both = self.0.iter().zip(&other.0).filter_map(|(a, b)| Some((a.as_ref()?.ndcg, b.as_ref()?.ndcg)));
        both.unzip()
    }

    /// Mean difference of NDCG@10 to `other`, its interval and its two-sided p-value; `None` with fewer than two seeds.
    pub(crate) fn difference(&self, other: &Values) -> Option<(f64, Interval, f64)> {
        let (own, others) = self.paired(other);
        let differences: Vec<f64> = own.iter().zip(&others).map(|(own, other)| own - other).collect();
        let test = paired_t_test(&differences).ok()?;
        Some((mean(&differences), t_interval(&differences).ok()?, test.p_value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_miss_a_value_are_left_out_of_both_sides() {
        let values = |ndcg: &[Option<f64>]| {
            Values(ndcg.iter().map(|ndcg| ndcg.map(|ndcg| Quality { ndcg, pnr: 2.0 })).collect())
        };
        let one = values(&[Some(0.5), None, Some(0.7), Some(0.8)]);
        let other = values(&[Some(0.4), Some(0.9), Some(0.5), None]);
        assert_eq!(one.paired(&other), (vec![0.5, 0.7], vec![0.4, 0.5]));
        let (mean, interval, p) = one.difference(&other).unwrap();
        assert!((mean - 0.15).abs() < 1e-12);
        // t = 0.15 / 0.05 = 3 with one degree of freedom: p = 1 - 2 atan(3) / pi; the critical value is tan(0.475 pi).
        assert!((p - (1.0 - 2.0 * 3.0_f64.atan() / std::f64::consts::PI)).abs() < 1e-12);
        assert!((interval.high - (0.15 + 0.05 * (0.475 * std::f64::consts::PI).tan())).abs() < 1e-9);
        assert_eq!(one.ndcg(), [0.5, 0.7, 0.8]);
        assert!(one.difference(&values(&[Some(1.0), None, None, None])).is_none());
    }
}
