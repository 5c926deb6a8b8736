//! Ranks of documents, exact and approximate, and the discounts of DCG at them.

use std::cmp::Ordering;
use std::f64::consts::LN_2;

use super::functions::{gain, sigmoid};

/// The documents from the highest value to the lowest, ties in list order.
pub(super) fn descending_order(values: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Scores and labels are known to be finite here.
    order.sort_by(|&a, &b| values[b].partial_cmp(&values[a]).unwrap_or(Ordering::Equal));
    order
}

/// The rank of each document from the highest value, which has rank 1, ties in list order.
pub(super) fn ranks(values: &[f32]) -> Vec<usize> {
    let mut ranks = vec![0; values.len()];
    for (index, document) in descending_order(values).into_iter().enumerate() {
        ranks[document] = index + 1;
    }
    ranks
}

/// The rank of each document from the highest value, which has rank 1; tied documents share the mean of their ranks.
pub(super) fn mean_ranks(values: &[f32]) -> Vec<f64> {
    let order = descending_order(values);
    let mut ranks = vec![0.0; values.len()];
    let mut above = 0;
    for tied in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = above as f64 + (tied.len() as f64 + 1.0) / 2.0;
        tied.iter().for_each(|&document| ranks[document] = rank);
        above += tied.len();
    }
    ranks
}

/// `1 / log2(1 + rank)`, the discount of DCG (Järvelin and Kekäläinen, TOIS 2002).
pub(super) fn discount(rank: f64) -> f64 {
    1.0 / (rank + 1.0).log2()
}

/// The derivative of [`discount`] on the rank.
pub(super) fn discount_slope(rank: f64) -> f64 {
    -discount(rank).powi(2) / ((rank + 1.0) * LN_2)
}

/// The DCG of the documents in the order of their grades.
pub(super) fn ideal_dcg(grades: &[f32]) -> f64 {
    let order = descending_order(grades).into_iter().enumerate();
    order.map(|(index, document)| gain(grades[document]) * discount(index as f64 + 1.0)).sum()
}

/// The differentiable rank of each document by its score, best rank 1 (Qin, Liu and Li, 2010):
///
/// ```text
/// rhat_i = 1 + sum_{j != i} sigmoid((s_j - s_i) / tau)
/// ```
///
/// It nears the rank as the temperature tau falls to 0; tied documents share the mean of their ranks at any.
pub(super) fn approximate_ranks(scores: &[f32], temperature: f64) -> Vec<f64> {
    let mut ranks = vec![1.0; scores.len()];
    for i in 0..scores.len() {
        for j in 0..i {
            let above = scaled_difference(scores[j], scores[i], temperature);
            ranks[i] += sigmoid(above);
            ranks[j] += sigmoid(-above);
        }
    }
    ranks
}

/// Adds to `grad` the derivative on each score of a loss whose derivative on each of its [`approximate_ranks`] is
/// `slopes`.
pub(super) fn add_rank_gradient(scores: &[f32], temperature: f64, slopes: &[f64], grad: &mut [f64]) {
    for i in 0..scores.len() {
        for j in 0..i {
            let above = scaled_difference(scores[j], scores[i], temperature);
            let slope = (slopes[i] - slopes[j]) * sigmoid(above) * sigmoid(-above) / temperature;
            grad[i] -= slope;
            grad[j] += slope;
        }
    }
}

/// `(a - b) / temperature`.
fn scaled_difference(a: f32, b: f32, temperature: f64) -> f64 {
    (f64::from(a) - f64::from(b)) / temperature
}
