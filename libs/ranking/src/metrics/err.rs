//! ERR.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// Expected reciprocal rank: the mean of 1 / rank at which a user stops who reads from the top and is satisfied by a
/// document with a probability that its grade gives.
///
/// ```text
/// R_r   = (2^grade at r - 1) / 2^max_grade
/// ERR@k = sum over ranks r = 1..k of 1/r R_r prod over i < r of (1 - R_i)
/// ```
///
/// Chapelle et al., "Expected Reciprocal Rank for Graded Relevance", CIKM 2009. It is not normalised: the best ranking
/// has a value below 1.
pub(super) const ERR: Definition = Definition {
    name: "err",
    about: "expected 1 / rank at which a user stops, who stops at a document with probability (2^grade - 1) / 2^max_grade",
    formula: Formula::AtCutoff(expected_reciprocal_rank),
};

fn expected_reciprocal_rank(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let highest = ranking.conventions().max_grade;
    let (mut value, mut reads_on) = (0.0, 1.0);
    for (index, grade) in ranking.grades().take(k).enumerate() {
        let stops = (f64::from(grade.min(highest)).exp2() - 1.0) / f64::from(highest).exp2();
        value += reads_on * stops / (index as f64 + 1.0);
        reads_on *= 1.0 - stops;
    }
    QueryValue::of_relevant((ranking.relevant() > 0).then_some(value), ranking)
}
