//! Metrics of every system on every query, and their values over queries with confidence intervals.

use std::fmt;
use std::num::NonZeroUsize;

use anyhow::{Context, ensure};
use ranking::metrics::{Conventions, Document, JudgedList, Measurements, Metric, Ranking, TieOrder};
use ranking::significance::{Interval, SignificanceError, bootstrap_mean, bootstrap_pnr};
use rayon::prelude::*;

use crate::agreement::{self, TeachersScores};
use crate::input::{SystemRun, TestQuery};
use crate::slices::Slice;

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

    fn of(&self, rankings: &[Ranking<'_>], teacher: &[TeachersScores<'_>]) -> Measurements {
        let agreement = |of: fn(&TeachersScores<'_>, &Ranking<'_>) -> _| {
            Measurements::Mean(teacher.iter().zip(rankings).map(|(teacher, ranking)| of(teacher, ranking)).collect())
        };
        match self {
            Measure::Judged(metric) => metric.measure(rankings),
            Measure::KendallTau => agreement(agreement::tau),
            Measure::TeacherNdcg => agreement(agreement::ndcg),
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

/// A system's ranking for every test query.
#[derive(Debug)]
pub(crate) struct Answers<'a> {
    pub(crate) system: &'a str,
    pub(crate) rankings: Vec<Ranking<'a>>,
    /// As [`SystemRun::weights`].
    pub(crate) weights: Vec<f64>,
}

/// One system's rankings and metrics, query by query in the order of the test queries.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) system: &'a str,
    pub(crate) rankings: Vec<Ranking<'a>>,
    /// Of each metric, in the order in which they were asked for.
    pub(crate) metrics: Vec<Values>,
    /// As [`SystemRun::weights`].
    pub(crate) weights: Vec<f64>,
    /// Queries of several documents of which at least two share the highest score.
    pub(crate) tied_tops: usize,
}

/// A metric of a system query by query, and what it can be trusted for.
#[derive(Debug)]
pub(crate) struct Values {
    pub(crate) found: Measurements,
    /// The judged share of the documents that the metric looks at; `None` for one that looks at no judgment.
    judged: Option<Measurements>,
    /// The metric under the worst and the best order of documents with equal scores; `None` where it cannot differ.
    ties: Option<[Measurements; 2]>,
}

impl<'a> Measured<'a> {
    /// Measures one system on every query. `teacher` holds the teacher's scores where a metric needs them.
    pub(crate) fn of(answers: Answers<'a>, metrics: &[Measure], teacher: &[TeachersScores<'_>]) -> Measured<'a> {
        let Answers { system, rankings, weights } = answers;
        let reordered = |order| rankings.iter().map(|ranking| ranking.with_ties(order)).collect::<Vec<_>>();
        let has_ties =
            rankings.iter().any(|ranking| ranking.retrieved().windows(2).any(|two| two[0].score == two[1].score));
        let reordered = has_ties.then(|| [TieOrder::Worst, TieOrder::Best].map(reordered));
        let values = |measure: &Measure| {
            let metric = if let Measure::Judged(metric) = measure { Some(metric) } else { None };
            let of_ties = metric.zip(reordered.as_ref()).filter(|(metric, _)| !metric.is_pooled());
            Values {
                found: measure.of(&rankings, teacher),
                judged: metric.map(|metric| metric.judged().measure(&rankings)),
                ties: of_ties.map(|(metric, orders)| orders.each_ref().map(|rankings| metric.measure(rankings))),
            }
        };
        let metrics = metrics.par_iter().map(values).collect();
        let tied_tops = rankings.iter().filter(|ranking| is_tied_at_the_top(ranking)).count();
        Measured { system, rankings, metrics, weights, tied_tops }
    }
}

/// True if the two highest scores are equal up to rounding: what stands first is then the convention's choice.
fn is_tied_at_the_top(ranking: &Ranking<'_>) -> bool {
    matches!(ranking.retrieved(), [first, second, ..] if first.score - second.score <= ROUNDING * (1.0 + first.score.abs()))
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
    // Of several errors, the first query's is told, whichever is found first.
    queries.par_iter().zip(&run.scores).map(ranking).collect::<Vec<_>>().into_iter().collect()
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

/// A metric of a system on a slice.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Estimate {
    pub(crate) system: String,
    pub(crate) metric: String,
    pub(crate) slice: String,
    /// `None` where it is undefined.
    pub(crate) value: Option<f64>,
    pub(crate) interval: Option<Interval>,
    /// Lowest and highest value over the orders of documents with equal scores.
    pub(crate) ties: Option<[f64; 2]>,
    /// Mean share of the documents that the metric looks at which somebody judged.
    pub(crate) judged: Option<f64>,
    /// Queries that count.
    pub(crate) queries: usize,
}

/// A metric of a system on a slice. The resamples are the same for every system, so intervals compare.
///
/// # Errors
/// [`SignificanceError`], which finite metrics rule out.
pub(crate) fn estimate(
    (metric, values): (&Measure, &Values),
    system: &str,
    slice: &Slice,
    resamples: NonZeroUsize,
    seed: u64,
) -> Result<Estimate, SignificanceError> {
    let of_slice = values.found.select(&slice.queries);
    let interval = match &of_slice {
        Measurements::Mean(values) => {
            let defined: Vec<f64> = values.iter().filter_map(|value| value.value).collect();
            (!defined.is_empty()).then(|| bootstrap_mean(&defined, resamples, seed)).transpose()?
        }
        Measurements::Pooled(pairs) => bootstrap_pnr(pairs, resamples, seed),
    };
    let value = of_slice.value();
    let ties = match &values.ties {
        Some([worst, best]) => {
            worst.select(&slice.queries).value().zip(best.select(&slice.queries).value()).map(|(low, high)| [low, high])
        }
        // The order of ties decides on it, but no judgment says which is best.
        None if *metric == Measure::TeacherNdcg => None,
        None => value.map(|value| [value, value]),
    };
    Ok(Estimate {
        system: system.to_string(),
        metric: metric.to_string(),
        slice: slice.name.clone(),
        value,
        interval,
        ties,
        judged: values.judged.as_ref().and_then(|judged| judged.select(&slice.queries).value()),
        queries: of_slice.queries(),
    })
}
