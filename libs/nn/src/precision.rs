//! How exactly matrix products are computed.

use crate::ops::has_fast_bf16;

/// The numbers that the products of linear layers and language-model heads multiply. In either case sums, weights, linear
/// layers' weight gradients, activations, attention, scoring heads and what the last layer makes of the tokens that are
/// read stay `f32`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// The numbers as they are.
    #[default]
    F32,
    /// The numbers rounded to bf16 (8 significant bits), which processors with AVX-512 BF16 multiply twice as fast.
    /// Others round and multiply in `f32`: slower than [`Precision::F32`], with the same numbers but for the order of
    /// sums.
    Bf16,
}

impl Precision {
    /// The faster one on this processor.
    pub fn fastest() -> Precision {
        if has_fast_bf16() { Precision::Bf16 } else { Precision::F32 }
    }
}
