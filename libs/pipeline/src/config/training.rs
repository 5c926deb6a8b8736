//! What every training shares: steps, schedule, optimizer, checkpoints.

use ranking::false_negatives::NegativeBounds;
use ranking::loss::Loss;
use ranking::sample::ListSampler;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// How the learning rate moves after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// Stays.
    Constant,
    /// Falls to 0 in a line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
    /// Warm-up, stable, decay: stays, then falls to 0 in a line over the last tenth of the steps.
    Wsd,
}

/// Declares the table of one training: its own keys beside those that every training has.
macro_rules! training_table {
    ($(#[$meta:meta])* $name:ident { $($(#[$field_meta:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
            /// Optimizer steps.
            pub steps: usize,
            /// Batches whose mean gradient makes one step.
            #[serde(default = "accumulation_steps")]
            pub accumulation_steps: usize,
            /// Highest learning rate.
            pub learning_rate: f64,
            /// Share of the steps over which the rate rises from 0.
            #[serde(default = "warmup_fraction")]
            pub warmup_fraction: f64,
            /// How the rate falls afterwards.
            #[serde(default = "schedule")]
            pub schedule: ScheduleKind,
            /// Decoupled weight decay; never on biases and norms.
            #[serde(default = "weight_decay")]
            pub weight_decay: f64,
            /// Gradients are scaled down to this global norm.
            #[serde(default = "max_gradient_norm")]
            pub max_gradient_norm: f64,
            /// True to compute layers again in the backward pass instead of keeping them: less memory, a third more work.
            #[serde(default)]
            pub gradient_checkpointing: bool,
            /// Steps between checkpoints; 0 writes none.
            #[serde(default = "checkpoint_every")]
            pub checkpoint_every: usize,
            /// Steps between validations; with 0 there is none, and the last weights are kept.
            #[serde(default)]
            pub validate_every: usize,
            /// Validations without an improvement before training stops; 0 never stops early.
            #[serde(default)]
            pub patience: usize,
            /// Learning rate of a layer as a share of that of the layer above it; embeddings have the least, the head the whole
            /// rate. 1 gives all the same.
            #[serde(default = "layer_decay")]
            pub layer_decay: f64,
            /// Share of the steps, the last ones, whose weights are averaged, each step's; the average is validated and kept.
            /// 0 keeps the last weights, or the best validated ones.
            #[serde(default)]
            pub average_last: f64,
            /// True to keep a ranker that gives all documents of a list the same score; otherwise the stage fails.
            #[serde(default)]
            pub accept_collapse: bool,
        }

        impl $name {
            /// The keys that every training has.
            #[must_use]
            pub fn training(&self) -> TrainingConfig {
                TrainingConfig {
                    steps: self.steps,
                    accumulation_steps: self.accumulation_steps,
                    learning_rate: self.learning_rate,
                    warmup_fraction: self.warmup_fraction,
                    schedule: self.schedule,
                    weight_decay: self.weight_decay,
                    max_gradient_norm: self.max_gradient_norm,
                    gradient_checkpointing: self.gradient_checkpointing,
                    checkpoint_every: self.checkpoint_every,
                    validate_every: self.validate_every,
                    patience: self.patience,
                    layer_decay: self.layer_decay,
                    average_last: self.average_last,
                    accept_collapse: self.accept_collapse,
                }
            }
        }
    };
}
pub(super) use training_table;

