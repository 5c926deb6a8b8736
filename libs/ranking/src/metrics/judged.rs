//! Judged.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// The share of the top k that was judged, of the documents there are: how far the other metrics can be trusted. 0 for a
/// ranking without a document.
///
/// `Judged` of ir_measures.
pub(super) const JUDGED: Definition = Definition {
    name: "judged",
    about: "share of the first k documents that was judged",
    formula: Formula::AtCutoff(judged),
};

fn judged(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let top = &ranking.retrieved()[..k.min(ranking.retrieved().len())];
    let judged = top.iter().filter(|document| document.grade.is_some()).count();
    QueryValue { value: Some(judged as f64 / top.len().max(1) as f64), no_relevant: false }
}
