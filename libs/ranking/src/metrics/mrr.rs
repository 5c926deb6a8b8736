//! MRR.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// Mean reciprocal rank: 1 / rank of the first relevant document within the top k, 0 if there is none within.
///
/// Voorhees, "The TREC-8 Question Answering Track Report", 1999.
pub(super) const MRR: Definition = Definition {
    name: "mrr",
    about: "1 / rank of the first relevant document within rank k",
    formula: Formula::AtCutoff(reciprocal_rank),
};

fn reciprocal_rank(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let first = ranking.relevance().take(k).position(|relevant| relevant);
    let value = first.map_or(0.0, |index| 1.0 / (index as f64 + 1.0));
    QueryValue::of_relevant((ranking.relevant() > 0).then_some(value), ranking)
}
