//! What every file of a loss implements.

use super::batch::{Batch, Labels, LossOutput, ParameterError};

/// A loss on the scores of lists of documents. Its fields are its parameters, the keys of its table in `pipeline.toml`.
pub(super) trait Definition {
    /// The labels it is defined on.
    const LABELS: Labels = Labels::Finite;
    /// The logits that a model gives it for each document; 1 is a score.
    const OUTPUTS: usize = 1;

    /// Checks the parameters' ranges.
    fn check(&self) -> Result<(), ParameterError> {
        Ok(())
    }

    /// The loss of a batch with its gradient. Sums run in f64 and in a fixed order.
    fn compute(&self, batch: &Batch<'_>) -> LossOutput;
}
