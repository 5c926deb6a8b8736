use std::cmp::Ordering;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Labels, LossOutput, LossValue};
use super::definition::Definition;
use super::functions::{gain, sigmoid, softplus};

/// LambdaLoss with the NDCG weights of LambdaRank.
///
/// ```text
/// L    = mean over lists of sum over (i, j) with grade_i > grade_j of w_ij ln(1 + exp(-(s_i - s_j)))
/// w_ij = |NDCG change when i and j swap ranks|
///      = (2^grade_i - 2^grade_j) |1 / log2(1 + rank_i) - 1 / log2(1 + rank_j)| / ideal DCG of the list
/// ```
///
/// Ranks come from the scores, highest first, ties in list order. They are constants to the gradient, as in the
/// expectation-maximisation of the paper. NDCG is over the whole list. The mean runs over the lists with at least one
/// pair; without any the loss and its gradient are 0.
///
/// Burges, Ragno and Le, "Learning to Rank with Nonsmooth Cost Functions" (LambdaRank), NIPS 2006; Wang et al.,
/// "The LambdaLoss Framework for Ranking Metric Optimization", CIKM 2018.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lambda {}

impl Definition for Lambda {
    const LABELS: Labels = Labels::Grades;

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let (mut sum, mut contributing) = (0.0, 0_usize);
        let mut grad = vec![0.0; batch.scores.len()];
        for list in batch.lists() {
            let grades = &batch.labels[list.clone()];
            if grades.iter().all(|&grade| grade == grades[0]) {
                continue;
            }
            sum += add_list(&batch.scores[list.clone()], grades, &mut grad[list]);
            contributing += 1;
        }
        let scale = 1.0 / contributing.max(1) as f64;
        grad.iter_mut().for_each(|g| *g *= scale);
        LossValue::new(sum * scale, &grad).into()
    }
}

/// The loss of one list, whose gradient is added to `grad`.
fn add_list(scores: &[f32], grades: &[f32], grad: &mut [f64]) -> f64 {
    let discounts = discounts_by_score(scores);
    let ideal = ideal_dcg(grades);
    let mut sum = 0.0;
    for i in 0..scores.len() {
        for j in (0..scores.len()).filter(|&j| grades[i] > grades[j]) {
            let weight = (gain(grades[i]) - gain(grades[j])) * (discounts[i] - discounts[j]).abs() / ideal;
            let difference = f64::from(scores[i]) - f64::from(scores[j]);
            let slope = -weight * sigmoid(-difference);
            sum += weight * softplus(-difference);
            grad[i] += slope;
            grad[j] -= slope;
        }
    }
    sum
}

/// `1 / log2(1 + rank)` of a rank counted from 0.
fn discount(index: usize) -> f64 {
    1.0 / (index as f64 + 2.0).log2()
}

/// The discount of each document at its rank by score.
fn discounts_by_score(scores: &[f32]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| descending(&scores[a], &scores[b]));
    let mut discounts = vec![0.0; scores.len()];
    for (rank, document) in order.into_iter().enumerate() {
        discounts[document] = discount(rank);
    }
    discounts
}

fn ideal_dcg(grades: &[f32]) -> f64 {
    let mut sorted = grades.to_vec();
    sorted.sort_by(descending);
    sorted.into_iter().enumerate().map(|(rank, grade)| gain(grade) * discount(rank)).sum()
}

/// Highest first; scores and grades are known to be finite here.
fn descending(a: &f32, b: &f32) -> Ordering {
    b.partial_cmp(a).unwrap_or(Ordering::Equal)
}
