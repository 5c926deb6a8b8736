use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Labels, LossOutput, LossValue};
use super::definition::Definition;
use super::functions::{gain, log_sum_exp};

/// Listwise softmax cross-entropy against the normalised gains.
///
/// ```text
/// p_i = (2^grade_i - 1) / sum_k (2^grade_k - 1)
/// L   = mean over lists of -sum_i p_i ln softmax(s)_i
/// dL/ds_i = (softmax(s)_i - p_i) / lists
/// ```
///
/// The mean runs over the lists that hold a document of a grade above 0; the others have no target and contribute
/// nothing.
///
/// Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach" (ListNet), ICML 2007, with the
/// normalised labels of Bruch et al., "An Analysis of the Softmax Cost Function for Learning to Rank with Binary
/// Relevance", ICTIR 2019, as the target.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Softmax {}

impl Definition for Softmax {
    const LABELS: Labels = Labels::Grades;

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let (scores, grades) = (batch.scores, batch.labels);
        let (mut sum, mut contributing) = (0.0, 0_usize);
        let mut grad = vec![0.0; scores.len()];
        for list in batch.lists() {
            let total_gain: f64 = grades[list.clone()].iter().copied().map(gain).sum();
            if total_gain == 0.0 {
                continue;
            }
            let log_partition = log_sum_exp(&scores[list.clone()]);
            for i in list {
                let target = gain(grades[i]) / total_gain;
                let log_probability = f64::from(scores[i]) - log_partition;
                sum -= target * log_probability;
                grad[i] = log_probability.exp() - target;
            }
            contributing += 1;
        }
        let scale = 1.0 / contributing.max(1) as f64;
        grad.iter_mut().for_each(|g| *g *= scale);
        LossValue::new(sum * scale, &grad).into()
    }
}
