//! NDCG.

use super::definition::{Definition, Formula, QueryValue};
use super::list::{Grade, Ranking};

/// Normalised discounted cumulative gain at k.
///
/// ```text
/// DCG@k  = sum over ranks r = 1..k of gain(grade at r) / log2(r + 1)
/// NDCG@k = DCG@k of the ranking / DCG@k of all judged documents of the query, best first
/// ```
///
/// Järvelin and Kekäläinen, "Cumulated Gain-based Evaluation of IR Techniques", TOIS 2002. With
/// [`Gain::Linear`](super::Gain::Linear), [`Ties::DocIdDescending`](super::Ties::DocIdDescending) and
/// [`NoRelevant::Zero`](super::NoRelevant::Zero) it equals `ndcg_cut` of trec_eval for scores that are distinct or equal
/// in f32, the precision trec_eval sorts by.
pub(super) const NDCG: Definition = Definition {
    name: "ndcg",
    about: "gain / log2(rank + 1), summed to rank k, over that of the ideal ranking of all judged documents",
    formula: Formula::AtCutoff(ndcg),
};

fn ndcg(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let gain = ranking.conventions().gain;
    let dcg = |grades: &mut dyn Iterator<Item = Grade>| -> f64 {
        let discounted = |(index, grade): (usize, Grade)| gain.of(grade) / (index as f64 + 2.0).log2();
        // The sum of nothing is -0.0.
        grades.take(k).enumerate().map(discounted).sum::<f64>() + 0.0
    };
    let ideal = dcg(&mut ranking.ideal_grades().iter().copied());
    let found = dcg(&mut ranking.grades());
    QueryValue::of_relevant((ideal > 0.0).then(|| found / ideal), ranking)
}
