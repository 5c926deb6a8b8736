//! How exactly matrix products are computed.

use super::tile::Instructions;

/// The precision of the factors in the matrix products of linear layers and language-model heads, forwards and backwards. Everything
/// else is always `f32`: sums, weights and their gradients as they are added up, activations, scoring heads, and the last layer for
/// the tokens that are read; attention, too, but for scores where not everything is `f32` and [`Precision::fastest`] is bf16: then
/// the products of queries and keys and those of weights and values are bf16.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// `f32` factors.
    #[default]
    F32,
    /// Factors rounded to bf16 (8 significant bits), which AMD's processors with AVX-512 BF16 multiply twice as fast, Intel's with AMX
    /// several times. Other processors round and multiply in `f32`: slower than [`Precision::F32`], and equal to these up to the
    /// order of sums, but for attention.
    Bf16,
    /// Whole numbers of 8 bits, for scoring: weights rounded by output, activations by token, sums exact (see
    /// [`super::super::Int8Weight`]). Products other than those of linear layers and attention are `f32`.
    Int8,
}

impl Precision {
    /// The faster one of this processor for models that are trained: bf16 where it has fast instructions for it.
    pub fn fastest() -> Precision {
        if Instructions::native().is_some_and(Instructions::are_faster) { Precision::Bf16 } else { Precision::F32 }
    }

    /// True if a model that only scores in this precision needs the weights of its linear layers in no other form than rounded and laid
    /// out for the instructions of this processor. Without instructions for bf16, they are rounded at each product.
    pub fn rounds_once(self) -> bool {
        match self {
            Precision::F32 => false,
            Precision::Bf16 => Instructions::native().is_some(),
            Precision::Int8 => true,
        }
    }
}
