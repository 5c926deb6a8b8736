//! Softmax cross-entropy over a vocabulary, fused with the projection onto it.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp2, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Precision;
use super::gemm::{Compute, Matrix, gemm, product};
use super::{input, lanes, output};

/// Logits held at a time, 32 MB: enough rows for a large vocabulary that adding to the gradient of the head, which passes
/// over all of it once a chunk, costs little beside the products.
const CHUNK: usize = 1 << 23;

/// The mean over rows of `-log softmax(hidden head^T)[target]`. With a `soft_cap`, above 0, each logit `x` is first bounded to
/// `soft_cap tanh(x / soft_cap)` (arXiv 2408.00118, section 2).
///
/// The logits `[t, v]` exist for one chunk of rows at a time; where a gradient can be asked for, the forward pass
/// computes it while they do, which saves the backward pass a matrix product.
///
/// # Shapes
/// `hidden` `[t, d]`, `head` `[v, d]`, `targets` of length `t` -> scalar.
pub fn cross_entropy(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    soft_cap: Option<f32>,
    precision: Precision,
) -> Result<Tensor> {
    let op = CrossEntropy {
        precision,
        soft_cap,
        targets: targets.into(),
        hidden_tracked: hidden.track_op(),
        head_tracked: head.track_op(),
        gradients: OnceLock::new(),
    };
    hidden.apply_op2(head, op)
}

struct CrossEntropy {
    precision: Precision,
    soft_cap: Option<f32>,
    targets: Arc<[u32]>,
    hidden_tracked: bool,
    head_tracked: bool,
    /// Of the mean with respect to hidden and head, where they are tracked; filled by the forward pass.
    gradients: OnceLock<[Option<Tensor>; 2]>,
}

/// Rows of a chunk.
fn chunk_rows(v: usize) -> usize {
    (CHUNK / v).clamp(16, 1024)
}

/// Replaces a row of logits by its softmax and returns `-log softmax[target]`.
fn row_loss(row: &mut [f32], target: u32) -> f64 {
    let target = row[target as usize];
    let max = lanes::max(row);
    for x in row.iter_mut() {
        *x = lanes::exp(*x - max);
    }
    let total = lanes::sum(row);
    lanes::scale(row, 1.0 / total);
    f64::from(total).ln() + f64::from(max) - f64::from(target)
}

impl CrossEntropy {
    /// Replaces a row of logits by the gradient of its loss, and returns the loss.
    fn row(&self, row: &mut [f32], target: u32) -> f64 {
        let slopes: Option<Vec<f32>> = self.soft_cap.map(|cap| {
            lanes::soft_cap(row, cap);
            row.iter().map(|&logit| lanes::soft_cap_slope(logit, cap)).collect()
        });
        let loss = row_loss(row, target);
        row[target as usize] -= 1.0;
        for (gradient, slope) in row.iter_mut().zip(slopes.into_iter().flatten()) {
            *gradient *= slope;
        }
        loss
    }

