//! Metrics of every system on every query, and their means with confidence intervals.

use std::num::NonZeroUsize;

use anyhow::{Context, ensure};
use pipeline::config::{self, EvaluateConfig};
use ranking::metrics::{
    Conventions, Document, Gain, JudgedList, Mean, NoRelevant, PairCounts, QueryValue, Ties, ndcg, reciprocal_rank,
};
use ranking::significance::{Interval, bootstrap_mean, bootstrap_pnr};

use crate::input::{SystemRun, TestQuery};

/// A metric whose value is a mean over queries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MeanMetric {
    Ndcg(NonZeroUsize),
    ReciprocalRank(NonZeroUsize),
}

const fn cutoff(k: usize) -> NonZeroUsize {
    match NonZeroUsize::new(k) {
        Some(k) => k,
        None => NonZeroUsize::MIN,
    }
}

/// The metric that systems are judged by first.
pub(crate) const PRIMARY: MeanMetric = MeanMetric::Ndcg(cutoff(10));

/// Every mean metric, in the order people read them.
pub(crate) const MEAN_METRICS: [MeanMetric; 5] = [
    MeanMetric::Ndcg(cutoff(1)),
    MeanMetric::Ndcg(cutoff(3)),
    MeanMetric::Ndcg(cutoff(5)),
    PRIMARY,
    MeanMetric::ReciprocalRank(cutoff(10)),
];

/// Name of the pooled positive-negative ratio.
pub(crate) const PNR: &str = "pnr";

impl MeanMetric {
    /// Its name in the tables.
    pub(crate) fn name(self) -> String {
        match self {
            MeanMetric::Ndcg(k) => format!("ndcg@{k}"),
            MeanMetric::ReciprocalRank(k) => format!("mrr@{k}"),
        }
    }

    fn of(self, list: &JudgedList, conventions: &Conventions) -> QueryValue {
        match self {
            MeanMetric::Ndcg(k) => ndcg(list, k, conventions),
            MeanMetric::ReciprocalRank(k) => reciprocal_rank(list, k, conventions),
        }
    }
}

/// The configuration in the metrics' own terms.
pub(crate) fn conventions(config: &EvaluateConfig) -> Conventions {
    Conventions {
        gain: match config.gain {
            config::Gain::Exponential => Gain::Exponential,
            config::Gain::Linear => Gain::Linear,
        },
        ties: match config.ties {
            config::Ties::DocIdDescending => Ties::DocIdDescending,
            config::Ties::Stable => Ties::Stable,
        },
        no_relevant: match config.no_relevant {
            config::NoRelevant::Skip => NoRelevant::Skip,
            config::NoRelevant::Zero => NoRelevant::Zero,
            config::NoRelevant::One => NoRelevant::One,
        },
        ..Conventions::default()
    }
}

/// One system's metrics, query by query in the order of the test queries.
#[derive(Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) system: &'a str,
    /// Each query's documents, best first.
    pub(crate) rankings: Vec<Vec<Document<'a>>>,
    /// Values of each of [`MEAN_METRICS`].
    pub(crate) values: Vec<Vec<QueryValue>>,
    pub(crate) pairs: Vec<PairCounts>,
    /// As [`SystemRun::weights`].
    pub(crate) weights: Vec<f64>,
}

/// Measures one system on every query.
///
/// # Errors
/// Where scores and candidates do not match, and on a NaN score, naming system, query and document.
pub(crate) fn measure<'a>(
    queries: &'a [TestQuery],
    run: &'a SystemRun,
    conventions: &Conventions,
) -> anyhow::Result<Measured<'a>> {
    let system = run.system.as_str();
    ensure!(
        run.scores.len() == queries.len(),
        "system {system}: expected the scores of {} queries, found {}",
        queries.len(),
        run.scores.len()
    );
    let mut measured = Measured {
        system,
        rankings: Vec::with_capacity(queries.len()),
        values: vec![Vec::with_capacity(queries.len()); MEAN_METRICS.len()],
        pairs: Vec::with_capacity(queries.len()),
        weights: run.weights.clone(),
    };
    for (query, scores) in queries.iter().zip(&run.scores) {
        let list = judged_list(query, scores).with_context(|| format!("system {system}"))?;
        measured.rankings.push(list.ranked(conventions.ties));
        measured.pairs.push(PairCounts::of(&list));
        for (metric, values) in MEAN_METRICS.iter().zip(&mut measured.values) {
            values.push(metric.of(&list, conventions));
        }
    }
    Ok(measured)
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
    let scored = documents
        .iter()
        .zip(scores)
        .zip(grades)
        .map(|((doc_id, &score), &grade)| Document { doc_id, score, grade: Some(grade) })
        .collect();
    // A candidate nobody judged counts as grade 0; the ideal ranking gains nothing from the zeros added for it.
    let unjudged = grades.iter().filter(|&&grade| grade == 0).map(|_| 0);
    let judged: Vec<u8> = query.all_grades.iter().copied().chain(unjudged).collect();
    Ok(JudgedList::new(&query.query_id, scored, &judged)?)
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

/// Every metric of a system on a slice. The resamples are the same for every system, so intervals compare.
///
/// # Errors
/// [`ranking::significance::SignificanceError`], which finite metrics rule out.
pub(crate) fn estimates(
    measured: &Measured,
    slice: &Slice,
    resamples: NonZeroUsize,
    seed: u64,
) -> anyhow::Result<Vec<Estimate>> {
    let estimate = |metric, value, interval, queries| Estimate {
        system: measured.system.to_string(),
        metric,
        slice: slice.name,
        value,
        interval,
        queries,
    };
    let mut found = Vec::new();
    for (metric, values) in MEAN_METRICS.iter().zip(&measured.values) {
        let values: Vec<QueryValue> = slice.queries.iter().map(|&i| values[i]).collect();
        let mean = Mean::of(&values);
        let defined: Vec<f64> = values.iter().filter_map(|value| value.value).collect();
        let interval = match defined.as_slice() {
            [] => None,
            defined => Some(bootstrap_mean(defined, resamples, seed)?),
        };
        found.push(estimate(metric.name(), mean.value, interval, mean.queries));
    }
    let pairs: Vec<PairCounts> = slice.queries.iter().map(|&i| measured.pairs[i]).collect();
    let pooled: PairCounts = pairs.iter().copied().sum();
    let interval = bootstrap_pnr(&pairs, resamples, seed);
    let counting = pairs.iter().filter(|pairs| has_pairs(pairs)).count();
    found.push(estimate(PNR.into(), pooled.pnr(), interval, counting));
    Ok(found)
}

/// Whether a query has documents of different grades.
pub(crate) fn has_pairs(pairs: &PairCounts) -> bool {
    pairs.concordant + pairs.discordant + pairs.tied > 0
}
