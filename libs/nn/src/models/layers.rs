//! What the forward passes of all architectures share: layers that may be computed again, and places that drop values.

use candle_core::Tensor;

use crate::Result;
use crate::ops::{Dropout, dropout};
use crate::weights::{Mode, Params};

/// Runs a layer; where the pass has a tape, the layer is computed again in the backward pass.
pub(super) fn layer<M: Clone + Send + Sync + 'static>(
    model: &M,
    params: &Params,
    x: &Tensor,
    mode: Mode<'_>,
    run: impl Fn(&M, &Params, &Tensor, Mode<'_>) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let Mode::Train { tape: Some(tape), .. } = mode else { return run(model, params, x, mode) };
    let (model, params, mode) = (model.clone(), params.clone(), mode.without_tape());
    tape.block(x, move |x| run(&model, &params, x, mode))
}

/// Gives each place of a forward pass that drops values a mask of its own.
pub(super) struct Drops {
    seed: Option<u64>,
    place: u64,
}

impl Drops {
    /// The places of a pass after the first `place`.
    pub(super) fn after(place: u64, mode: Mode<'_>) -> Self {
        let seed = match mode {
            Mode::Eval(_) => None,
            Mode::Train { dropout_seed, .. } => Some(dropout_seed),
        };
        Self { seed, place }
    }

    /// The mask of the next place, where the pass drops anything.
    pub(super) fn next(&mut self, p: f64) -> Option<Dropout> {
        self.place += 1;
        let dropout = Dropout::new(p, self.seed?).part(self.place);
        (!dropout.is_none()).then_some(dropout)
    }

    /// `x` with the mask of the next place applied.
    pub(super) fn drop(&mut self, x: &Tensor, p: f64) -> Result<Tensor> {
        match self.next(p) {
            Some(mask) => Ok(dropout(x, mask)?),
            None => Ok(x.clone()),
        }
    }
}
