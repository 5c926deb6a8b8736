//! What a forward pass is for.

use crate::ops::{Attention, Precision, Tape};

/// What a forward pass is for.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Scores only: no dropout, no graph and so no gradients.
    Eval(Precision),
    /// A training step: the graph is kept, and dropout is on.
    Train {
        /// Seed of the dropout masks; a function of (run seed, step).
        dropout_seed: u64,
        /// Gradient checkpointing: where given, only the input of each layer is kept, and the layer is computed again
        /// in the backward pass, which is then [`Tape::backward`].
        tape: Option<&'a Tape>,
        /// Precision of the matrix products that [`Precision`] lists, forward and backward.
        precision: Precision,
    },
}

impl Mode<'_> {
    /// The same pass with every layer kept.
    pub(crate) fn without_tape(self) -> Mode<'static> {
        match self {
            Mode::Eval(precision) => Mode::Eval(precision),
            Mode::Train { dropout_seed, precision, .. } => Mode::Train { dropout_seed, tape: None, precision },
        }
    }

    /// The same pass in `f32`.
    pub(crate) fn exact(self) -> Self {
        match self {
            Mode::Eval(_) => Mode::Eval(Precision::F32),
            Mode::Train { dropout_seed, tape, .. } => Mode::Train { dropout_seed, tape, precision: Precision::F32 },
        }
    }

    /// The mode of the query side of a layer: `f32` where the layer is computed for some tokens only. A loss on scores
    /// depends on small differences between nearly equal tokens, smaller than the rounding of bf16, and these tokens are
    /// few. Language-model losses, which read more tokens, use the same rule; their last layer gains less from bf16.
    pub(crate) fn reading(self, attention: &Attention) -> Self {
        if attention.queries.is_some() { self.exact() } else { self }
    }

    pub(crate) fn precision(self) -> Precision {
        match self {
            Mode::Eval(precision) | Mode::Train { precision, .. } => precision,
        }
    }

    /// The precision of attention's products: bf16 where a model that need not be exact only scores and the processor has fast
    /// instructions for it.
    pub(crate) fn attention_precision(self) -> Precision {
        match self {
            Mode::Eval(Precision::Bf16 | Precision::Int8) => Precision::fastest(),
            Mode::Eval(Precision::F32) | Mode::Train { .. } => Precision::F32,
        }
    }
}
