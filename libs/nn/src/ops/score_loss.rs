//! Losses computed outside the graph.

use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Tensor};
use ranking::loss::LossValue;

use super::{gradient, lend, output};
use crate::{Error, Result};

/// A loss on scores as a scalar of the graph; `loss` computes its value and its gradient.
///
/// # Shapes
/// `scores` `[n]` -> scalar.
pub fn score_loss<E>(scores: &Tensor, loss: impl FnOnce(&[f32]) -> std::result::Result<LossValue, E>) -> Result<Tensor>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let loss = loss(&scores.to_vec1::<f32>()?).map_err(|error| Error::Loss(Box::new(error)))?;
    Ok(scores.apply_op1(ScoreLoss(loss))?)
}

struct ScoreLoss(LossValue);

impl CustomOp1 for ScoreLoss {
    fn name(&self) -> &'static str {
        "score_loss"
    }

    fn cpu_fwd(&self, _: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let n = layout.shape().dims1()?;
        if self.0.grad.len() != n {
            candle_core::bail!("score_loss: {} gradients for {n} scores", self.0.grad.len());
        }
        output(vec![self.0.value as f32], ())
    }

    fn bwd(&self, scores: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
        lend([grad], |[grad]| gradient(self.0.grad.iter().map(|g| g * grad[0]).collect(), scores))
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    fn cube(scores: &[f32]) -> std::result::Result<LossValue, std::io::Error> {
        let value = scores.iter().map(|&s| f64::from(s).powi(3)).sum();
        Ok(LossValue { value, grad: scores.iter().map(|s| 3.0 * s * s).collect() })
    }

    #[test]
    fn gradients_match_finite_differences() {
        gradients(&[random(1, &[6])], |x| score_loss(&x[0], cube).unwrap());
    }

    #[test]
    fn a_refusal_is_passed_on() {
        let error = score_loss(&random(1, &[2]), |_| Err(std::io::Error::other("NaN score"))).unwrap_err();
        assert_eq!(error.to_string(), "loss: NaN score");
    }
}
