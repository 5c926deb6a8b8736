//! Metrics of every system on every query, and their values over queries with confidence intervals.

use std::fmt;
use std::num::NonZeroUsize;

use anyhow::{Context, ensure};
use ranking::metrics::{Conventions, Document, JudgedList, Measurements, Metric, Ranking};
use ranking::significance::{Interval, bootstrap_mean, bootstrap_pnr};

use crate::agreement;
use crate::input::{SystemRun, TestQuery};

/// Scores that differ by less than this share of their size are equal but for the rounding of `f32`.
const ROUNDING: f64 = 1e-6;

/// What systems are measured by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Measure {
    /// A metric on judged documents.
    Judged(Metric),
    /// As [`agreement::tau`].
    KendallTau,
    /// As [`agreement::ndcg`].
    TeacherNdcg,
}

impl Measure {
    /// What is measured where the teacher's order takes the place of judgments.
    pub(crate) const OF_TEACHERS_ORDER: [Measure; 2] = [Measure::KendallTau, Measure::TeacherNdcg];

    /// As [`Metric::is_pooled`].
    pub(crate) fn is_pooled(&self) -> bool {
        matches!(self, Measure::Judged(metric) if metric.is_pooled())
    }

    /// As [`Metric::family`].
    pub(crate) fn family(&self) -> &'static str {
        match self {
            Measure::Judged(metric) => metric.family(),
            Measure::KendallTau => "kendall_tau",
            Measure::TeacherNdcg => "teacher_ndcg",
        }
    }

    /// As [`Metric::about`].
    pub(crate) fn about(&self) -> &'static str {
        match self {
            Measure::Judged(metric) => metric.about(),
            Measure::KendallTau => {
                "Kendall's tau-b of the teacher's scores and the system's: 1 for the same order, -1 for its reverse"
            }
            Measure::TeacherNdcg => {
                "1 / (rank in the teacher's order) / log2(rank + 1), summed to rank 10, over that of the teacher's order"
            }
        }
    }

    fn of(&self, queries: &[TestQuery], run: &SystemRun, rankings: &[Ranking<'_>]) -> Measurements {
        match self {
            Measure::Judged(metric) => metric.measure(rankings),
            Measure::KendallTau => {
                let values = queries.iter().zip(&run.scores).map(|(query, scores)| agreement::tau(query, scores));
                Measurements::Mean(values.collect())
            }
            Measure::TeacherNdcg => {
                let values = queries.iter().zip(rankings).map(|(query, ranking)| agreement::ndcg(query, ranking));
                Measurements::Mean(values.collect())
            }
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Measure::Judged(metric) => metric.fmt(f),
            Measure::KendallTau => f.write_str("kendall_tau"),
            Measure::TeacherNdcg => f.write_str("teacher_ndcg@10"),
        }
    }
}

/// One system's rankings and metrics, query by query in the order of the test queries.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) system: &'a str,
    pub(crate) rankings: Vec<Ranking<'a>>,
    /// Of each metric, in the order in which they were asked for.
    pub(crate) metrics: Vec<Measurements>,
    /// As [`SystemRun::weights`].
    pub(crate) weights: Vec<f64>,
    /// Queries of several candidates of which at least two share the highest score.
    pub(crate) tied_tops: usize,
}

/// Measures one system on every query.
///
/// # Errors
/// As [`rankings`].
pub(crate) fn measure<'a>(
    queries: &'a [TestQuery],
    run: &'a SystemRun,
    metrics: &[Measure],
    conventions: &Conventions,
) -> anyhow::Result<Measured<'a>> {
    let rankings = rankings(queries, run, conventions)?;
    let metrics = metrics.iter().map(|metric| metric.of(queries, run, &rankings)).collect();
    let tied_tops = run.scores.iter().filter(|scores| is_tied_at_the_top(scores)).count();
    Ok(Measured { system: &run.system, rankings, metrics, weights: run.weights.clone(), tied_tops })
}

/// True if the two highest scores are equal up to rounding: what stands first is then the convention's choice.
fn is_tied_at_the_top(scores: &[f64]) -> bool {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    matches!(sorted[..], [first, second, ..] if first - second <= ROUNDING * (1.0 + first.abs()))
}

