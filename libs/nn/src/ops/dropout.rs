//! Inverted dropout whose mask is a function of the seed.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{TASK, gradient, input, lend, output};

/// Which values are dropped: each with probability `p`, decided by a hash of (seed, index), so that the backward pass
/// computes the mask again instead of keeping it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    seed: u64,
    threshold: u32,
    keep: f32,
}

impl Dropout {
    /// Dropout of a share `p` in [0, 1) of the values.
    pub fn new(p: f64, seed: u64) -> Self {
        // 2^32 p, saturating: a share is a threshold on a uniform 32-bit number.
        Self { seed, threshold: (p * 4_294_967_296.0) as u32, keep: (1.0 / (1.0 - p)) as f32 }
    }

    /// True if nothing is dropped.
    pub fn is_none(&self) -> bool {
        self.threshold == 0
    }

    /// The same share with other values dropped: an independent mask for part `index`.
    pub fn part(self, index: u64) -> Self {
        Self { seed: mix(self.seed ^ mix(index.wrapping_add(0x9e37_79b9_7f4a_7c15))), ..self }
    }

    /// Multiplies the values from index `start` on by 0 or `1 / (1 - p)`.
    pub(super) fn apply(self, start: usize, values: &mut [f32]) {
        let (low, high) = (self.seed as u32, (self.seed >> 32) as u32);
        for (offset, value) in values.iter_mut().enumerate() {
            let random = mix32(mix32((start + offset) as u32 ^ low) ^ high);
            *value *= if random >= self.threshold { self.keep } else { 0.0 };
        }
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014).
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// A 32-bit finaliser of low bias (Wellons, "Prospecting for hash functions"), which vectorises.
#[inline(always)]
fn mix32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7feb_352d);
    x = (x ^ (x >> 15)).wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Drops values and scales the others up, so that the expected value stays the same.
///
/// # Shapes
/// Any -> the same.
pub fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    if dropout.is_none() { Ok(x.clone()) } else { x.apply_op1(dropout) }
}

/// A copy with values dropped.
pub(super) fn masked(values: &[f32], dropout: Dropout) -> Vec<f32> {
    let mut out = values.to_vec();
    out.par_chunks_mut(TASK).enumerate().for_each(|(task, out)| dropout.apply(task * TASK, out));
    out
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        output(masked(input(x, layout)?, *self), layout.shape())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        lend([&grad.contiguous()?], |[grad]| gradient(masked(grad, *self), x))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        gradients(&[random(1, &[8, 5])], |x| dropout(&x[0], Dropout::new(0.4, 7)).unwrap());
    }

    #[test]
    fn the_share_and_the_mean_are_kept() {
        for p in [0.1, 0.5, 0.9] {
            let values = masked(&[1.0; 200_000], Dropout::new(p, 3));
            let dropped = values.iter().filter(|&&v| v == 0.0).count() as f64 / 2e5;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / 2e5;
            assert!((dropped - p).abs() < 0.005, "{p}: {dropped}");
            assert!((mean - 1.0).abs() < 0.02, "{p}: {mean}");
        }
    }

    #[test]
    fn seeds_and_parts_drop_other_values() {
        let mask = |dropout: Dropout| masked(&[1.0; 64], dropout);
        let base = Dropout::new(0.5, 1);
        assert_ne!(mask(base), mask(Dropout::new(0.5, 2)));
        assert_ne!(mask(base), mask(Dropout::new(0.5, 1 << 32 | 1)));
        assert_ne!(mask(base.part(0)), mask(base.part(1)));
        assert_ne!(mask(base.part(0)), mask(base));
        assert_eq!(mask(Dropout::new(0.0, 1)), [1.0; 64]);
    }
}
