//! The affine layer.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::gemm::{Matrix, all_threads, gemm, product};
use super::{gradient, input, lanes, lend, output, task_rows};

/// `y = x w^T + b`.
///
/// # Shapes
/// `x` `[t, i]`, `weight` `[o, i]`, `bias` `[o]` -> `[t, o]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    match bias {
        Some(bias) => x.apply_op3(weight, bias, Linear),
        None => x.apply_op2(weight, Linear),
    }
}

struct Linear;

impl Linear {
    fn forward(x: &[f32], weight: &[f32], bias: Option<&[f32]>, shapes: [&Layout; 2]) -> Result<(CpuStorage, Shape)> {
        let ((t, i), (o, weight_i)) = (shapes[0].shape().dims2()?, shapes[1].shape().dims2()?);
        if i != weight_i || bias.is_some_and(|bias| bias.len() != o) {
            candle_core::bail!("linear: input [{t}, {i}], weight [{o}, {weight_i}], bias {:?}", bias.map(<[f32]>::len));
        }
        let (x, weight) = (Matrix::new(x, i), Matrix::new(weight, i).t());
        let y = match bias {
            Some(bias) => {
                let mut y = bias.repeat(t);
                gemm(&mut y, x, weight, 1.0, true, all_threads());
                y
            }
            None => product(x, weight, 1.0, all_threads()),
        };
        output(y, (t, o))
    }

    fn backward(x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (o, i) = weight.dims2()?;
        lend([x, weight, grad], |[x_values, weight_values, grad]| {
            let grad = Matrix::new(grad, o);
            let mut result = (None, None);
            if x.track_op() {
                let dx = product(grad, Matrix::new(weight_values, i), 1.0, all_threads());
                result.0 = gradient(dx, x)?;
            }
            if weight.track_op() {
                let dw = product(grad.t(), Matrix::new(x_values, i), 1.0, all_threads());
                result.1 = gradient(dw, weight)?;
            }
            Ok(result)
        })
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        Self::forward(input(x, xl)?, input(w, wl)?, None, [xl, wl])
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        Self::backward(x, w, &grad.contiguous()?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        Self::forward(input(x, xl)?, input(w, wl)?, Some(input(b, bl)?), [xl, wl])
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dw) = Self::backward(x, w, &grad)?;
        let db =
            if b.track_op() { lend([&grad], |[grad]| gradient(column_sums(grad, b.elem_count()), b))? } else { None };
        Ok((dx, dw, db))
    }
}

/// The sum of rows of width `d`.
fn column_sums(rows: &[f32], d: usize) -> Vec<f32> {
    sum_tasks(rows.len() / d, d, d, |range, sums| {
        rows[range.start * d..range.end * d].chunks_exact(d).for_each(|row| lanes::add_to(sums, row));
    })
}

/// Adds up `width` sums over `rows` rows of width `d`: tasks in parallel, their sums in order.
pub(super) fn sum_tasks(
    rows: usize,
    d: usize,
    width: usize,
    task: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let step = task_rows(d);
    let parts: Vec<Vec<f32>> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|index| {
            let mut sums = vec![0.0; width];
            task(index * step..rows.min((index + 1) * step), &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; width];
    parts.iter().for_each(|part| lanes::add_to(&mut total, part));
    total
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[5, 7]), random(2, &[3, 7]), random(3, &[3])];
        gradients(&inputs, |x| linear(&x[0], &x[1], Some(&x[2])).unwrap());
        gradients(&inputs[..2], |x| linear(&x[0], &x[1], None).unwrap());
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() {
        let (x, w) = (candle_core::Var::from_tensor(&random(1, &[4, 3])).unwrap(), random(2, &[2, 3]));
        let grads = linear(&x, &w, None).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(x.as_tensor()).is_some());
        assert!(grads.get(&w).is_none());
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(linear(&random(1, &[4, 3]), &random(2, &[2, 4]), None).is_err());
        assert!(linear(&random(1, &[4, 3]), &random(2, &[2, 3]), Some(&random(3, &[3]))).is_err());
    }
}
