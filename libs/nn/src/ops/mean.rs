//! Means over sequences.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{gradient, input, lanes, lend, output};

/// The mean of the rows of each sequence of a packed batch.
///
/// # Shapes
/// `x` `[t, d]`, `offsets` of length `n + 1` (where each sequence starts, and the end) -> `[n, d]`.
pub fn sequence_means(x: &Tensor, offsets: &Arc<[usize]>) -> Result<Tensor> {
    x.apply_op1(SequenceMeans { offsets: offsets.clone() })
}

struct SequenceMeans {
    offsets: Arc<[usize]>,
}

impl SequenceMeans {
    fn sequences(&self) -> impl Iterator<Item = std::ops::Range<usize>> {
        self.offsets.windows(2).map(|ends| ends[0]..ends[1])
    }
}

impl CustomOp1 for SequenceMeans {
    fn name(&self) -> &'static str {
        "sequence_means"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, d) = layout.shape().dims2()?;
        let increasing = self.offsets.is_sorted_by(|a, b| a < b);
        if self.offsets.first() != Some(&0) || self.offsets.last() != Some(&t) || !increasing {
            candle_core::bail!("sequence_means: {t} rows in sequences at {:?}", self.offsets);
        }
        let x = input(x, layout)?;
        let sequences: Vec<_> = self.sequences().collect();
        let mut means = vec![0.0; sequences.len() * d];
        means.par_chunks_mut(d.max(1)).zip(&sequences).for_each(|(mean, rows)| {
            x[rows.start * d..rows.end * d].chunks_exact(d).for_each(|row| lanes::add_to(mean, row));
            lanes::scale(mean, 1.0 / rows.len() as f32);
        });
        output(means, (sequences.len(), d))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (t, d) = x.dims2()?;
        lend([&grad.contiguous()?], |[grad]| {
            let mut dx = Vec::with_capacity(t * d);
            for (rows, grad) in self.sequences().zip(grad.chunks_exact(d)) {
                let mut share = grad.to_vec();
                lanes::scale(&mut share, 1.0 / rows.len() as f32);
                rows.for_each(|_| dx.extend_from_slice(&share));
            }
            gradient(dx, x)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        gradients(&[random(1, &[6, 5])], |x| sequence_means(&x[0], &vec![0, 3, 4, 6].into()).unwrap());
    }

    #[test]
    fn other_sequences_are_refused() {
        for offsets in [vec![0, 5], vec![1, 6], vec![0, 3, 3, 6]] {
            assert!(sequence_means(&random(1, &[6, 5]), &offsets.into()).is_err());
        }
    }
}
