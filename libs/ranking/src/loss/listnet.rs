use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput};
use super::definition::Definition;
use super::functions::scaled_log_softmax;
use super::lists::{List, mean_over_lists};

/// ListNet: cross-entropy between the top-one probabilities of the labels and of the scores.
///
/// ```text
/// p_i = softmax(t)_i, q_i = softmax(s)_i within each list
/// L   = mean over lists of -sum_i p_i ln q_i
/// dL/ds_i = (q_i - p_i) / lists
/// ```
///
/// It is [`Kl`](super::Kl) at temperature 1 plus the entropy of the labels, with the same gradient;
/// [`Softmax`](super::Softmax) takes gains of grades for targets instead. A shift of all labels or all scores of a list
/// changes nothing. The mean runs over the lists of two documents or more; without any the loss and its gradient are 0.
///
/// Cao et al., "Learning to Rank: From Pairwise Approach to Listwise Approach", ICML 2007, sections 4 and 5.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListNet {}

impl Definition for ListNet {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, add_list).into()
    }
}

fn add_list(list: List<'_>) -> bool {
    if list.scores.len() < 2 {
        return false;
    }
    let (target, found) = (scaled_log_softmax(list.labels, 1.0), scaled_log_softmax(list.scores, 1.0));
    for ((g, target), found) in list.grad.iter_mut().zip(target).zip(found) {
        *list.sum -= target.exp() * found;
        *g = found.exp() - target.exp();
    }
    true
}
