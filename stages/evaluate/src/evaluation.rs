//! Everything measured about a run.

use std::num::NonZeroUsize;

use pipeline::config::EvaluateConfig;
use ranking::metrics::{PairCounts, Ranking};

use crate::compare::{Comparison, Draws, compare, differences};
use crate::input::{SystemRun, TestQuery};
use crate::measure::{Estimate, Measure, Measured, estimates, measure, slices};

/// Metrics of all systems on all slices, and the tests between them.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) queries: &'a [TestQuery],
    /// In the order in which people read them.
    pub(crate) metrics: Vec<Measure>,
    /// The metric that systems are compared by first.
    pub(crate) primary: Measure,
    pub(crate) systems: Vec<Measured<'a>>,
    pub(crate) estimates: Vec<Estimate>,
    pub(crate) comparisons: Vec<Comparison>,
}

impl<'a> Evaluation<'a> {
    /// Measures and compares `runs`.
    ///
    /// # Errors
    /// Scores that are NaN or do not match the candidates.
    pub(crate) fn new(
        queries: &'a [TestQuery],
        runs: &'a [SystemRun],
        config: &EvaluateConfig,
        seed: u64,
    ) -> anyhow::Result<Evaluation<'a>> {
        let (metrics, primary) = if is_by_teacher(queries) {
            (Measure::OF_TEACHERS_ORDER.to_vec(), Measure::KendallTau)
        } else {
            (config.metrics.iter().copied().map(Measure::Judged).collect(), Measure::Judged(config.primary))
        };
        let conventions = config.conventions();
        let systems = runs.iter().map(|run| measure(queries, run, &metrics, &conventions));
        let systems = systems.collect::<anyhow::Result<Vec<_>>>()?;
        let count = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        let draws = Draws { resamples: count(config.bootstrap), permutations: count(config.permutations), seed };
        let slices = slices(queries);
        let mut found = Vec::new();
        for slice in &slices {
            for system in &systems {
                found.extend(estimates(&metrics, system, slice, draws.resamples, seed)?);
            }
        }
        let comparisons = compare(&metrics, &systems, &slices[0], draws)?;
        Ok(Evaluation { queries, metrics, primary, estimates: found, comparisons, systems })
    }

    /// True if the teacher's order takes the place of judgments.
    pub(crate) fn is_by_teacher(&self) -> bool {
        is_by_teacher(self.queries)
    }

    /// A metric of a system on a slice.
    pub(crate) fn estimate(&self, system: &str, metric: &str, slice: &str) -> Option<&Estimate> {
        self.estimates.iter().find(|e| e.system == system && e.metric == metric && e.slice == slice)
    }

    /// How `a` compares with `b` by the primary metric, in this direction.
    pub(crate) fn comparison(&self, a: &str, b: &str) -> Option<Comparison> {
        let primary = self.primary.to_string();
        let of = |a: &str, b: &str| {
            self.comparisons.iter().find(|c| c.metric == primary && c.system_a == a && c.system_b == b)
        };
        let turned = || {
            let found = of(b, a)?.clone();
            Some(Comparison {
                system_a: found.system_b,
                system_b: found.system_a,
                difference: -found.difference,
                interval: ranking::significance::Interval { low: -found.interval.high, high: -found.interval.low },
                ..found
            })
        };
        of(a, b).cloned().or_else(turned)
    }

    /// The comparisons that say whether the method worked: teacher with BM25, student with teacher, student with the
    /// one trained on labels alone, and what either adds to BM25; where the teacher's order is the measure, student with BM25.
    pub(crate) fn key_comparisons(&self) -> Vec<Comparison> {
        if self.is_by_teacher() {
            return self.comparison("student", "bm25").into_iter().collect();
        }
        let pairs = [
            ("teacher", "bm25"),
            ("student", "teacher"),
            ("student", "student_labels_only"),
            ("teacher+bm25", "bm25"),
            ("student+bm25", "bm25"),
        ];
        pairs.iter().filter_map(|(a, b)| self.comparison(a, b)).collect()
    }

    /// The student's share of the teacher's primary metric; `None` where one of them hardly ranks anything.
    pub(crate) fn student_share(&self) -> Option<f64> {
        if self.unranked().any(|system| ["teacher", "student"].contains(&system)) {
            return None;
        }
        let value = |system| self.estimate(system, &self.primary.to_string(), "all")?.value;
        let teacher = value("teacher").filter(|&teacher| teacher > 0.0)?;
        Some(value("student")? / teacher)
    }

    /// Systems that give several documents the highest score of at least half of the test queries: their metrics are those of
    /// the order of ties.
    pub(crate) fn unranked(&self) -> impl Iterator<Item = &'a str> {
        let most = self.queries.len().div_ceil(2).max(1);
        self.systems.iter().filter(move |system| system.tied_tops >= most).map(|system| system.system)
    }

    /// The primary metric of `a` less that of `b`, query by query.
    pub(crate) fn differences(&self, a: &str, b: &str) -> Option<Vec<f64>> {
        let system = |name| self.systems.iter().find(|s| s.system == name);
        let primary = self.metrics.iter().position(|&metric| metric == self.primary)?;
        let [all, ..] = slices(self.queries);
        Some(differences(system(a)?, system(b)?, primary, &all))
    }

    /// How often each special case of the conventions arose.
    pub(crate) fn special_cases(&self) -> SpecialCases {
        // All systems rank the same candidates.
        let rankings = self.systems.first().map_or(&[][..], |system| &system.rankings[..]);
        let queries = |keep: fn(&Ranking) -> bool| rankings.iter().filter(|ranking| keep(ranking)).count();
        SpecialCases {
            queries: self.queries.len(),
            candidates: self.queries.iter().map(|q| q.doc_ids.len()).sum(),
            judged: self.queries.iter().map(|q| q.all_grades.len()).sum(),
            no_relevant: queries(|ranking| ranking.relevant() == 0),
            one_grade: queries(|ranking| !PairCounts::of(ranking).any()),
            tied_tops: self.systems.iter().map(|s| (s.system.to_string(), s.tied_tops as u64)).collect(),
            tied_pairs: self
                .systems
                .iter()
                .map(|system| {
                    let pooled: PairCounts = system.rankings.iter().map(PairCounts::of).sum();
                    (system.system.to_string(), pooled.tied)
                })
                .collect(),
        }
    }
}

fn is_by_teacher(queries: &[TestQuery]) -> bool {
    queries.iter().any(|query| !query.teacher.is_empty())
}

/// Counts of what the conventions decide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SpecialCases {
    /// Test queries.
    pub(crate) queries: usize,
    /// Candidates of all queries.
    pub(crate) candidates: usize,
    /// Judged documents of all queries.
    pub(crate) judged: usize,
    /// Queries without a relevant document.
    pub(crate) no_relevant: usize,
    /// Queries whose candidates all have one grade, so that no order of them is better than another.
    pub(crate) one_grade: usize,
    /// Queries of which several documents share the highest score, by system.
    pub(crate) tied_tops: Vec<(String, u64)>,
    /// Pairs of different grade with equal scores, by system.
    pub(crate) tied_pairs: Vec<(String, u64)>,
}
