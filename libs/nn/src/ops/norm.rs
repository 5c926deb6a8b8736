//! Layer norm and root-mean-square norm.

use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::linear::sum_tasks;
use super::{copied, filled, gradient, input, lanes, lend, output, task_rows};

/// `y = x / sqrt(mean(x^2) + eps) * weight` over each row (arXiv 1910.07467).
///
/// # Shapes
/// `x` `[t, d]`, `weight` `[d]` -> `[t, d]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    x.apply_op2(weight, RmsNorm { eps: eps as f32 })
}

/// `y = (x - mean) / sqrt(variance + eps) * weight + bias` over each row (arXiv 1607.06450).
///
/// # Shapes
/// `x` `[t, d]`, `weight` and `bias` `[d]` -> `[t, d]`.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let norm = LayerNorm { eps: eps as f32 };
    match bias {
        Some(bias) => x.apply_op3(weight, bias, norm),
        None => x.apply_op2(weight, norm),
    }
}

/// `x` with each row changed, in parallel.
fn map_rows(x: &[f32], d: usize, row: impl Fn(&mut [f32]) + Sync) -> Vec<f32> {
    let task = task_rows(d) * d;
    let write = |y: &mut [MaybeUninit<f32>]| {
        y.par_chunks_mut(task).zip(x.par_chunks(task)).for_each(|(y, x)| {
            let y = copied(y, x);
            lanes::wide!(|| y.chunks_exact_mut(d).for_each(&row));
        });
    };
    // SAFETY: the tasks have all numbers, and each writes all of its own.
    #[allow(unsafe_code)]
    unsafe {
        filled(x.len(), write)
    }
}

/// Fills each row of `dx` from the same rows of `x` and `grad`, in parallel.
fn map_rows2(x: &[f32], grad: &[f32], d: usize, row: impl Fn(&[f32], &[f32], &mut [f32]) + Sync) -> Vec<f32> {
    let mut dx = vec![0.0; x.len()];
    let task = task_rows(d) * d;
    dx.par_chunks_mut(task).zip(x.par_chunks(task)).zip(grad.par_chunks(task)).for_each(|((dx, x), grad)| {
        let rows = dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(grad.chunks_exact(d));
        lanes::wide!(|| rows.for_each(|((dx, x), grad)| row(x, grad, dx)));
    });
    dx
}

fn check(x: &Layout, vectors: &[&Layout]) -> Result<usize> {
    let (_, d) = x.shape().dims2()?;
    for vector in vectors {
        if vector.shape().dims1()? != d {
            candle_core::bail!("norm: rows of {d} with a weight or bias of {:?}", vector.shape());
        }
    }
    Ok(d)
}

struct RmsNorm {
    eps: f32,
}

impl RmsNorm {
    /// 1 / root mean square.
    #[inline(always)]
    fn inverse(&self, x: &[f32]) -> f32 {
        1.0 / (lanes::dot(x, x) / x.len() as f32 + self.eps).sqrt()
    }

