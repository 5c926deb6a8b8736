//! Rank and distillation losses on scores, with their exact gradients.
//!
//! A batch is a flat slice of scores, one per document, cut into lists by `offsets`: list `l` is
//! `scores[offsets[l]..offsets[l + 1]]`, so a batch of `L` lists has `L + 1` offsets from 0 to the number of scores.
//! Each document has a label, which is a grade or a teacher's score. Every loss returns its value and the gradient on
//! each score; one that takes grades as classes has [`GRADES`] logits for each document in place of a score. Sums run in f64 and in a fixed order, so that equal input gives equal bytes.
//!
//! ```
//! use ranking::loss::{Hinge, Loss};
//!
//! let loss = Loss::Hinge(Hinge { margin: 1.0 });
//! let output = loss.compute(&[0.2, 0.5], &[1.0, 0.0], &[0, 2])?;
//! assert!((output.total.value - 1.3).abs() < 1e-6);
//! assert_eq!(output.total.grad, [-1.0, 1.0]);
//! # Ok::<(), ranking::loss::LossError>(())
//! ```
//!
//! A loss is one file, which implements `Definition`, and one line of the list below.

mod adr_mse;
mod approx_ndcg;
mod batch;
mod definition;
mod functions;
mod grade_cross_entropy;
mod hinge;
mod hybrid;
mod infonce;
mod kl;
mod lambda;
mod listmle;
mod listnet;
mod lists;
mod logistic;
mod margin_mse;
mod pairs;
mod plackett_luce;
mod pointwise_mse;
mod position_aware_listmle;
mod ranknet;
mod ranks;
mod softmax;
mod weighted;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use batch::Batch;
use definition::Definition;

pub use adr_mse::AdrMse;
pub use approx_ndcg::ApproxNdcg;
pub use batch::{GRADES, Labels, LossError, LossOutput, LossValue, MAX_GRADE, ParameterError};
pub use grade_cross_entropy::GradeCrossEntropy;
pub use hinge::Hinge;
pub use hybrid::Hybrid;
pub use infonce::InfoNce;
pub use kl::Kl;
pub use lambda::{Lambda, Weighting};
pub use listmle::ListMle;
pub use listnet::ListNet;
pub use logistic::Logistic;
pub use margin_mse::MarginMse;
pub use pointwise_mse::PointwiseMse;
pub use position_aware_listmle::PositionAwareListMle;
pub use ranknet::RankNet;
pub use softmax::Softmax;

/// Declares [`Loss`]: a variant for each loss with its name in `pipeline.toml`.
macro_rules! losses {
    ($($(#[$doc:meta])* $name:literal => $loss:ident,)*) => {
        /// A loss with its parameters.
        #[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(tag = "name")]
        pub enum Loss {
            $($(#[$doc])* #[serde(rename = $name)] $loss($loss),)*
        }

        impl Loss {
            /// The names of all losses.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its name.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$loss(_) => $name,)*
                }
            }

            /// The labels it is defined on.
            pub fn labels(&self) -> Labels {
                match self {
                    $(Self::$loss(_) => $loss::LABELS,)*
                }
            }

            /// The logits that a model gives it for each document: 1 where it is defined on scores.
            pub fn outputs(&self) -> usize {
                match self {
                    $(Self::$loss(_) => $loss::OUTPUTS,)*
                }
            }

            /// Checks the ranges of its parameters.
            ///
            /// # Errors
            /// [`ParameterError`] for the first parameter outside its range.
            pub fn check(&self) -> Result<(), ParameterError> {
                match self {
                    $(Self::$loss(loss) => loss.check(),)*
                }
            }

            /// The loss of `scores` against `labels` and its gradient on the scores.
            ///
            /// # Shapes
            /// `scores` (n * outputs), `labels` (n), `offsets` (lists + 1).
            ///
            /// # Errors
            /// [`LossError`] on lengths that differ, bad offsets, scores that are not finite, labels that the loss is
            /// not defined on, and parameters outside their range.
            pub fn compute(&self, scores: &[f32], labels: &[f32], offsets: &[usize]) -> Result<LossOutput, LossError> {
                self.check()?;
                let batch = Batch::new(scores, labels, offsets, (self.labels(), self.outputs()))?;
                Ok(match self {
                    $(Self::$loss(loss) => loss.compute(&batch),)*
                })
            }
        }
    };
}

losses! {
    /// max(0, margin - s_i + s_j) over the pairs of a list whose labels differ: the paper's rank loss.
    "hinge" => Hinge,
    /// ln(1 + exp(s_j - s_i)) over the same pairs: RankNet on the order of the labels.
    "logistic" => Logistic,
    /// Cross-entropy between the softmax over the list and the normalised gains of the grades.
    "softmax" => Softmax,
    /// Pairs weighted by what their order is worth in NDCG (LambdaLoss): `weighting` is "lambdarank", the change of
    /// NDCG when they swap ranks, where absent; "ndcg_loss2"; or "ndcg_loss2pp", which adds `mu`, 10 where absent,
    /// times ndcg_loss2 to lambdarank.
    "lambda" => Lambda,
    /// alpha * pointwise_mse + (1 - alpha) * margin_mse: the paper's distillation loss; the labels are divided by
    /// `temperature`, 1 where absent.
    "hybrid" => Hybrid,
    /// (t_i - s_i)^2 over the documents.
    "pointwise_mse" => PointwiseMse,
    /// ((t_i - t_j) - (s_i - s_j))^2 over the pairs of a list.
    "margin_mse" => MarginMse,
    /// Kullback-Leibler divergence between softmaxes over the list, both at `temperature`, 1 where absent, or the
    /// labels at `label_temperature`.
    "kl" => Kl,
    /// Cross-entropy between sigmoid(t_i - t_j) and sigmoid(s_i - s_j) over the pairs of a list: RankNet on the labels'
    /// differences.
    "ranknet" => RankNet,
    /// Cross-entropy between softmaxes of labels and scores over the list (ListNet).
    "listnet" => ListNet,
    /// Negative log-likelihood of the order of the labels; ties in list order (ListMLE).
    "listmle" => ListMle,
    /// The same with weights 2^(n - i) - 1 of the positions i, over their sum (position-aware ListMLE).
    "position_aware_listmle" => PositionAwareListMle,
    /// (r_i - rhat_i)^2 / log2(1 + r_i) between ranks by label and approximate ranks by score at `temperature`, 1 where
    /// absent: the loss of Rank-DistiLLM (ADR-MSE).
    "adr_mse" => AdrMse,
    /// Softmax cross-entropy of the highest-labelled document against those below it, the scores at `temperature`, 1
    /// where absent (localized contrastive estimation).
    "infonce" => InfoNce,
    /// 1 - NDCG at approximate ranks by score, at `temperature`, 0.1 where absent (ApproxNDCG).
    "approx_ndcg" => ApproxNdcg,
    /// Cross-entropy of the grades 0 to 4 as classes, over the documents: the model has a logit for each grade, and its score
    /// is the grade expected under their softmax (LS-LLaMA). For labels that are grades: not for `distill.loss` and
    /// `teacher.titles.loss`.
    "grade_cross_entropy" => GradeCrossEntropy,
}

#[cfg(test)]
mod tests;
