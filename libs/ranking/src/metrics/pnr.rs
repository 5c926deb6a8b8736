//! PNR.

use super::definition::{Definition, Formula};
use super::pairs::PairCounts;

/// Positive-negative ratio: pairs of judged documents of one query with different grades that the scores order as the grades do,
/// over those that they order the other way, pooled over the queries. Pairs with equal scores count on neither side. Its
/// value is from 0 to infinity.
///
/// As in the evaluation of arXiv 2411.04539.
pub(super) const PNR: Definition = Definition {
    name: "pnr",
    about: "concordant / discordant pairs of judged documents of different grade, pooled over queries; tied pairs count on neither side",
    formula: Formula::Pairs(PairCounts::of),
};