    fn check(&self, hidden: &Layout, head: &Layout) -> Result<(usize, usize, usize)> {
        let ((t, d), (v, head_d)) = (hidden.shape().dims2()?, head.shape().dims2()?);
        if t == 0 || t != self.targets.len() || d != head_d {
            let targets = self.targets.len();
            candle_core::bail!("cross_entropy: hidden [{t}, {d}], head [{v}, {head_d}], {targets} targets");
        }
        if let Some(target) = self.targets.iter().find(|&&target| target as usize >= v) {
            candle_core::bail!("cross_entropy: target {target} in a vocabulary of {v}");
        }
        Ok((t, v, d))
    }
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(&self, hidden: &CpuStorage, hl: &Layout, head: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let (t, v, d) = self.check(hl, wl)?;
        let (hidden, head) = (input(hidden, hl)?, input(head, wl)?);
        let mut dhidden = vec![0.0; if self.hidden_tracked { t * d } else { 0 }];
        let mut dhead = vec![0.0; if self.head_tracked { v * d } else { 0 }];
        let (rows, mean) = (chunk_rows(v), 1.0 / t as f32);
        let compute = Compute::shared(self.precision);
        let mut total = 0.0;
        for (chunk, (part, targets)) in hidden.chunks(rows * d).zip(self.targets.chunks(rows)).enumerate() {
            let (part, head) = (Matrix::new(part, d), Matrix::new(head, d));
            let mut logits = product(part, head.t(), 1.0, compute);
            let rows_and_targets = logits.par_chunks_mut(v).zip(targets);
            let losses: Vec<f64> = rows_and_targets.map(|(row, &target)| self.row(row, target)).collect();
            total += losses.iter().sum::<f64>();

            let dlogits = Matrix::new(&logits, v);
            if self.hidden_tracked {
                let dpart = &mut dhidden[chunk * rows * d..][..targets.len() * d];
                gemm(dpart, dlogits, head, mean, false, compute);
            }
            if self.head_tracked {
                gemm(&mut dhead, dlogits.t(), part, mean, true, compute);
            }
        }
        let keep = |tracked: bool, values: Vec<f32>, rows: usize| {
            let tensor = tracked.then(|| Tensor::from_vec(values, (rows, d), &Device::Cpu));
            tensor.transpose()
        };
        let gradients = [keep(self.hidden_tracked, dhidden, t)?, keep(self.head_tracked, dhead, v)?];
        // An operation is applied once, so the cell is empty.
        self.gradients.get_or_init(|| gradients);
        output(vec![(total / t as f64) as f32], ())
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Some([dhidden, dhead]) = self.gradients.get() else {
            candle_core::bail!("cross_entropy: the backward pass came before the forward pass");
        };
        let factor = f64::from(grad.to_scalar::<f32>()?);
        let scaled = |gradient: &Option<Tensor>| match gradient {
            Some(gradient) if factor != 1.0 => gradient.affine(factor, 0.0).map(Some),
            other => Ok(other.clone()),
        };
        Ok((scaled(dhidden)?, scaled(dhead)?))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;
    use crate::ops::Precision::F32;

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[5, 4]), random(2, &[7, 4])];
        gradients(&inputs, |x| cross_entropy(&x[0], &x[1], &[6, 0, 3, 3, 1], None, F32).unwrap());
        gradients(&inputs, |x| cross_entropy(&x[0], &x[1], &[6, 0, 3, 3, 1], Some(0.5), F32).unwrap());
    }

    #[test]
    fn chunks_add_up() {
        // 40 rows of a vocabulary so large that a chunk has 16 of them.
        let (hidden, head) = (random(1, &[40, 2]), random(2, &[CHUNK / 16, 2]));
        let targets: Vec<u32> = (0..40).map(|i| i * 7).collect();
        let whole = cross_entropy(&hidden, &head, &targets, None, F32).unwrap().to_scalar::<f32>().unwrap();
        let single = |row: usize| {
            let hidden = hidden.narrow(0, row, 1).unwrap().contiguous().unwrap();
            cross_entropy(&hidden, &head, &targets[row..=row], None, F32).unwrap().to_scalar::<f32>().unwrap()
        };
        let mean = (0..40).map(single).sum::<f32>() / 40.0;
        assert!((whole - mean).abs() < 1e-5, "{whole} {mean}");
    }

    #[test]
    fn large_logits_stay_exact() {
        let hidden = Tensor::new(&[[100.0f32, -100.0]], &candle_core::Device::Cpu).unwrap();
        let head = Tensor::new(&[[1.0f32, 0.0], [0.0, 1.0]], &candle_core::Device::Cpu).unwrap();
        let loss = |target| cross_entropy(&hidden, &head, &[target], None, F32).unwrap().to_scalar::<f32>().unwrap();
        assert_eq!((loss(0), loss(1)), (0.0, 200.0));
    }

    #[test]
    fn targets_outside_the_vocabulary_are_refused() {
        assert!(cross_entropy(&random(1, &[1, 4]), &random(2, &[7, 4]), &[7], None, F32).is_err());
        assert!(cross_entropy(&random(1, &[2, 4]), &random(2, &[7, 4]), &[1], None, F32).is_err());
    }
}
