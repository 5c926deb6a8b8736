//! A metric of many queries.

use super::definition::QueryValue;
use super::pairs::PairCounts;

/// A metric of every query, in the order of the queries.
#[derive(Debug, Clone, PartialEq)]
pub enum Measurements {
    /// Values whose mean is the metric.
    Mean(Vec<QueryValue>),
    /// Pairs whose sum has the metric as its ratio.
    Pooled(Vec<PairCounts>),
}

impl Measurements {
    /// The metric over all queries; `None` where it is undefined.
    pub fn value(&self) -> Option<f64> {
        match self {
            Self::Mean(values) => Mean::of(values).value,
            Self::Pooled(pairs) => pairs.iter().copied().sum::<PairCounts>().pnr(),
        }
    }

    /// The queries that count towards it.
    pub fn queries(&self) -> usize {
        match self {
            Self::Mean(values) => Mean::of(values).queries,
            Self::Pooled(pairs) => pairs.iter().filter(|pairs| pairs.any()).count(),
        }
    }

    /// The metric of a single query; `None` where it is undefined or the query is left out.
    pub fn of_query(&self, query: usize) -> Option<f64> {
        match self {
            Self::Mean(values) => values[query].value,
            Self::Pooled(pairs) => pairs[query].pnr(),
        }
    }

    /// The measurements of some of the queries.
    #[must_use]
    pub fn select(&self, queries: &[usize]) -> Self {
        match self {
            Self::Mean(values) => Self::Mean(queries.iter().map(|&query| values[query]).collect()),
            Self::Pooled(pairs) => Self::Pooled(queries.iter().map(|&query| pairs[query]).collect()),
        }
    }
}

/// The mean of a metric over queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mean {
    /// The mean; `None` over no queries.
    pub value: Option<f64>,
    /// Queries in the mean.
    pub queries: usize,
    /// Queries without a relevant document, whether in the mean or left out of it.
    pub no_relevant: usize,
}

impl Mean {
    /// The mean over `queries`, summed in their order.
    pub fn of(queries: &[QueryValue]) -> Self {
        let values: Vec<f64> = queries.iter().filter_map(|query| query.value).collect();
        Self {
            value: (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64),
            queries: values.len(),
            no_relevant: queries.iter().filter(|query| query.no_relevant).count(),
        }
    }
}
