//! Success.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// 1 if a relevant document is within the top k, else 0; `success` of trec_eval. Its mean is the share of the queries
/// that the top k answer. Without a cut-off a relevant document anywhere in the ranking counts.
///
/// Buckley and Voorhees, "Retrieval System Evaluation", in "TREC: Experiment and Evaluation in Information Retrieval",
/// 2005.
pub(super) const SUCCESS: Definition = Definition {
    name: "success",
    about: "1 if a relevant document is within rank k, else 0",
    formula: Formula::AtCutoff(success),
};

fn success(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let found = ranking.relevance().take(k).any(|relevant| relevant);
    QueryValue::of_relevant((ranking.relevant() > 0).then_some(f64::from(u8::from(found))), ranking)
}
