//! Expectations over classes.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{gradient, input, lend, output};

/// The class from 0 that is expected under the softmax of each row: `sum_g g * exp(z_g) / sum_h exp(z_h)`.
///
/// # Shapes
/// `logits` `[n, classes]` -> `[n]`.
pub fn expected_class(logits: &Tensor) -> Result<Tensor> {
    logits.apply_op1(ExpectedClass)
}

struct ExpectedClass;

/// The softmax of a row, and the class expected under it.
fn distribution(row: &[f32]) -> (Vec<f64>, f64) {
    let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f64> = row.iter().map(|&logit| (f64::from(logit) - f64::from(most)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    let shares: Vec<f64> = powers.into_iter().map(|power| power / sum).collect();
    let expected = shares.iter().enumerate().map(|(class, share)| class as f64 * share).sum();
    (shares, expected)
}

impl CustomOp1 for ExpectedClass {
    fn name(&self) -> &'static str {
        "expected_class"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (n, classes) = layout.shape().dims2()?;
        let rows = input(logits, layout)?.chunks_exact(classes.max(1));
        output(rows.map(|row| distribution(row).1 as f32).collect(), n)
    }

    fn bwd(&self, logits: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let (_, classes) = logits.dims2()?;
        lend([logits, &grad.contiguous()?], |[values, grad]| {
            let mut slopes = Vec::with_capacity(values.len());
            for (row, grad) in values.chunks_exact(classes.max(1)).zip(grad) {
                let (shares, expected) = distribution(row);
                let slope =
                    |(class, share): (usize, f64)| (f64::from(*grad) * share * (class as f64 - expected)) as f32;
                slopes.extend(shares.into_iter().enumerate().map(slope));
            }
            gradient(slopes, logits)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        gradients(&[random(1, &[4, 5])], |x| expected_class(&x[0]).unwrap());
    }

    #[test]
    fn the_class_of_a_large_logit_is_expected() {
        let logits =
            Tensor::new(&[[0.0f32, 0.0, 3e38, 0.0], [1.0, 1.0, 1.0, 1.0], [-3e38, 3e38, 0.0, 3e38]], &Device::Cpu);
        assert_eq!(expected_class(&logits.unwrap()).unwrap().to_vec1::<f32>().unwrap(), [2.0, 1.5, 2.0]);
    }
}
