//! Softmax cross-entropy over a vocabulary, fused with the projection onto it.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Matrix, all_threads, gemm};
use super::{gradient, input, lanes, lend, output};

/// Logits held at a time: 4 MB.
const CHUNK: usize = 1 << 20;

/// The mean over rows of `-log softmax(hidden head^T)[target]`.
///
/// The logits `[t, v]` are never held as a whole: forward and backward compute them in chunks of rows.
///
/// # Shapes
/// `hidden` `[t, d]`, `head` `[v, d]`, `targets` of length `t` -> scalar.
pub fn cross_entropy(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<Tensor> {
    hidden.apply_op2(
        head,
        CrossEntropy {
            targets: targets.into(),
        },
    )
}

struct CrossEntropy {
    targets: Arc<[u32]>,
}

/// The logits of one chunk of rows.
fn logits(hidden: &[f32], head: &[f32], d: usize) -> Vec<f32> {
    let mut logits = vec![0.0; hidden.len() / d * (head.len() / d)];
    gemm(
        &mut logits,
        Matrix::new(hidden, d),
        Matrix::new(head, d).t(),
        1.0,
        false,
        all_threads(),
    );
    logits
}

/// Rows of a chunk.
fn chunk_rows(v: usize) -> usize {
    (CHUNK / v).clamp(16, 1024)
}

/// `-log softmax(row)[target]`, the row left as the exponentials.
fn row_loss(row: &[f32], target: u32) -> f64 {
    let max = lanes::max(row);
    let total = row
        .chunks(256)
        .map(|part| part.iter().map(|&x| lanes::exp(x - max)).sum::<f32>());
    total.map(f64::from).sum::<f64>().ln() + f64::from(max) - f64::from(row[target as usize])
}

/// The gradient of the mean: `(softmax - one-hot) * factor` in place.
fn row_gradient(row: &mut [f32], target: u32, factor: f32) {
    lanes::softmax(row);
    row[target as usize] -= 1.0;
    lanes::scale(row, factor);
}

impl CustomOp2 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross_entropy"
    }

    fn cpu_fwd(
        &self,
        hidden: &CpuStorage,
        hl: &Layout,
        head: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((t, d), (v, head_d)) = (hl.shape().dims2()?, wl.shape().dims2()?);
        if t == 0 || t != self.targets.len() || d != head_d {
            let targets = self.targets.len();
            candle_core::bail!(
                "cross_entropy: hidden [{t}, {d}], head [{v}, {head_d}], {targets} targets"
            );
        }
        if let Some(target) = self.targets.iter().find(|&&target| target as usize >= v) {
            candle_core::bail!("cross_entropy: target {target} in a vocabulary of {v}");
        }
        let (hidden, head) = (input(hidden, hl)?, input(head, wl)?);
        let rows = chunk_rows(v);
        let mut total = 0.0;
        for (hidden, targets) in hidden.chunks(rows * d).zip(self.targets.chunks(rows)) {
            let logits = logits(hidden, head, d);
            let losses: Vec<f64> = logits
                .par_chunks(v)
                .zip(targets)
                .map(|(row, &target)| row_loss(row, target))
                .collect();
            total += losses.iter().sum::<f64>();
        }
        output(vec![(total / t as f64) as f32], ())
    }

    fn bwd(
        &self,
        hidden: &Tensor,
        head: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let ((t, d), (v, _)) = (hidden.dims2()?, head.dims2()?);
        let factor = grad.to_scalar::<f32>()? / t as f32;
        let (hidden_tracked, head_tracked) = (hidden.track_op(), head.track_op());
        lend([hidden, head], |[hidden_values, head_values]| {
            let mut dhidden = vec![0.0; if hidden_tracked { t * d } else { 0 }];
            let mut dhead = vec![0.0; if head_tracked { v * d } else { 0 }];
            let rows = chunk_rows(v);
            for (chunk, (part, targets)) in hidden_values
                .chunks(rows * d)
                .zip(self.targets.chunks(rows))
                .enumerate()
            {
                let mut dlogits = logits(part, head_values, d);
                dlogits
                    .par_chunks_mut(v)
                    .zip(targets)
                    .for_each(|(row, &target)| row_gradient(row, target, factor));
                let dlogits = Matrix::new(&dlogits, v);
                if hidden_tracked {
                    let rows = &mut dhidden[chunk * rows * d..][..part.len()];
                    gemm(
                        rows,
                        dlogits,
                        Matrix::new(head_values, d),
                        1.0,
                        false,
                        all_threads(),
                    );
                }
                if head_tracked {
                    gemm(
                        &mut dhead,
                        dlogits.t(),
                        Matrix::new(part, d),
                        1.0,
                        true,
                        all_threads(),
                    );
                }
            }
            let dhidden = if hidden_tracked {
                gradient(dhidden, hidden)?
            } else {
                None
            };
            Ok((
                dhidden,
                if head_tracked {
                    gradient(dhead, head)?
                } else {
                    None
                },
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[5, 4]), random(2, &[7, 4])];
        gradients(&inputs, |x| {
            cross_entropy(&x[0], &x[1], &[6, 0, 3, 3, 1]).unwrap()
        });
    }

    #[test]
    fn chunks_add_up() {
        // 40 rows of a vocabulary so large that a chunk has 16 of them.
        let (hidden, head) = (random(1, &[40, 2]), random(2, &[CHUNK / 16, 2]));
        let targets: Vec<u32> = (0..40).map(|i| i * 7).collect();
        let whole = cross_entropy(&hidden, &head, &targets)
            .unwrap()
            .to_scalar::<f32>()
            .unwrap();
        let single = |row: usize| {
            let hidden = hidden.narrow(0, row, 1).unwrap().contiguous().unwrap();
            cross_entropy(&hidden, &head, &targets[row..=row])
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
        };
        let mean = (0..40).map(single).sum::<f32>() / 40.0;
        assert!((whole - mean).abs() < 1e-5, "{whole} {mean}");
    }

    #[test]
    fn large_logits_stay_exact() {
        let hidden = Tensor::new(&[[100.0f32, -100.0]], &candle_core::Device::Cpu).unwrap();
        let head = Tensor::new(&[[1.0f32, 0.0], [0.0, 1.0]], &candle_core::Device::Cpu).unwrap();
        let loss = |target| {
            cross_entropy(&hidden, &head, &[target])
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
        };
        assert_eq!((loss(0), loss(1)), (0.0, 200.0));
    }

    #[test]
    fn targets_outside_the_vocabulary_are_refused() {
        assert!(cross_entropy(&random(1, &[1, 4]), &random(2, &[7, 4]), &[7]).is_err());
        assert!(cross_entropy(&random(1, &[2, 4]), &random(2, &[7, 4]), &[1]).is_err());
    }
}
