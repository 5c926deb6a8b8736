//! The declared claims and their tests over seeds.

use ranking::significance::{Interval, SignificanceError, holm, paired_t_test, t_interval};

/// What hybrid may lose against the better of its parts and still count as no worse, in NDCG@10.
pub(crate) const NON_INFERIORITY: f64 = 0.005;
/// The share of the teacher's NDCG@10 that the student must keep.
pub(crate) const KEPT: f64 = 0.98;
/// The most parameters of the student, as a share of the teacher's.
pub(crate) const SIZE: f64 = 0.1;
/// The level of the family of claims.
pub(crate) const LEVEL: f64 = 0.05;

/// A system of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct System {
    pub(crate) run: &'static str,
    pub(crate) system: &'static str,
}

/// One inequality over seeds: the mean of `better - factor * worse + slack` is above 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Inequality {
    pub(crate) better: System,
    pub(crate) worse: System,
    pub(crate) factor: f64,
    pub(crate) slack: f64,
}

/// A claim, which holds if all of its inequalities do.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(crate) text: String,
    /// What is tested, in symbols.
    pub(crate) tested: String,
    pub(crate) inequalities: Vec<Inequality>,
}

const TEACHER: System = System { run: "shared", system: "teacher" };
const NO_CPT: System = System { run: "teacher-no-cpt", system: "teacher" };
const HYBRID: System = System { run: "hybrid-0.5", system: "student" };
const POINT: System = System { run: "hybrid-1", system: "student" };
const MARGIN: System = System { run: "hybrid-0", system: "student" };
const LABELS: System = System { run: "labels-only", system: "student_labels_only" };

/// The student that the claims are about.
pub(crate) const STUDENT: System = HYBRID;

/// The four claims.
pub(crate) fn claims() -> Vec<Claim> {
    let above = |better, worse| Inequality { better, worse, factor: 1.0, slack: 0.0 };
    let not_below = |better, worse| Inequality { slack: NON_INFERIORITY, ..above(better, worse) };
    vec![
        Claim {
            text: "CPT helps the teacher".into(),
            tested: "teacher with CPT - teacher without > 0".into(),
            inequalities: vec![above(TEACHER, NO_CPT)],
        },
        Claim {
            text: "Hybrid is at least as good as the better of its parts".into(),
            tested: format!("hybrid - point MSE > -{NON_INFERIORITY} and hybrid - margin MSE > -{NON_INFERIORITY}"),
            inequalities: vec![not_below(HYBRID, POINT), not_below(HYBRID, MARGIN)],
        },
        Claim {
            text: "The distilled student is above the label-only one".into(),
            tested: "hybrid - labels only (same pre-trained weights) > 0".into(),
            inequalities: vec![above(HYBRID, LABELS)],
        },
        Claim {
            text: format!("The student keeps {:.0} % of the teacher's NDCG@10", KEPT * 100.0),
            tested: format!("student - {KEPT} teacher > 0"),
            inequalities: vec![Inequality { factor: KEPT, ..above(HYBRID, TEACHER) }],
        },
    ]
}

/// An inequality's test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Tested {
    /// Mean over seeds of `better - factor * worse`.
    pub(crate) mean: f64,
    /// Its 95 % interval by the t distribution.
    pub(crate) interval: Interval,
    /// One-sided p-value of the paired t test.
    pub(crate) p_value: f64,
}

impl Inequality {
    /// The test on the values of both sides, one for each seed.
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
        let kept = claims().remove(3).inequalities[0];
        assert_tested(
            kept.test(&HIGHER, &LOWER).unwrap(),
            [0.026, 0.004549119240425182, 0.01074116692733593, 0.04125883307266402],
        );
        let not_below = claims().remove(1).inequalities[0];
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

    #[test]
    fn claims_are_about_runs_that_there_are() {
        let all = crate::comparisons::Comparisons::built_in().unwrap();
        let rows =
            || all.comparisons.iter().flat_map(|comparison| comparison.rows.iter().map(move |row| (comparison, row)));
        for inequality in claims().iter().flat_map(|claim| &claim.inequalities) {
            for System { run, system } in [inequality.better, inequality.worse] {
                assert!(rows().any(|(comparison, row)| row.run == run && comparison.system(row) == system), "{run}");
            }
        }
    }
}
