//! How much memory a training needs, before it begins.

use crate::models::Model;

/// Bytes of a number.
const NUMBER: u64 = 4;
/// Copies of each trained weight: its gradient from two parts of the batch at least, and the optimizer's two moments.
const COPIES: u64 = 4;
/// Numbers kept for the backward pass for each output of a linear layer: the output, and what norms, activations and residuals
/// make of it.
const KEPT: u64 = 2;

/// About how many bytes a training step of so many tokens needs: weights, gradients, moments and what the backward pass
/// reads again. The true peak is within a factor of about two.
pub fn step_bytes(model: &Model, tokens: usize, checkpoint_layers: bool) -> u64 {
    let backbone = model.backbone();
    let (prefix, layers) = backbone.layers();
    let in_layers = model.params().iter().filter(|(name, var)| name.starts_with(&prefix) && var.rank() == 2);
    let outputs: u64 = in_layers.map(|(_, var)| var.dims()[0] as u64).sum();
    let width = model.params().get(&backbone.token_predictor()).map_or(0, |table| table.dims()[1] as u64);
    let layers = layers.max(1) as u64;
    let kept = if checkpoint_layers { KEPT * outputs / layers + width * layers } else { KEPT * outputs };
    let weights = model.params().count() as u64 + COPIES * model.params().trained().count() as u64;
    NUMBER * (weights + tokens as u64 * kept)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::models::{Bert, Head};

    #[test]
    fn bytes_grow_with_weights_and_tokens() {
        let config = Bert {
            vocab_size: 50,
            hidden_size: 8,
            intermediate_size: 16,
            num_hidden_layers: 3,
            num_attention_heads: 2,
            ..Bert::default()
        };
        let model = Model::new(Arc::new(config), Head::Score, 1).unwrap();
        let weights = 4 * 5 * model.params().count() as u64;
        assert_eq!(step_bytes(&model, 0, false), weights);
        // A layer has outputs of queries, keys, values, mixture (8 each) and feed-forward (16 and 8).
        assert_eq!(step_bytes(&model, 10, false) - weights, 10 * 4 * 2 * 3 * 56);
        assert_eq!(step_bytes(&model, 10, true) - weights, 10 * 4 * (2 * 56 + 3 * 8));
    }
}