/// The ranking that a system makes of the candidates of every query.
///
/// # Errors
/// Where scores and candidates do not match, and on a NaN score, naming system, query and document.
pub(crate) fn rankings<'a>(
    queries: &'a [TestQuery],
    run: &SystemRun,
    conventions: &Conventions,
) -> anyhow::Result<Vec<Ranking<'a>>> {
    let system = &run.system;
    ensure!(
        run.scores.len() == queries.len(),
        "system {system}: expected the scores of {} queries, found {}",
        queries.len(),
        run.scores.len()
    );
    let ranking = |(query, scores): (&'a TestQuery, &Vec<f64>)| {
        let list = judged_list(query, scores).with_context(|| format!("system {system}"))?;
        Ok(list.ranking(conventions))
    };
    queries.iter().zip(&run.scores).map(ranking).collect()
}

fn judged_list<'a>(query: &'a TestQuery, scores: &[f64]) -> anyhow::Result<JudgedList<'a>> {
    let (documents, grades) = (&query.doc_ids, &query.grades);
    ensure!(
        scores.len() == documents.len() && grades.len() == documents.len(),
        "query {}: expected a score and a grade for each of {} candidates, found {} and {}",
        query.query_id,
        documents.len(),
        scores.len(),
        grades.len()
    );
    let scored = documents.iter().zip(scores).zip(grades);
    let scored = scored.map(|((doc_id, &score), &grade)| Document { doc_id, score, grade });
    Ok(JudgedList::new(&query.query_id, scored.collect(), &query.all_grades)?)
}

/// A set of test queries.
#[derive(Debug)]
pub(crate) struct Slice {
    pub(crate) name: &'static str,
    /// Indices of its queries.
    pub(crate) queries: Vec<usize>,
}

/// All queries; the head, searched more often than the median query; the tail, the rest.
pub(crate) fn slices(queries: &[TestQuery]) -> [Slice; 3] {
    let mut searches: Vec<i64> = queries.iter().map(|query| query.searches).collect();
    searches.sort_unstable();
    // The lower of two middle values, so that half of distinct counts lie above it.
    let median = searches.get(searches.len().saturating_sub(1) / 2).copied();
    let of = |name, keep: &dyn Fn(i64) -> bool| Slice {
        name,
        queries: (0..queries.len()).filter(|&i| keep(queries[i].searches)).collect(),
    };
    [
        of("all", &|_| true),
        of("head", &|searches| Some(searches) > median),
        of("tail", &|searches| Some(searches) <= median),
    ]
}

/// A metric of a system on a slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) system: String,
    pub(crate) metric: String,
    pub(crate) slice: &'static str,
    /// `None` where it is undefined.
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<Interval>,
    /// Queries that count.
    pub(crate) queries: usize,
}

/// Every one of `metrics` of a system on a slice. The resamples are the same for every system, so intervals compare.
///
/// # Errors
/// [`ranking::significance::SignificanceError`], which finite metrics rule out.
pub(crate) fn estimates(
    metrics: &[Measure],
    measured: &Measured,
    slice: &Slice,
    resamples: NonZeroUsize,
    seed: u64,
) -> anyhow::Result<Vec<Estimate>> {
    let estimate = |(metric, all): (&Measure, &Measurements)| {
        let of_slice = all.select(&slice.queries);
        let interval = match &of_slice {
            Measurements::Mean(values) => {
                let defined: Vec<f64> = values.iter().filter_map(|value| value.value).collect();
                (!defined.is_empty()).then(|| bootstrap_mean(&defined, resamples, seed)).transpose()?
            }
            Measurements::Pooled(pairs) => bootstrap_pnr(pairs, resamples, seed),
        };
        Ok(Estimate {
            system: measured.system.to_string(),
            metric: metric.to_string(),
            slice: slice.name,
            value: of_slice.value(),
            interval,
            queries: of_slice.queries(),
        })
    };
    metrics.iter().zip(&measured.metrics).map(estimate).collect()
}
