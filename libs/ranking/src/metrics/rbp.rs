//! RBP.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// Rank-biased precision: the rate of relevant documents that a user sees who goes on from one document to the next with
/// probability p, the persistence.
///
/// ```text
/// RBP(p) = (1 - p) sum over ranks r of a relevant document of p^(r - 1)
/// ```
///
/// Moffat and Zobel, "Rank-biased Precision for Measurement of Retrieval Effectiveness", TOIS 2008. It is not normalised:
/// the best ranking has a value below 1.
pub(super) const RBP: Definition = Definition {
    name: "rbp",
    about: "(1 - p) p^(rank - 1), summed over the relevant documents; p is the number behind the @",
    formula: Formula::AtShare(rank_biased_precision),
};

fn rank_biased_precision(ranking: &Ranking<'_>, persistence: f64) -> QueryValue {
    let (mut value, mut reached) = (0.0, 1.0);
    for relevant in ranking.relevance() {
        if relevant {
            value += (1.0 - persistence) * reached;
        }
        reached *= persistence;
    }
    QueryValue::of_relevant((ranking.relevant() > 0).then_some(value), ranking)
}
