//! Everything measured about a run.

use pipeline::ConfigError;
use pipeline::config::EvaluateConfig;
use ranking::metrics::PairCounts;
use ranking::significance::{Interval, bootstrap_ratio};
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::agreement::TeachersScores;
use crate::compare::{Comparison, Draws, Key, compare};
use crate::input::{SystemRun, TestQuery};
use crate::measure::{Answers, Estimate, Measure, Measured, estimate, rankings};
use crate::slices::{ALL, Slice, slices};
use crate::systems::{STUDENT, TEACHER};

/// Metrics of all systems on all slices, and the tests between them.
#[derive(Debug)]
pub(crate) struct Evaluation<'a> {
    pub(crate) queries: &'a [TestQuery],
    /// In the order in which people read them.
    pub(crate) metrics: Vec<Measure>,
    /// The metric that systems are compared by first.
    pub(crate) primary: Measure,
    pub(crate) systems: Vec<Measured<'a>>,
    pub(crate) slices: Vec<Slice>,
    pub(crate) estimates: Vec<Estimate>,
    pub(crate) comparisons: Vec<Comparison>,
    draws: Draws,
}

/// The student's share of the teacher's primary metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share {
    /// The student's mean over the teacher's.
    pub(crate) ratio: f64,
    /// Of the ratio, over the test queries.
    pub(crate) interval: Option<Interval>,
}

/// The primary metric of two systems on a query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Paired {
    /// Index of the query.
    pub(crate) query: usize,
    pub(crate) a: f64,
    pub(crate) b: f64,
}

impl Paired {
    /// What `a` is better by.
    pub(crate) fn difference(&self) -> f64 {
        self.a - self.b
    }
}

