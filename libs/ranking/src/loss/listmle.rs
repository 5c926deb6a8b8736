use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput};
use super::definition::Definition;
use super::plackett_luce::negative_log_likelihood;

/// ListMLE: the negative log-likelihood of the labels' order under the Plackett-Luce model of the scores.
///
/// ```text
/// L = mean over lists of sum_{i=1}^n (ln sum_{k >= i} e^{s_pi(k)} - s_pi(i))
/// pi(1), ..., pi(n) = the documents from the highest label to the lowest
/// ```
///
/// Only the order of the labels counts. Documents of equal labels stand in list order, and the loss learns that order
/// as it learns the rest: it suits labels that are seldom tied, such as a teacher's scores. The sum is not divided by
/// n, so that its gradient grows with the list. The mean runs over the lists of two documents or more; without any the
/// loss and its gradient are 0. The cost of a list is quadratic in its length.
///
/// Xia et al., "Listwise Approach to Learning to Rank: Theory and Algorithm", ICML 2008.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListMle {}

impl Definition for ListMle {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        negative_log_likelihood(batch, |_, _| 1.0).into()
    }
}
