//! The declared claims and their tests.

use ranking::significance::{Interval, SignificanceError, holm, paired_t_test, t_interval};
use serde::Deserialize;

/// The level of the family of claims.
pub(crate) const LEVEL: f64 = 0.05;

/// A system of a run.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct System {
    pub(crate) run: String,
    pub(crate) system: String,
}

/// One inequality: the mean over observations of `better - factor * worse + slack` is above 0.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Inequality {
    pub(crate) better: System,
    pub(crate) worse: System,
    #[serde(default = "one")]
    pub(crate) factor: f64,
    #[serde(default)]
    pub(crate) slack: f64,
}

/// A claim, which holds if all of its inequalities do.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    pub(crate) text: String,
    /// What is tested, in symbols.
    pub(crate) tested: String,
    pub(crate) inequalities: Vec<Inequality>,
}

fn one() -> f64 {
    1.0
}

/// An inequality's test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tested {
    /// Mean over observations of `better - factor * worse`.
    pub(crate) mean: f64,
    /// Its 95 % interval by the t distribution.
    pub(crate) interval: Interval,
    /// One-sided p-value of the paired t test.
    pub(crate) p_value: f64,
}

impl Inequality {
    /// The test on the values of both sides, one for each observation.
    pub(crate) fn test(&self, better: &[f64], worse: &[f64]) -> Result<Tested, SignificanceError> {
        let differences: Vec<f64> =
            better.iter().zip(worse).map(|(better, worse)| better - self.factor * worse).collect();
        let shifted: Vec<f64> = differences.iter().map(|difference| difference + self.slack).collect();
        Ok(Tested {
            mean: mean(&differences),
            interval: t_interval(&differences)?,
            p_value: paired_t_test(&shifted)?.p_above(),
        })
    }
}

/// The p-value of a claim: all of its inequalities must hold, so that the largest of theirs is valid without a correction
/// (an intersection-union test: Berger, "Multiparameter Hypothesis Testing and Acceptance Sampling", 1982).
pub(crate) fn p_value(tests: &[Tested]) -> f64 {
    tests.iter().map(|tested| tested.p_value).fold(0.0, f64::max)
}

/// The claims' p-values after Holm's correction. A claim that could not be tested counts with 1.
pub(crate) fn adjusted(p_values: &[Option<f64>]) -> Result<Vec<f64>, SignificanceError> {
    holm(&p_values.iter().map(|p| p.unwrap_or(1.0)).collect::<Vec<_>>())
}

/// The mean; NaN of nothing.
pub(crate) fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::{Name, Study};

    const HIGHER: [f64; 5] = [0.80, 0.82, 0.79, 0.81, 0.83];
    const LOWER: [f64; 5] = [0.79, 0.80, 0.80, 0.80, 0.81];

    /// Values of scipy 1.17: `ttest_1samp(..., alternative="greater")` and `t.interval`.
    #[track_caller]
    fn assert_tested(found: Tested, [mean, p_value, low, high]: [f64; 4]) {
        let pairs =
            [(found.mean, mean), (found.p_value, p_value), (found.interval.low, low), (found.interval.high, high)];
        assert!(pairs.iter().all(|(found, expected)| (found - expected).abs() < 1e-9), "{found:?}");
    }

    #[test]
    fn inequalities_are_tested_one_sided() {
        let mut claims = Study::of(Name::Simulated).unwrap().claims;
        let kept = claims.remove(3).inequalities.remove(0);
        assert_tested(
            kept.test(&HIGHER, &LOWER).unwrap(),
            [0.026, 0.004549119240425182, 0.01074116692733593, 0.04125883307266402],
        );
        let not_below = claims.remove(1).inequalities.remove(0);
        assert_tested(
            not_below.test(&LOWER, &HIGHER).unwrap(),
            [-0.01, 0.7935228167244249, -0.025207216137916273, 0.005207216137916347],
        );
    }

    #[test]
    fn a_claim_of_two_inequalities_needs_both() {
        let tested = |p_value| Tested { mean: 0.0, interval: Interval { low: 0.0, high: 0.0 }, p_value };
        assert_eq!(p_value(&[tested(0.01), tested(0.3)]), 0.3);
        assert_eq!(adjusted(&[Some(0.01), None, Some(0.02), Some(0.001)]).unwrap(), [0.03, 1.0, 0.04, 0.004]);
    }
}
