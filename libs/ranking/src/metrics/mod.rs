//! Ranking metrics of one query and their means over queries, with every convention explicit.
//!
//! NDCG: Järvelin and Kekäläinen, "Cumulated Gain-based Evaluation of IR Techniques", TOIS 2002. With
//! [`Gain::Linear`], [`Ties::DocIdDescending`] and [`NoRelevant::Zero`] it equals `ndcg_cut` of trec_eval for scores
//! that are distinct or equal in f32, the precision trec_eval sorts by. A document without a judgment gains nothing,
//! and no pair of the positive-negative ratio holds one.

mod judged;
mod pairs;

use std::num::NonZeroUsize;

pub use judged::{Document, JudgedList, MetricError};
pub use pairs::{MeanPnr, PairCounts, mean_pnr};

/// What a grade is worth in NDCG.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Gain {
    /// `2^grade - 1` (Burges et al., ICML 2005).
    #[default]
    Exponential,
    /// `grade`, as in trec_eval.
    Linear,
}

impl Gain {
    fn of(self, grade: u8) -> f64 {
        match self {
            Self::Exponential => f64::from(grade).exp2() - 1.0,
            Self::Linear => f64::from(grade),
        }
    }
}

/// The order of documents with equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ties {
    /// Document ids in descending byte order, as in trec_eval: no system gains from the order it happens to write.
    #[default]
    DocIdDescending,
    /// The order in which the list was given.
    Stable,
}

/// The value of a query without a relevant document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoRelevant {
    /// None: the query is left out of the mean.
    #[default]
    Skip,
    /// 0, as in trec_eval.
    Zero,
    /// 1, as in LightGBM.
    One,
}

/// The conventions of NDCG, MRR and recall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conventions {
    /// What a grade is worth in NDCG.
    pub gain: Gain,
    /// The order of documents with equal scores.
    pub ties: Ties,
    /// The value of a query without a relevant document.
    pub no_relevant: NoRelevant,
    /// The lowest grade that MRR and recall call relevant (default 1). NDCG calls any grade above 0 relevant.
    pub relevant_grade: u8,
}

impl Default for Conventions {
    fn default() -> Self {
        Self { gain: Gain::default(), ties: Ties::default(), no_relevant: NoRelevant::default(), relevant_grade: 1 }
    }
}

impl Conventions {
    /// `value` of a query with relevant documents, else the value that the convention gives it.
    fn resolve(&self, value: Option<f64>) -> QueryValue {
        let fallback = match self.no_relevant {
            NoRelevant::Skip => None,
            NoRelevant::Zero => Some(0.0),
            NoRelevant::One => Some(1.0),
        };
        QueryValue { value: value.or(fallback), no_relevant: value.is_none() }
    }
}

/// A metric of one query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QueryValue {
    /// The value in \[0, 1\]; `None` leaves the query out of the mean.
    pub value: Option<f64>,
    /// Whether the query has no relevant document, so that the value is [`Conventions::no_relevant`]'s.
    pub no_relevant: bool,
}

/// NDCG at `k`.
///
/// ```text
/// DCG@k  = sum over ranks r = 1..k of gain(grade at r) / log2(r + 1)
/// NDCG@k = DCG@k of the list / DCG@k of all judged documents of the query, best first
/// ```
pub fn ndcg(list: &JudgedList, k: NonZeroUsize, conventions: &Conventions) -> QueryValue {
    let dcg = |grades: &mut dyn Iterator<Item = u8>| -> f64 {
        let discounted = |(index, grade): (usize, u8)| conventions.gain.of(grade) / (index as f64 + 2.0).log2();
        grades.take(k.get()).enumerate().map(discounted).sum()
    };
    let ideal = dcg(&mut list.ideal_grades().iter().copied());
    let found = dcg(&mut list.ranked(conventions.ties).into_iter().map(|document| document.grade.unwrap_or(0)));
    conventions.resolve((ideal > 0.0).then(|| found / ideal))
}

/// Reciprocal rank of the first relevant document within the top `k`, 0 if there is none within.
///
/// Its mean over queries is MRR@k (Voorhees, "The TREC-8 Question Answering Track Report", 1999).
pub fn reciprocal_rank(list: &JudgedList, k: NonZeroUsize, conventions: &Conventions) -> QueryValue {
    let top = list.ranked(conventions.ties).into_iter().take(k.get());
    let first = top.map(|document| document.is_relevant(conventions)).position(|relevant| relevant);
    let value = first.map_or(0.0, |index| 1.0 / (index as f64 + 1.0));
    conventions.resolve((list.relevant(conventions) > 0).then_some(value))
}

/// The share of all judged relevant documents of the query that are within the top `k`.
pub fn recall(list: &JudgedList, k: NonZeroUsize, conventions: &Conventions) -> QueryValue {
    let top = list.ranked(conventions.ties).into_iter().take(k.get());
    let found = top.filter(|document| document.is_relevant(conventions)).count();
    let relevant = list.relevant(conventions);
    conventions.resolve((relevant > 0).then(|| found as f64 / relevant as f64))
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

#[cfg(test)]
mod tests;
