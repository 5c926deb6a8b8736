use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, Labels, LossOutput, ParameterError};
use super::definition::Definition;
use super::functions::{check_above_0, gain, sigmoid, softplus};
use super::lists::{List, are_equal, mean_over_lists};
use super::ranks::{discount, ideal_dcg, ranks};

/// LambdaLoss: the pairwise logistic loss, each pair weighted by what its order is worth in NDCG.
///
/// ```text
/// L    = mean over lists of sum over (i, j) with grade_i > grade_j of w_ij ln(1 + exp(-(s_i - s_j)))
/// w_ij = (2^grade_i - 2^grade_j) / ideal DCG of the list * (weighting below)
///
/// lambdarank   rho_ij   = |1 / D(rank_i) - 1 / D(rank_j)|, so that w_ij = |NDCG change when i and j swap ranks|
/// ndcg_loss2   delta_ij = |1 / D(|rank_i - rank_j|) - 1 / D(|rank_i - rank_j| + 1)|
/// ndcg_loss2pp rho_ij + mu delta_ij
/// D(r) = log2(1 + r)
/// ```
///
/// Ranks come from the scores, highest first, ties in list order. They are constants to the gradient, as in the
/// expectation-maximisation of the paper. NDCG is over the whole list. The mean runs over the lists with at least one
/// pair; without any the loss and its gradient are 0. The paper's logarithm of the sigmoid is of base 2, this one
/// natural: its loss is this one over ln 2.
///
/// Burges, Ragno and Le, "Learning to Rank with Nonsmooth Cost Functions" (LambdaRank), NIPS 2006; Wang et al.,
/// "The LambdaLoss Framework for Ranking Metric Optimization", CIKM 2018, for rho, delta, NDCG-Loss2 and
/// NDCG-Loss2++.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Lambda {
    /// What the gain of a pair is multiplied by.
    pub weighting: Weighting,
    /// Weight mu of the NDCG-Loss2 part of `weighting = "ndcg_loss2pp"`, above 0; 10, the paper's, where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mu: Option<f64>,
}

/// The weights of the pairs of [`Lambda`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Weighting {
    /// The change of NDCG when the pair swaps ranks.
    #[default]
    #[serde(rename = "lambdarank")]
    LambdaRank,
    /// A tighter bound on NDCG, by the distance of the two ranks.
    #[serde(rename = "ndcg_loss2")]
    NdcgLoss2,
    /// The first plus mu times the second.
    #[serde(rename = "ndcg_loss2pp")]
    NdcgLoss2pp,
}

impl Definition for Lambda {
    const LABELS: Labels = Labels::Grades;

    fn check(&self) -> Result<(), ParameterError> {
        let Some(mu) = self.mu else { return Ok(()) };
        let used = self.weighting == Weighting::NdcgLoss2pp;
        ParameterError::unless(used, "mu", "beside weighting = \"ndcg_loss2pp\" alone", mu)?;
        check_above_0("mu", mu)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        mean_over_lists(batch, |list| self.add_list(list)).into()
    }
}

impl Lambda {
    const DEFAULT_MU: f64 = 10.0;

    fn add_list(&self, list: List<'_>) -> bool {
        let List { scores, labels: grades, grad, .. } = list;
        if are_equal(grades) {
            return false;
        }
        let worth = self.worth_of_ranks(scores);
        let ideal = ideal_dcg(grades);
        let mut sum = 0.0;
        for i in 0..scores.len() {
            for j in (0..scores.len()).filter(|&j| grades[i] > grades[j]) {
                let weight = (gain(grades[i]) - gain(grades[j])) * worth(i, j) / ideal;
                let difference = f64::from(scores[i]) - f64::from(scores[j]);
                let slope = -weight * sigmoid(-difference);
                sum += weight * softplus(-difference);
                grad[i] += slope;
                grad[j] -= slope;
            }
        }
        *list.sum += sum;
        true
    }

    /// What the ranks of two documents, which differ, make a unit of gain between them worth.
    fn worth_of_ranks(&self, scores: &[f32]) -> impl Fn(usize, usize) -> f64 + use<> {
        let (rho, delta) = match self.weighting {
            Weighting::LambdaRank => (1.0, 0.0),
            Weighting::NdcgLoss2 => (0.0, 1.0),
            Weighting::NdcgLoss2pp => (1.0, self.mu.unwrap_or(Self::DEFAULT_MU)),
        };
        let ranks = ranks(scores);
        // No document has rank 0, and no two have the same.
        let discounts: Vec<f64> = (0..=scores.len()).map(|rank| discount(rank as f64)).collect();
        move |i, j| {
            let distance = ranks[i].abs_diff(ranks[j]);
            rho * (discounts[ranks[i]] - discounts[ranks[j]]).abs()
                + delta * (discounts[distance] - discounts[distance + 1]).abs()
        }
    }
}
