//! Recall.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// The share of all judged relevant documents of the query that are within the top k; `recall` of trec_eval.
pub(super) const RECALL: Definition = Definition {
    name: "recall",
    about: "share of all judged relevant documents that are within rank k",
    formula: Formula::AtCutoff(recall),
};

fn recall(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let found = ranking.relevance().take(k).filter(|&relevant| relevant).count();
    let relevant = ranking.relevant();
    QueryValue::of_relevant((relevant > 0).then(|| found as f64 / relevant as f64), ranking)
}
