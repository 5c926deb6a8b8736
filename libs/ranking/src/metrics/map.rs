//! MAP.

use super::definition::{Definition, Formula, QueryValue};
use super::list::Ranking;

/// Mean average precision.
///
/// ```text
/// AP@k = sum over ranks r <= k of a relevant document of (relevant documents within r) / r, / all relevant documents
/// ```
///
/// Buckley and Voorhees, "Evaluating Evaluation Measure Stability", SIGIR 2000; `map` and `map_cut` of trec_eval.
pub(super) const MAP: Definition = Definition {
    name: "map",
    about: "precision at the rank of each relevant document within rank k, summed, over all relevant documents",
    formula: Formula::AtCutoff(average_precision),
};

fn average_precision(ranking: &Ranking<'_>, k: usize) -> QueryValue {
    let (mut found, mut sum) = (0_usize, 0.0);
    for (index, _) in ranking.relevance().take(k).enumerate().filter(|&(_, relevant)| relevant) {
        found += 1;
        sum += found as f64 / (index as f64 + 1.0);
    }
    let relevant = ranking.relevant();
    QueryValue::of_relevant((relevant > 0).then(|| sum / relevant as f64), ranking)
}
