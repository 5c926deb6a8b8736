//! What every file of a metric defines.

use super::list::Ranking;
use super::pairs::PairCounts;

/// A family of metrics, such as NDCG at any cut-off.
#[derive(Debug)]
pub(super) struct Definition {
    /// Its name in `pipeline.toml` and in tables, before the `@`.
    pub(super) name: &'static str,
    /// What it measures, in a few words for the report.
    pub(super) about: &'static str,
    /// How it is computed.
    pub(super) formula: Formula,
}

/// How a metric is computed from the ranking of one query, and what stands behind the `@` of its name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Formula {
    /// `name@k` or `name`: a function of the cut-off k, which is `usize::MAX` for the whole ranking.
    AtCutoff(fn(&Ranking<'_>, usize) -> QueryValue),
    /// `name@p`: a function of a number p between 0 and 1.
    AtShare(fn(&Ranking<'_>, f64) -> QueryValue),
    /// `name`: pairs of documents, pooled over the queries.
    Pairs(fn(&Ranking<'_>) -> PairCounts),
}

/// A metric of one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryValue {
    /// The value in \[0, 1\]; `None` leaves the query out of the mean.
    pub value: Option<f64>,
    /// True if the query has no relevant document, so that the value is that of
    /// [`Conventions::no_relevant`](super::Conventions::no_relevant).
    pub no_relevant: bool,
}

impl QueryValue {
    /// `value`, or, of a query without a relevant document, the value that the conventions give it.
    pub(super) fn of_relevant(value: Option<f64>, ranking: &Ranking<'_>) -> Self {
        Self { value: value.or(ranking.conventions().without_relevant()), no_relevant: value.is_none() }
    }
}
