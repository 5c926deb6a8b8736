//! The table `[teacher.mined]`: the training of the teacher on negatives that itself ranks high.

use ranking::false_negatives::NegativeBounds;
use ranking::loss::Loss;
use ranking::sample::ListSampler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;
use super::loss::{Beside, LossKey};
use super::model::RankConfig;
use super::training::{
    ListTraining, ScheduleKind, TrainingConfig, accumulation_steps, check_negative_bounds, check_ranks,
    checkpoint_every, first_rank, layer_decay, list_training_table, max_gradient_norm, schedule, training_table,
    warmup_fraction, weight_decay,
};

list_training_table! {
    /// Training of the teacher on negatives that the ranker of phase `rank` ranks high (ANCE, arXiv 2007.00808, mines them with a
    /// bi-encoder). With `validate_every` in both, the weights of phase `rank` are kept where none of this phase are better.
    MinedConfig {
        /// The loss, by its name or as a table of its name and parameters.
        loss: LossKey,
        ..ListTraining;
        /// Unjudged documents found for each judged query of the training split that a step reads; the ranker scores them.
        candidates: usize,
        /// Of these, by the ranker's scores, the first this many are negatives; they have grade 0.
        negatives_depth: usize,
        /// The ranker's rank, from 1, of the first document that can be a negative: the very first ones are often relevant, though
        /// nobody judged them.
        #[serde(default = "first_rank")]
        negatives_from_rank: usize,
        /// A document that the ranker scores higher is no negative, as it may well be relevant; a raw logit.
        negatives_max_score: Option<f64>,
        /// A document whose score is not this far below that of the relevant document with the highest score is no negative:
        /// negatives have sigmoid(negative) <= (1 - margin) * sigmoid(positive), from 0 to below 1.
        negatives_relative_margin: Option<f64>,
    }
}

impl MinedConfig {
    /// What the ranker's scores say of negatives.
    #[must_use]
    pub fn negative_bounds(&self) -> NegativeBounds {
        NegativeBounds { max_score: self.negatives_max_score, relative_margin: self.negatives_relative_margin }
    }

    fn complete_loss(&self) -> Loss {
        self.loss.loss()
    }

    /// Checks the table beside that of phase `rank`, whose model it goes on from.
    pub(super) fn check(&self, rank: Option<&RankConfig>, checks: &mut Checks) {
        let key = |key: &str| format!("teacher.mined.{key}");
        self.list_training().check("teacher.mined", checks);
        let loss = self.complete_loss();
        self.loss.check("teacher.mined", &loss, Beside::NONE, checks);
        if let Some(rank) = rank {
            let same = rank.list_training().loss.outputs() == loss.outputs();
            checks.require(same, &key("loss"), "a loss on as many logits as that of teacher.rank", &loss.name());
        }
        checks.at_least(&key("candidates"), self.candidates, 1);
        let depth = 1..=self.candidates.max(1);
        let expected = format!("a number from 1 to candidates = {}", self.candidates);
        checks.require(
            depth.contains(&self.negatives_depth),
            &key("negatives_depth"),
            &expected,
            &self.negatives_depth,
        );
        check_ranks("teacher.mined", self.negatives_from_rank, self.negatives_depth, checks);
        check_negative_bounds("teacher.mined", self.negative_bounds(), checks);
    }
}
