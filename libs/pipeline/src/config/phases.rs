//! The tables `[[distill.phases]]`: trainings of the student before that of `[distill]`.

use std::ops::RangeInclusive;

use ranking::false_negatives::NegativeBounds;
use ranking::loss::{Labels, Loss};
use ranking::sample::ListSampler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;
use super::loss::{Beside, LossKey};
use super::training::{
    ListTraining, ScheduleKind, TrainingConfig, accumulation_steps, check_negative_bounds, check_ranks,
    checkpoint_every, first_rank, layer_decay, list_training_table, max_gradient_norm, schedule, training_table,
    warmup_fraction, weight_decay,
};

/// Phases that the stage has by itself.
const BUILT_IN: [&str; 3] = ["pretrain", "student", "student_labels_only"];

/// What a phase learns from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PhaseLabels {
    /// The teacher's scores of its lists, standardised where `distill.standardise` is true.
    Teacher,
    /// Of each of the teacher's lists, the document with the highest score has label 1 and the others, the negatives, have 0.
    Best,
    /// The grades of the judged lists of the training split, with negatives as in `distill.labels_only`.
    Judgments,
}

list_training_table! {
    /// A training of the student before that of `[distill]`. The contrastive training of Rank-DistiLLM (arXiv 2405.07920) is
    /// `labels = "best"` with `loss = "infonce"`.
    PhaseConfig {
        /// Its name, in the log and of its checkpoint: letters, digits, `-` and `_`.
        name: String,
        /// What the labels of its lists are.
        labels: PhaseLabels,
        /// The loss, by its name or as a table of its name and parameters.
        loss: LossKey,
        ..ListTraining;
        /// With `labels = "judgments"`, as in `distill.labels_only`: unjudged documents among BM25's first this many are
        /// negatives; 0 adds none.
        #[serde(default)]
        negatives_depth: usize,
        /// Rank, from 1, of the first document that can be a negative: in the teacher's list with `labels = "best"`, of BM25 with
        /// `labels = "judgments"`.
        #[serde(default = "first_rank")]
        negatives_from_rank: usize,
        /// A document with a higher score of the teacher is no negative, as it may well be relevant; in the unit of
        /// `teacher_scores.score`. Negatives that the teacher did not score stay.
        negatives_max_score: Option<f64>,
        /// A document whose score of the teacher is not this far below that of the positive document is no negative: negatives have
        /// sigmoid(negative) <= (1 - margin) * sigmoid(positive), from 0 to below 1. Of several positive documents, the one with the
        /// highest score counts. Negatives that the teacher did not score stay.
        negatives_relative_margin: Option<f64>,
    }
}

impl PhaseConfig {
    /// The ranks of BM25 whose documents are negatives of judged lists; empty where there are none.
    #[must_use]
    pub fn negative_ranks(&self) -> RangeInclusive<usize> {
        self.negatives_from_rank..=self.negatives_depth
    }

    /// What the teacher's scores say of negatives.
    #[must_use]
    pub fn negative_bounds(&self) -> NegativeBounds {
        NegativeBounds { max_score: self.negatives_max_score, relative_margin: self.negatives_relative_margin }
    }

    fn complete_loss(&self) -> Loss {
        self.loss.loss()
    }

    fn check(&self, table: &str, standardise: bool, checks: &mut Checks) {
        let key = |key: &str| format!("{table}.{key}");
        let named = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let is_name = !self.name.is_empty() && self.name.chars().all(named);
        checks.require(is_name, &key("name"), "letters, digits, `-` and `_`", &format!("`{}`", self.name));
        let built_in = BUILT_IN.contains(&self.name.as_str());
        checks.require(!built_in, &key("name"), "another name than that of a phase of the stage", &self.name);
        self.list_training().check(table, checks);
        let loss = self.complete_loss();
        self.loss.check(table, &loss, Beside::NONE, checks);
        let one_logit = "a loss on scores, as the student has one logit";
        checks.require(loss.outputs() == 1, &key("loss"), one_logit, &loss.name());
        if self.labels == PhaseLabels::Teacher {
            let is_defined = !standardise || loss.labels() != Labels::Grades;
            let expected = "a loss that is defined on standardised scores, or distill.standardise = false";
            checks.require(is_defined, &key("loss"), expected, &loss.name());
        }
        self.check_negatives(table, checks);
    }

    fn check_negatives(&self, table: &str, checks: &mut Checks) {
        let key = |key: &str| format!("{table}.{key}");
        let (from_rank, depth) = (self.negatives_from_rank, self.negatives_depth);
        match self.labels {
            PhaseLabels::Judgments => check_ranks(table, from_rank, depth, checks),
            _ => checks.require(depth == 0, &key("negatives_depth"), "it beside labels = \"judgments\" alone", &depth),
        }
        checks.at_least(&key("negatives_from_rank"), from_rank, 1);
        let has_negatives = self.labels == PhaseLabels::Best || depth > 0;
        let only = "it beside labels = \"best\", or \"judgments\" with negatives_depth, alone";
        checks.require(has_negatives || from_rank == 1, &key("negatives_from_rank"), only, &from_rank);
        if let Some(most) = self.negatives_max_score {
            checks.require(has_negatives, &key("negatives_max_score"), only, &most);
        }
        if let Some(margin) = self.negatives_relative_margin {
            checks.require(has_negatives, &key("negatives_relative_margin"), only, &margin);
        }
        check_negative_bounds(table, self.negative_bounds(), checks);
    }
}

/// Checks the phases before the training of `[distill]`, whose teacher's scores are standardised where `standardise` says so.
pub(super) fn check_phases(phases: &[PhaseConfig], standardise: bool, checks: &mut Checks) {
    for (index, phase) in phases.iter().enumerate() {
        let table = format!("distill.phases[{index}]");
        let is_new = phases[..index].iter().all(|earlier| earlier.name != phase.name);
        checks.require(is_new, &format!("{table}.name"), "a name for each phase of its own", &phase.name);
        phase.check(&table, standardise, checks);
    }
}