    /// With `n = x * inverse` and `g = grad * weight`: `dx = inverse (g - n mean(g n))`.
    #[inline(always)]
    fn backward_row(&self, x: &[f32], weight: &[f32], grad: &[f32], dx: &mut [f32]) {
        let inverse = self.inverse(x);
        for ((dx, &grad), &weight) in dx.iter_mut().zip(grad).zip(weight) {
            *dx = grad * weight;
        }
        let along = inverse * inverse * lanes::dot(dx, x) / x.len() as f32;
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = inverse * (-along).mul_add(x, *dx);
        }
    }
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let d = check(xl, &[wl])?;
        let (x, weight) = (input(x, xl)?, input(w, wl)?);
        let y = map_rows(x, d, |row| {
            let inverse = self.inverse(row);
            for (x, &weight) in row.iter_mut().zip(weight) {
                *x = *x * inverse * weight;
            }
        });
        output(y, xl.shape())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (t, d) = x.dims2()?;
        lend([x, w, &grad.contiguous()?], |[xs, weight, grads]| {
            let dx = map_rows2(xs, grads, d, |x, grad, dx| self.backward_row(x, weight, grad, dx));
            let dx = gradient(dx, x)?;
            if !w.track_op() {
                return Ok((dx, None));
            }
            let dw = sum_tasks(t, d, d, |range, dw| {
                for row in range {
                    let (x, grad) = (&xs[row * d..][..d], &grads[row * d..][..d]);
                    let inverse = self.inverse(x);
                    for ((dw, &x), &grad) in dw.iter_mut().zip(x).zip(grad) {
                        *dw = (x * inverse).mul_add(grad, *dw);
                    }
                }
            });
            Ok((dx, gradient(dw, w)?))
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub(super) struct LayerNorm {
    pub(super) eps: f32,
}

impl LayerNorm {
    #[inline(always)]
    pub(super) fn norm(&self, row: &mut [f32], weight: &[f32], bias: &[f32]) {
        let (mean, inverse) = self.moments(row);
        for ((x, &weight), &bias) in row.iter_mut().zip(weight).zip(bias) {
            *x = ((*x - mean) * inverse).mul_add(weight, bias);
        }
    }

    /// (mean, 1 / standard deviation).
    #[inline(always)]
    fn moments(&self, x: &[f32]) -> (f32, f32) {
        let n = x.len() as f32;
        let mean = lanes::sum(x) / n;
        (mean, 1.0 / (lanes::squared_deviation(x, mean) / n + self.eps).sqrt())
    }

    /// With `n = (x - mean) * inverse` and `g = grad * weight`: `dx = inverse (g - mean(g) - n mean(g n))`.
    #[inline(always)]
    fn backward_row(&self, x: &[f32], weight: &[f32], grad: &[f32], dx: &mut [f32]) {
        let (mean, inverse) = self.moments(x);
        let n = x.len() as f32;
        for ((dx, &grad), &weight) in dx.iter_mut().zip(grad).zip(weight) {
            *dx = grad * weight;
        }
        let grad_mean = lanes::sum(dx) / n;
        // The sum of g n, where the mean of x falls out of the dot product.
        let along = inverse * inverse * (lanes::dot(dx, x) - mean * grad_mean * n) / n;
        for (dx, &x) in dx.iter_mut().zip(x) {
            *dx = inverse * (-along).mul_add(x - mean, *dx - grad_mean);
        }
    }

    /// The gradients of input, weight and bias.
    fn backward(&self, x: &Tensor, w: &Tensor, b: Option<&Tensor>, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let (t, d) = x.dims2()?;
        lend([x, w, grad], |[xs, weight, grads]| {
            let dx = map_rows2(xs, grads, d, |x, grad, dx| self.backward_row(x, weight, grad, dx));
            let dx = gradient(dx, x)?;
            if !w.track_op() && b.is_none_or(|b| !b.track_op()) {
                return Ok([dx, None, None]);
            }
            // Without a bias, the second half is empty.
            let width = if b.is_some() { 2 * d } else { d };
            let sums = sum_tasks(t, d, width, |range, sums| {
                let (dw, db) = sums.split_at_mut(d);
                for row in range {
                    let (x, grad) = (&xs[row * d..][..d], &grads[row * d..][..d]);
                    let (mean, inverse) = self.moments(x);
                    for ((dw, &x), &grad) in dw.iter_mut().zip(x).zip(grad) {
                        *dw = ((x - mean) * inverse).mul_add(grad, *dw);
                    }
                    lanes::add_to(db, grad);
                }
            });
            let (dw, db) = sums.split_at(d);
            let db = b.map_or(Ok(None), |b| gradient(db.to_vec(), b))?;
            Ok([dx, gradient(dw.to_vec(), w)?, db])
        })
    }
}

impl CustomOp2 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        let d = check(xl, &[wl])?;
        let (x, weight) = (input(x, xl)?, input(w, wl)?);
        let y = map_rows(x, d, |row| {
            let (mean, inverse) = self.moments(row);
            for (x, &weight) in row.iter_mut().zip(weight) {
                *x = (*x - mean) * inverse * weight;
            }
        });
        output(y, xl.shape())
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, _] = self.backward(x, w, None, &grad.contiguous()?)?;
        Ok((dx, dw))
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let d = check(xl, &[wl, bl])?;
        let (x, weight, bias) = (input(x, xl)?, input(w, wl)?, input(b, bl)?);
        output(map_rows(x, d, |row| self.norm(row, weight, bias)), xl.shape())
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [dx, dw, db] = self.backward(x, w, Some(b), &grad.contiguous()?)?;
        Ok((dx, dw, db))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[4, 19]), random(2, &[19]), random(3, &[19])];
        gradients(&inputs[..2], |x| rms_norm(&x[0], &x[1], 1e-5).unwrap());
        gradients(&inputs, |x| layer_norm(&x[0], &x[1], Some(&x[2]), 1e-5).unwrap());
        gradients(&inputs[..2], |x| layer_norm(&x[0], &x[1], None, 1e-5).unwrap());
    }

    #[test]
    fn other_widths_are_refused() {
        let x = random(1, &[2, 4]);
        assert!(rms_norm(&x, &random(2, &[3]), 1e-5).is_err());
        assert!(layer_norm(&x, &random(2, &[4]), Some(&random(3, &[3])), 1e-5).is_err());
        assert!(layer_norm(&x, &random(2, &[3]), None, 1e-5).is_err());
    }
}
