//! The residual connection.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::activation::map2;
use super::dropout::masked;
use super::{Dropout, TASK, gradient, input, lanes, lend, output};

/// `x + dropout(update)`: nothing but the sum is kept.
///
/// # Shapes
/// Two of the same shape -> that shape.
pub fn residual(x: &Tensor, update: &Tensor, dropout: Option<Dropout>) -> Result<Tensor> {
    x.apply_op2(update, Residual { dropout })
}

struct Residual {
    dropout: Option<Dropout>,
}

impl CustomOp2 for Residual {
    fn name(&self) -> &'static str {
        "residual"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, update: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        if xl.shape() != ul.shape() {
            candle_core::bail!("residual: x {:?}, update {:?}", xl.shape(), ul.shape());
        }
        let (x, update) = (input(x, xl)?, input(update, ul)?);
        let Some(dropout) = self.dropout else {
            return output(map2(x, update, |x, update| x + update), xl.shape());
        };
        let mut sum = update.to_vec();
        sum.par_chunks_mut(TASK).zip(x.par_chunks(TASK)).enumerate().for_each(|(task, (sum, x))| {
            dropout.apply(task * TASK, sum);
            lanes::wide!(|| lanes::add_to(sum, x));
        });
        output(sum, xl.shape())
    }

    fn bwd(&self, x: &Tensor, update: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dropped = match self.dropout {
            _ if !update.track_op() => None,
            None => Some(grad.clone()),
            Some(dropout) => lend([&grad.contiguous()?], |[values]| gradient(masked(values, dropout), grad))?,
        };
        Ok((x.track_op().then(|| grad.clone()), dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[8, 5]), random(2, &[8, 5])];
        for dropout in [None, Some(Dropout::new(0.4, 7))] {
            gradients(&inputs, |x| residual(&x[0], &x[1], dropout).unwrap());
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(residual(&random(1, &[2, 4]), &random(2, &[4, 2]), None).is_err());
    }
}