/// Declares the table of one training on lists of labelled documents, whose loss is its `complete_loss`: the keys that every
/// such training has stand between its own.
macro_rules! list_training_table {
    ($(#[$meta:meta])* $name:ident {
        $($(#[$before_meta:meta])* $before:ident: $before_kind:ty,)*
        ..ListTraining;
        $($(#[$after_meta:meta])* $after:ident: $after_kind:ty,)*
    }) => {
        training_table! {
            $(#[$meta])*
            $name {
                $($(#[$before_meta])* $before: $before_kind,)*
                /// Queries per step.
                lists_per_step: usize,
                /// Documents of a query per step.
                list_size: usize,
                /// Most tokens of a sequence in these steps, to save time, where `input` allows more; validations and the
                /// result read whole windows. A student from random weights learns no later positions in such steps.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                max_length: Option<usize>,
                /// Which documents of a longer list a step reads, by their labels, which are grades or the teacher's scores, and
                /// unjudged negatives by their ranks; every pass over the lists draws anew.
                #[serde(default)]
                sampler: ListSampler,
                $($(#[$after_meta])* $after: $after_kind,)*
            }
        }

        impl $name {
            /// What the training has in common with every one on lists.
            #[must_use]
            pub fn list_training(&self) -> ListTraining {
                let $name { lists_per_step, list_size, max_length, sampler, .. } = *self;
                let (loss, training) = (self.complete_loss(), self.training());
                ListTraining { loss, lists_per_step, list_size, max_length, sampler, training }
            }
        }
    };
}
pub(super) use list_training_table;

training_table! {
    /// The keys that every training has.
    TrainingConfig {}
}

/// What every training on lists of labelled documents has.
#[derive(Debug, Clone)]
pub struct ListTraining {
    /// The loss with its parameters.
    pub loss: Loss,
    /// Queries per step.
    pub lists_per_step: usize,
    /// Documents of a query per step.
    pub list_size: usize,
    /// Most tokens of a sequence in its steps, where they are fewer than in the model's input.
    pub max_length: Option<usize>,
    /// Which documents of a longer list a step reads.
    pub sampler: ListSampler,
    /// What every training has.
    pub training: TrainingConfig,
}

impl ListTraining {
    /// Checks all but the loss.
    pub(super) fn check(&self, table: &str, checks: &mut Checks) {
        self.training.check(table, checks);
        checks.at_least(&format!("{table}.lists_per_step"), self.lists_per_step, 1);
        checks.at_least(&format!("{table}.list_size"), self.list_size, 2);
        checks.token_budget(&format!("{table}.max_length"), self.max_length.unwrap_or(1));
    }
}

default_fn!(pub(super) first_rank: usize = 1);
default_fn!(pub(super) accumulation_steps: usize = 1);
default_fn!(pub(super) warmup_fraction: f64 = 0.1);
default_fn!(pub(super) schedule: ScheduleKind = ScheduleKind::Linear);
default_fn!(pub(super) weight_decay: f64 = 0.01);
default_fn!(pub(super) max_gradient_norm: f64 = 1.0);
default_fn!(pub(super) checkpoint_every: usize = 200);
default_fn!(pub(super) layer_decay: f64 = 1.0);

impl TrainingConfig {
    pub(super) fn check(&self, table: &str, checks: &mut Checks) {
        checks.at_least(&format!("{table}.steps"), self.steps, 1);
        checks.at_least(&format!("{table}.accumulation_steps"), self.accumulation_steps, 1);
        checks.positive(&format!("{table}.learning_rate"), self.learning_rate);
        checks.fraction(&format!("{table}.warmup_fraction"), self.warmup_fraction);
        let decay = self.weight_decay;
        let good = decay.is_finite() && decay >= 0.0;
        checks.require(good, &format!("{table}.weight_decay"), "a number from 0", &decay);
        let shrinks = decay * self.learning_rate < 1.0;
        checks.require(shrinks || !good, &format!("{table}.weight_decay"), "less than 1 / learning_rate", &decay);
        checks.positive(&format!("{table}.max_gradient_norm"), self.max_gradient_norm);
        let falls = self.layer_decay > 0.0 && self.layer_decay <= 1.0;
        let expected = "a number above 0, up to 1";
        checks.require(falls, &format!("{table}.layer_decay"), expected, &self.layer_decay);
        checks.fraction(&format!("{table}.average_last"), self.average_last);
        let stops = self.patience > 0 && self.validate_every == 0;
        checks.require(!stops, &format!("{table}.patience"), "0 without validate_every", &self.patience);
    }
}

/// Checks the first rank of negatives, up to `depth`.
pub(super) fn check_ranks(table: &str, from_rank: usize, depth: usize, checks: &mut Checks) {
    let expected = match depth {
        0 => "1 without negatives_depth".into(),
        depth => format!("a rank from 1 to negatives_depth = {depth}"),
    };
    checks.require(
        (1..=depth.max(1)).contains(&from_rank),
        &format!("{table}.negatives_from_rank"),
        &expected,
        &from_rank,
    );
}

/// Checks what a ranker's scores say of negatives.
pub(super) fn check_negative_bounds(table: &str, bounds: NegativeBounds, checks: &mut Checks) {
    let NegativeBounds { max_score, relative_margin } = bounds;
    if let Some(most) = max_score {
        checks.require(most.is_finite(), &format!("{table}.negatives_max_score"), "a finite number", &most);
    }
    if let Some(margin) = relative_margin {
        let expected = "a number from 0 to below 1";
        let key = format!("{table}.negatives_relative_margin");
        checks.require((0.0..1.0).contains(&margin), &key, expected, &margin);
    }
}
