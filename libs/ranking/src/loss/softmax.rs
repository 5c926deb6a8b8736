use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Labels, LossOutput};
use super::definition::Definition;
use super::functions::{gain, log_sum_exp};
use super::lists::{List, mean_over_lists};

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
        mean_over_lists(batch, add_list).into()
    }
}

fn add_list(list: List<'_>) -> bool {
    let total_gain: f64 = list.labels.iter().copied().map(gain).sum();
    if total_gain == 0.0 {
        return false;
    }
    let log_partition = log_sum_exp(list.scores.iter().copied().map(f64::from));
    for ((&score, &grade), g) in list.scores.iter().zip(list.labels).zip(list.grad) {
        let target = gain(grade) / total_gain;
        let log_probability = f64::from(score) - log_partition;
        *list.sum -= target * log_probability;
        *g = log_probability.exp() - target;
    }
    true
}
