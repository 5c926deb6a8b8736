//! An affine layer whose weight is frozen and whose update is of low rank (LoRA, arXiv 2106.09685).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::Precision;
use super::activation::map2;
use super::dropout::Dropout;
use super::gemm::{Compute, Matrix, gemm, product, product_by_rows};
use super::linear::affine;
use super::{gradient, input, lend, output};

/// The frozen part of [`low_rank`] and how the update is applied.
#[derive(Debug, Clone)]
pub struct LowRank {
    /// `[o, i]`; gets no gradient.
    pub weight: Tensor,
    /// `[o]`; gets no gradient.
    pub bias: Option<Tensor>,
    /// What the update is multiplied by: alpha / rank.
    pub scale: f32,
    /// Dropout of the update's input.
    pub dropout: Option<Dropout>,
    /// Precision of all matrix products but the gradients of `a` and `b`, which are `f32`.
    pub precision: Precision,
}

/// `y = x w^T + b + scale * dropout(x) a^T b^T`. Nothing is kept for the backward pass but the inputs. A row of `y` has the same bits
/// whatever other rows stand beside it, but for dropout.
///
/// # Shapes
/// `x` `[t, i]`, `a` `[r, i]`, `b` `[o, r]` -> `[t, o]`.
pub fn low_rank(x: &Tensor, a: &Tensor, b: &Tensor, layer: LowRank) -> Result<Tensor> {
    x.apply_op3(a, b, layer)
}

impl LowRank {
    /// The input as the update sees it.
    fn seen<'a>(&self, x: &'a [f32]) -> std::borrow::Cow<'a, [f32]> {
        match self.dropout {
            Some(dropout) => super::dropout::masked(x, dropout).into(),
            None => x.into(),
        }
    }
}

impl CustomOp3 for LowRank {
    fn name(&self) -> &'static str {
        "low_rank"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        a: &CpuStorage,
        al: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((t, i), (o, weight_i)) = (xl.shape().dims2()?, self.weight.dims2()?);
        let ((r, a_i), (b_o, b_r)) = (al.shape().dims2()?, bl.shape().dims2()?);
        if [weight_i, a_i] != [i; 2] || b_o != o || b_r != r {
            candle_core::bail!(
                "low_rank: input [{t}, {i}], weight [{o}, {weight_i}], a [{r}, {a_i}], b [{b_o}, {b_r}]"
            );
        }
        let (x, a, b) = (input(x, xl)?, input(a, al)?, input(b, bl)?);
        let (rows, compute) = (Matrix::new(x, i), Compute::shared(self.precision));
        let y = lend([&self.weight], |[weight]| match &self.bias {
            Some(bias) => lend([bias], |[bias]| Ok(affine(rows, Matrix::new(weight, i), Some(bias), compute))),
            None => Ok(affine(rows, Matrix::new(weight, i), None, compute)),
        })?;
        let inner = product_by_rows(Matrix::new(&self.seen(x), i), Matrix::new(a, i).t(), compute); // [t, r]
        let update = product_by_rows(Matrix::new(&inner, r), Matrix::new(b, r).t(), compute); // [t, o]
        output(map2(&y, &update, |y, update| self.scale.mul_add(update, y)), (t, o))
    }

    fn bwd(
        &self,
        x: &Tensor,
        a: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let ((o, i), (r, _)) = (self.weight.dims2()?, a.dims2()?);
        lend([x, a, b, &grad.contiguous()?, &self.weight], |[xs, a_values, b_values, grad, weight]| {
            let (seen, grad, compute) = (self.seen(xs), Matrix::new(grad, o), Compute::shared(self.precision));
            let inner = product(Matrix::new(&seen, i), Matrix::new(a_values, i).t(), 1.0, compute); // [t, r]
            let db = product(grad.t(), Matrix::new(&inner, r), self.scale, compute);
            let dinner = product(grad, Matrix::new(b_values, r), self.scale, compute); // [t, r]
            let da = product(Matrix::new(&dinner, r).t(), Matrix::new(&seen, i), 1.0, compute);
            let dx = if x.track_op() {
                let mut dx = product(Matrix::new(&dinner, r), Matrix::new(a_values, i), 1.0, compute);
                if let Some(dropout) = self.dropout {
                    dx = super::dropout::masked(&dx, dropout);
                }
                gemm(&mut dx, grad, Matrix::new(weight, i), 1.0, true, compute);
                gradient(dx, x)?
            } else {
                None
            };
            Ok((dx, gradient(da, a)?, gradient(db, b)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;
    use crate::ops::Precision::{Bf16, F32};

    fn layer(bias: bool, dropout: Option<Dropout>) -> LowRank {
        LowRank { weight: random(4, &[3, 7]), bias: bias.then(|| random(5, &[3])), scale: 0.7, dropout, precision: F32 }
    }

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[5, 7]), random(2, &[2, 7]), random(3, &[3, 2])];
        for (bias, dropout) in [(true, None), (false, Some(Dropout::new(0.4, 9)))] {
            gradients(&inputs, |x| low_rank(&x[0], &x[1], &x[2], layer(bias, dropout)).unwrap());
        }
    }

    #[test]
    fn it_is_the_affine_layer_of_the_merged_weight() {
        let (x, a, b) = (random(1, &[5, 7]), random(2, &[2, 7]), random(3, &[3, 2]));
        let layer = layer(true, None);
        let merged = (&layer.weight + (b.matmul(&a).unwrap() * 0.7).unwrap()).unwrap();
        let expected = super::super::linear(&x, &merged, layer.bias.as_ref(), F32).unwrap().flatten_all().unwrap();
        let found = low_rank(&x, &a, &b, layer).unwrap().flatten_all().unwrap();
        let difference = (expected - found).unwrap().abs().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap();
        assert!(difference < 1e-6, "{difference}");
    }

    #[test]
    fn a_token_has_the_same_outputs_alone() {
        let (x, a, b) = (random(1, &[90, 70]), random(2, &[8, 70]), random(3, &[33, 8]));
        for precision in [F32, Bf16] {
            let rows = |x: &Tensor| {
                let layer = LowRank { weight: random(4, &[33, 70]), bias: None, precision, ..layer(false, None) };
                low_rank(x, &a, &b, layer).unwrap().to_vec2::<f32>().unwrap()
            };
            let together = rows(&x);
            for (token, outputs) in together.iter().enumerate() {
                assert_eq!(rows(&x.narrow(0, token, 1).unwrap())[0], *outputs);
            }
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(low_rank(&random(1, &[5, 6]), &random(2, &[2, 6]), &random(3, &[3, 2]), layer(true, None)).is_err());
        assert!(low_rank(&random(1, &[5, 7]), &random(2, &[2, 7]), &random(3, &[3, 1]), layer(true, None)).is_err());
    }
}
