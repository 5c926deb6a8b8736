//! Precision.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// The share of the top k that is relevant; a ranking of fewer documents than k is divided by k all the same, as `P` of
/// trec_eval does. Without a cut-off it is the share of the ranking.
pub(super) const PRECISION: Definition = Definition {
    name: "precision",
    about: "share of the first k documents that is relevant",
    formula: Formula::AtCutoff(precision),
};

fn precision(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let found = ranking.relevance().take(k).filter(|&relevant| relevant).count();
    let documents = if k == usize::MAX { ranking.measured().count().max(1) } else { k };
    QueryValue::of_relevant((ranking.relevant() > 0).then(|| found as f64 / documents as f64), ranking)
}