impl<'a> Evaluation<'a> {
    /// Measures and compares `runs`.
    ///
    /// # Errors
    /// Scores that are NaN or do not match the candidates; as [`Evaluation::of`].
    pub(crate) fn new(
        queries: &'a [TestQuery],
        runs: &'a [SystemRun],
        config: &EvaluateConfig,
        seed: u64,
    ) -> anyhow::Result<Evaluation<'a>> {
        let conventions = config.conventions();
        let answers = runs.iter().map(|run| {
            let rankings = rankings(queries, run, &conventions)?;
            Ok(Answers { system: &run.system, rankings, weights: run.weights.clone() })
        });
        Evaluation::of(queries, answers.collect::<anyhow::Result<_>>()?, config, seed)
    }

    /// Measures and compares what systems answered.
    ///
    /// # Errors
    /// [`ConfigError`] for a family that names a system which is not there, [`pipeline::BadInput`] for slices that cannot be made.
    pub(crate) fn of(
        queries: &'a [TestQuery],
        answers: Vec<Answers<'a>>,
        config: &EvaluateConfig,
        seed: u64,
    ) -> anyhow::Result<Evaluation<'a>> {
        check_family(config, &answers)?;
        let (mut metrics, primary) = if is_by_teacher(queries) {
            (Measure::OF_TEACHERS_ORDER.to_vec(), Measure::KendallTau)
        } else {
            (config.metrics.iter().copied().map(Measure::Judged).collect(), Measure::Judged(config.primary))
        };
        let own_teacher = answers.iter().find(|answers| answers.system == TEACHER);
        let teacher: Vec<TeachersScores> = match own_teacher {
            _ if is_by_teacher(queries) => queries.iter().map(TeachersScores::of_query).collect(),
            Some(answers) => answers.rankings.iter().map(TeachersScores::of_ranking).collect(),
            None => Vec::new(),
        };
        let compared = metrics.clone();
        // How near a system is to its teacher says nothing about which is better.
        metrics.extend((own_teacher.is_some() && !is_by_teacher(queries)).then_some(Measure::KendallTau));
        let systems: Vec<Measured> =
            answers.into_iter().map(|answers| Measured::of(answers, &metrics, &teacher)).collect();
        let draws = Draws::of(config, seed);
        let slices = slices(queries, &config.slices)?;
        let mut wanted = Vec::new();
        for slice in &slices {
            for system in &systems {
                let values = metrics.iter().zip(&system.metrics);
                wanted.extend(values.map(|values| (values, system.system, slice)));
            }
        }
        let estimates =
            wanted.par_iter().map(|&(values, system, slice)| estimate(values, system, slice, draws.resamples, seed));
        let estimates = estimates.collect::<Result<Vec<_>, _>>()?;
        let comparisons = compare(&compared, primary, &systems, &slices, config, draws)?;
        Ok(Evaluation { queries, metrics, primary, slices, estimates, comparisons, systems, draws })
    }

    /// True if the teacher's order takes the place of judgments.
    pub(crate) fn is_by_teacher(&self) -> bool {
        is_by_teacher(self.queries)
    }

    /// True if the systems are runs that were read from files, each of its own documents.
    pub(crate) fn is_of_files(&self) -> bool {
        self.queries.iter().all(|query| query.doc_ids.is_empty())
    }

    /// A metric of a system on a slice.
    pub(crate) fn estimate(&self, system: &str, metric: &str, slice: &str) -> Option<&Estimate> {
        self.estimates.iter().find(|e| e.system == system && e.metric == metric && e.slice == slice)
    }

    /// The metrics that are drawn, and shown for slices: the primary one, and the pooled ones.
    pub(crate) fn headline_metrics(&self) -> impl Iterator<Item = Measure> {
        let pooled = self.metrics.iter().copied().filter(Measure::is_pooled);
        std::iter::once(self.primary).chain(pooled)
    }

    /// How `a` compares with `b` by the primary metric on all queries, in this direction.
    pub(crate) fn comparison(&self, a: &str, b: &str) -> Option<&Comparison> {
        let primary = self.primary.to_string();
        self.comparisons.iter().find(|c| c.metric == primary && c.slice == ALL && c.system_a == a && c.system_b == b)
    }

    /// The comparisons of the family, in its order.
    pub(crate) fn key_comparisons<'b>(
        &'b self,
        config: &'b EvaluateConfig,
    ) -> impl Iterator<Item = (&'b Comparison, Key)> {
        let found = config.family.iter().filter_map(|[a, b]| self.comparison(a, b));
        found.filter_map(|comparison| Some((comparison, comparison.key?)))
    }

    /// The student's share of the teacher's primary metric; `None` where one of them hardly ranks anything.
    pub(crate) fn student_share(&self) -> Option<Share> {
        if self.unranked().any(|system| [TEACHER, STUDENT].contains(&system)) {
            return None;
        }
        let pairs: Vec<(f64, f64)> = self.paired(STUDENT, TEACHER)?.iter().map(|pair| (pair.a, pair.b)).collect();
        let total = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>();
        let teacher = Some(total(|pair| pair.1)).filter(|&teacher| teacher > 0.0)?;
        let Draws { resamples, seed, .. } = self.draws;
        Some(Share { ratio: total(|pair| pair.0) / teacher, interval: bootstrap_ratio(&pairs, resamples, seed) })
    }

    /// A system of this name.
    pub(crate) fn system(&self, name: &str) -> Option<&Measured<'a>> {
        self.systems.iter().find(|system| system.system == name)
    }

    /// Systems that give several documents the highest score of at least half of the test queries: their metrics are those of
    /// the order of ties.
    pub(crate) fn unranked(&self) -> impl Iterator<Item = &'a str> {
        let most = self.queries.len().div_ceil(2).max(1);
        self.systems.iter().filter(move |system| system.tied_tops >= most).map(|system| system.system)
    }

    /// The primary metric of systems whose ties decide on its third decimal.
    pub(crate) fn tie_sensitive(&self) -> impl Iterator<Item = &Estimate> {
        let primary = self.primary.to_string();
        let estimates =
            self.estimates.iter().filter(move |estimate| estimate.metric == primary && estimate.slice == ALL);
        estimates.filter(|estimate| estimate.ties.is_some_and(|[low, high]| high - low >= 0.0005))
    }

    /// The primary metric of `a` and `b` on the queries that count for both; `None` where one of them is not there.
    pub(crate) fn paired(&self, a: &str, b: &str) -> Option<Vec<Paired>> {
        let primary = self.metrics.iter().position(|&metric| metric == self.primary)?;
        let values = |name| Some(&self.system(name)?.metrics[primary].found);
        let (a, b) = (values(a)?, values(b)?);
        let pair = |query| Some(Paired { query, a: a.of_query(query)?, b: b.of_query(query)? });
        Some((0..self.queries.len()).filter_map(pair).collect())
    }

    /// How often each special case of the conventions arose.
    pub(crate) fn special_cases(&self) -> SpecialCases {
        // What is relevant is the same for all systems.
        let rankings = self.systems.first().map_or(&[][..], |system| &system.rankings[..]);
        let is_of_one = |query: &&TestQuery| query.all_grades.windows(2).all(|grades| grades[0] == grades[1]);
        SpecialCases {
            queries: self.queries.len(),
            candidates: self.queries.iter().map(|q| q.doc_ids.len()).sum(),
            judged: self.queries.iter().map(|q| q.all_grades.len()).sum(),
            missing: self.queries.iter().map(|q| q.missing).sum(),
            no_relevant: rankings.iter().filter(|ranking| ranking.relevant() == 0).count(),
            one_grade: self.queries.iter().filter(is_of_one).count(),
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

/// Refuses pairs of a family of the user's own whose systems are not there.
fn check_family(config: &EvaluateConfig, answers: &[Answers]) -> Result<(), ConfigError> {
    let is_there = |system: &&String| answers.iter().any(|answers| answers.system == *system);
    let unknown = config.family.iter().flatten().find(|system| !is_there(system));
    let Some(unknown) = unknown.filter(|_| !config.is_default_family()) else { return Ok(()) };
    let systems: Vec<&str> = answers.iter().map(|answers| answers.system).collect();
    Err(ConfigError::Unusable(format!(
        "evaluate.family: expected systems of this run, {}, found {unknown}",
        systems.join(", ")
    )))
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
    /// Those of them that the table `documents` does not have.
    pub(crate) missing: usize,
    /// Queries without a relevant document.
    pub(crate) no_relevant: usize,
    /// Queries whose judged documents all have one grade, so that no order of them is better than another.
    pub(crate) one_grade: usize,
    /// Queries of which several documents share the highest score, by system.
    pub(crate) tied_tops: Vec<(String, u64)>,
    /// Pairs of different grade with equal scores, by system.
    pub(crate) tied_pairs: Vec<(String, u64)>,
}
