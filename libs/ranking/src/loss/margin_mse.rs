use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, LossValue};
use super::definition::Definition;

/// Margin mean squared error: the differences of the scores within a list against those of the labels.
///
/// ```text
/// L = 1/|P| sum over {i, j} in P of ((t_i - t_j) - (s_i - s_j))^2
/// P = the pairs of one list, each counted once, over all lists
/// ```
///
/// With `d = t - s`, a list of `n` documents and the mean `m` of its `d`, the pairs of the list sum to
/// `n sum_i d_i^2 - (sum_i d_i)^2 = n sum_i (d_i - m)^2`, so that the cost is linear in the batch, and
/// `dL/ds_i = -2 n (d_i - m) / |P|`. The centred form is the one computed: it does not cancel where labels and scores
/// differ by a large constant. Lists of one document have no pair; without any pair the loss and its gradient are 0.
///
/// Hofstätter et al., "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation",
/// arXiv 2010.02666, over all pairs of a list as in arXiv 2411.04539.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MarginMse {}

impl Definition for MarginMse {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let (mut sum, mut pairs) = (0.0, 0.0);
        let mut grad = vec![0.0; batch.scores.len()];
        for list in batch.lists() {
            let n = list.len() as f64;
            let gap = |i: usize| f64::from(batch.labels[i]) - f64::from(batch.scores[i]);
            let mean = list.clone().map(gap).sum::<f64>() / n;
            for i in list {
                let centred = gap(i) - mean;
                sum += n * centred * centred;
                grad[i] = -2.0 * n * centred;
            }
            pairs += n * (n - 1.0) / 2.0;
        }
        let scale = if pairs > 0.0 { 1.0 / pairs } else { 0.0 };
        grad.iter_mut().for_each(|g| *g *= scale);
        LossValue::new(sum * scale, &grad).into()
    }
}
