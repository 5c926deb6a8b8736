//! The measured values of all conditions, one for each observation.

use std::collections::BTreeMap;
use std::path::Path;

use ranking::significance::{Interval, paired_t_test, t_interval};

use crate::claims::{System, mean};
use crate::execute::Failures;
use crate::measure::{Quality, qualities, quality};
use crate::plan::seed_dir;
use crate::study::{Comparison, Observation, Row};

/// What a system of a run measured for each observation, by seed or by the query's text; an observation is missing where it has not been
/// run or has failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Values {
    of: BTreeMap<String, Quality>,
    /// Seeds that have a value.
    pub(crate) seeds: usize,
}

/// Where results are, and what has failed.
#[derive(Debug)]
pub(crate) struct Results<'a> {
    pub(crate) root: &'a Path,
    pub(crate) seeds: &'a [u64],
    pub(crate) observation: Observation,
    pub(crate) failures: &'a Failures,
}

impl Results<'_> {
    /// The values of a system of a run.
    pub(crate) fn of(&self, System { run, system }: &System) -> anyhow::Result<Values> {
        let failed = |seed: &&u64| self.failures.contains_key(&(**seed, run.clone()));
        let mut values: BTreeMap<String, Vec<Quality>> = BTreeMap::new();
        let mut seeds = 0;
        for seed in self.seeds.iter().filter(|seed| !failed(seed)) {
            let dir = seed_dir(self.root, *seed).join(run);
            let found: Vec<(String, Quality)> = match self.observation {
                Observation::Seed => quality(&dir, system)?.into_iter().map(|it| (seed.to_string(), it)).collect(),
                Observation::Query => qualities(&dir, system)?,
            };
            seeds += usize::from(!found.is_empty());
            found.into_iter().for_each(|(name, quality)| values.entry(name).or_default().push(quality));
        }
        let of = values.into_iter().map(|(name, found)| (name, Quality::mean(&found))).collect();
        Ok(Values { of, seeds })
    }

    /// The values of a row.
    pub(crate) fn of_row(&self, comparison: &Comparison, row: &Row) -> anyhow::Result<Values> {
        self.of(&System { run: row.run.clone(), system: comparison.system(row).into() })
    }

    /// The first seed that has a finished evaluation of a run.
    pub(crate) fn first_seed(&self, run: &str) -> Option<u64> {
        let finished = |seed: &&u64| seed_dir(self.root, **seed).join(run).join("evaluate/manifest.json").is_file();
        self.seeds.iter().find(finished).copied()
    }

    /// The first message that a run has failed with, and for which seeds it has failed.
    pub(crate) fn failure(&self, run: &str) -> Option<(&str, Vec<u64>)> {
        let of_run: Vec<_> = self.failures.iter().filter(|((_, name), _)| name == run).collect();
        let message = of_run.first()?.1;
        Some((message, of_run.iter().map(|((seed, _), _)| *seed).collect()))
    }
}

impl Values {
    /// NDCG@10 of the observations that have one.
    pub(crate) fn ndcg(&self) -> Vec<f64> {
        self.of.values().map(|quality| quality.ndcg).collect()
    }

    /// Mean PNR of the observations; NaN where it is not of single ones.
    pub(crate) fn pnr(&self) -> f64 {
        mean(&self.of.values().map(|quality| quality.pnr).collect::<Vec<_>>())
    }

    /// NDCG@10 of both for the observations that both have.
    pub(crate) fn paired(&self, other: &Values) -> (Vec<f64>, Vec<f64>) {
        self.of.iter().filter_map(|(name, quality)| Some((quality.ndcg, other.of.get(name)?.ndcg))).unzip()
    }

    /// Mean difference of NDCG@10 to `other`, its interval and its two-sided p-value; `None` with fewer than two observations.
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
    fn observations_that_miss_a_value_are_left_out_of_both_sides() {
        let values = |ndcg: &[Option<f64>]| {
            let found = ndcg.iter().enumerate().filter_map(|(at, ndcg)| Some((at, (*ndcg)?)));
            let of = found.map(|(at, ndcg)| (at.to_string(), Quality { ndcg, pnr: 2.0 })).collect();
            Values { of, seeds: 4 }
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
