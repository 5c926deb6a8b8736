//! The likelihood of the order of the labels, which ListMLE and its position-aware form share.

use super::batch::{Batch, LossValue};
use super::functions::scaled_log_softmax;
use super::lists::{List, mean_over_lists};
use super::ranks::descending_order;

/// The negative log-likelihood of the labels' order under the Plackett-Luce model of the scores, each position
/// weighted.
///
/// ```text
/// L = mean over lists of sum_{i=1}^n w(i, n) (ln sum_{k >= i} e^{s_pi(k)} - s_pi(i))
/// ```
///
/// `pi(1)` is the document with the highest label, tied ones in list order. The mean runs over the lists of two
/// documents or more.
pub(super) fn negative_log_likelihood(batch: &Batch<'_>, weight: impl Fn(usize, usize) -> f64) -> LossValue {
    mean_over_lists(batch, |list| add_list(list, &weight))
}

fn add_list(list: List<'_>, weight: impl Fn(usize, usize) -> f64) -> bool {
    let n = list.scores.len();
    if n < 2 {
        return false;
    }
    let order = descending_order(list.labels);
    let scores: Vec<f32> = order.iter().map(|&document| list.scores[document]).collect();
    // The last position is certain.
    for position in 0..n - 1 {
        let weight = weight(position + 1, n);
        // Softmax over the documents not yet placed, each time from their own highest score: nothing cancels.
        let log_probabilities = scaled_log_softmax(&scores[position..], 1.0);
        *list.sum -= weight * log_probabilities[0];
        list.grad[order[position]] -= weight;
        for (&document, log_probability) in order[position..].iter().zip(log_probabilities) {
            list.grad[document] += weight * log_probability.exp();
        }
    }
    true
}
