//! AdamW with moments of its own (Loshchilov and Hutter, arXiv 1711.05101), stepping as PyTorch's does.

use std::collections::BTreeMap;
use std::sync::Mutex;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, Var};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::weights::Params;

/// Values that one task sums or updates. Fixed, so that sums do not depend on the number of threads.
const CHUNK: usize = 8192;
/// Added to the norm before the division, as `torch.nn.utils.clip_grad_norm_` does.
const CLIP_EPSILON: f64 = 1e-6;

/// The constants of [`AdamW`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamWConfig {
    /// Fraction of a weight taken off per unit of learning rate. Biases and norm weights, the tensors of one dimension,
    /// are exempt.
    pub weight_decay: f64,
    /// Gradients whose joint norm is larger are scaled down to it; `None` leaves them as they are.
    pub max_grad_norm: Option<f64>,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self { weight_decay: 0.01, max_grad_norm: Some(1.0), beta1: 0.9, beta2: 0.999, epsilon: 1e-8 }
    }
}

/// The running averages of one weight's gradient, each as long as the weight.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    /// The average of the gradient.
    pub first: Vec<f32>,
    /// The average of its square.
    pub second: Vec<f32>,
}

/// Measurements of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepStats {
    /// The Euclidean norm of all gradients together, before clipping.
    pub grad_norm: f64,
}

/// AdamW over all weights of a model.
#[derive(Clone, Debug)]
pub struct AdamW {
    config: AdamWConfig,
    steps: usize,
    moments: BTreeMap<String, Moments>,
}

impl AdamW {
    /// An optimizer that has taken no step; the moments of `params` start at zero.
    pub fn new(config: AdamWConfig, params: &Params) -> Self {
        let zeros = |var: &Var| Moments { first: vec![0.0; var.elem_count()], second: vec![0.0; var.elem_count()] };
        let moments = params.iter().map(|(name, var)| (name.to_owned(), zeros(var))).collect();
        Self { config, steps: 0, moments }
    }

    /// An optimizer as it was after `steps` steps.
    pub fn restore(config: AdamWConfig, steps: usize, moments: BTreeMap<String, Moments>) -> Self {
        Self { config, steps, moments }
    }

    /// The steps taken.
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The moments by the name of their weight.
    pub fn moments(&self) -> &BTreeMap<String, Moments> {
        &self.moments
    }

    /// Updates every weight in place, each at `rate_share` of its name times `learning_rate`. All gradients are checked before
    /// the first weight changes.
    ///
    /// # Errors
    /// A weight without a gradient or with one that is not finite, by name; weights other than those the optimizer was
    /// made for.
    pub fn step(
        &mut self,
        params: &Params,
        grads: &GradStore,
        learning_rate: f64,
        rate_share: &dyn Fn(&str) -> f64,
    ) -> Result<StepStats> {
        let mut updates = Vec::with_capacity(params.len());
        let mut squares = 0.0;
        for (name, var) in params.iter() {
            let grad = grads.get(var).ok_or_else(|| Error::MissingGradient(name.to_owned()))?;
            let grad = grad.contiguous()?;
            let square = sum_of_squares(&grad)?;
            if !square.is_finite() {
                return Err(Error::NonFiniteGradient(name.to_owned()));
            }
            squares += square;
            self.check_moments(name, var)?;
            updates.push((name, var, grad));
        }
        let grad_norm = squares.sqrt();
        self.steps += 1;
        for (name, var, grad) in updates {
            let rates = self.rates(learning_rate * rate_share(name), grad_norm);
            if let Some(moments) = self.moments.get_mut(name) {
                let decay = if var.rank() > 1 { rates.decay } else { 1.0 };
                let rates = Rates { decay, ..rates };
                var.inplace_op1(&Update { rates, moments: Mutex::new(moments), grad: &grad })?;
            }
        }
        Ok(StepStats { grad_norm })
    }

    fn check_moments(&self, name: &str, var: &Var) -> Result<()> {
        let expected = self.moments.get(name).map_or(0, |moments| moments.first.len());
        let found = var.elem_count();
        if expected != found {
            return Err(Error::Moments { name: name.to_owned(), expected, found });
        }
        Ok(())
    }

    /// The factors of this step, rounded to `f32` once.
    fn rates(&self, learning_rate: f64, grad_norm: f64) -> Rates {
        let AdamWConfig { weight_decay, max_grad_norm, beta1, beta2, epsilon } = self.config;
        let clip = max_grad_norm.map_or(1.0, |most| (most / (grad_norm + CLIP_EPSILON)).min(1.0));
        let correction = |beta: f64| 1.0 - beta.powi(self.steps as i32);
        Rates {
            clip: clip as f32,
            decay: (1.0 - learning_rate * weight_decay) as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            one_minus_beta1: (1.0 - beta1) as f32,
            one_minus_beta2: (1.0 - beta2) as f32,
            step_size: (learning_rate / correction(beta1)) as f32,
            root_correction: correction(beta2).sqrt() as f32,
            epsilon: epsilon as f32,
        }
    }
}

#[derive(Clone, Copy)]
struct Rates {
    clip: f32,
    decay: f32,
    beta1: f32,
    beta2: f32,
    one_minus_beta1: f32,
    one_minus_beta2: f32,
    step_size: f32,
    root_correction: f32,
    epsilon: f32,
}

impl Rates {
    /// Updates equally long slices of a weight and its moments.
    fn apply(&self, weight: &mut [f32], first: &mut [f32], second: &mut [f32], grad: &[f32]) {
        for (((w, m), v), g) in weight.iter_mut().zip(first).zip(second).zip(grad) {
            let g = g * self.clip;
            *m = self.beta1 * *m + self.one_minus_beta1 * g;
            *v = self.beta2 * *v + self.one_minus_beta2 * g * g;
            let denominator = v.sqrt() / self.root_correction + self.epsilon;
            *w = *w * self.decay - self.step_size * *m / denominator;
        }
    }
}

/// The update of one weight, run on its storage.
struct Update<'a> {
    rates: Rates,
    moments: Mutex<&'a mut Moments>,
    grad: &'a Tensor,
}

impl InplaceOp1 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            candle_core::bail!("adamw: the weight is not contiguous");
        };
        let CpuStorage::F32(values) = storage else {
            candle_core::bail!("adamw: the weight is not f32");
        };
        let Ok(mut moments) = self.moments.lock() else {
            candle_core::bail!("adamw: an earlier update of these moments panicked");
        };
        let Moments { first, second } = &mut **moments;
        with_values(self.grad, |grad| {
            values[start..end]
                .par_chunks_mut(CHUNK)
                .zip(first.par_chunks_mut(CHUNK))
                .zip(second.par_chunks_mut(CHUNK))
                .zip(grad.par_chunks(CHUNK))
                .for_each(|(((w, m), v), g)| self.rates.apply(w, m, v, g));
        })
    }
}

/// Runs `read` on the values of a contiguous `f32` tensor without copying them.
pub(crate) fn with_values<R>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> R) -> candle_core::Result<R> {
    let (storage, layout) = tensor.storage_and_layout();
    let candle_core::Storage::Cpu(storage) = &*storage else {
        candle_core::bail!("the tensor is not on the CPU");
    };
    let values = storage.as_slice::<f32>()?;
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(read(&values[start..end])),
        None => candle_core::bail!("the tensor is not contiguous"),
    }
}

/// Summed in `f64` chunk by chunk, so that every number of threads gives the same bits.
fn sum_of_squares(tensor: &Tensor) -> candle_core::Result<f64> {
    let square = |chunk: &[f32]| chunk.iter().map(|&g| f64::from(g) * f64::from(g)).sum::<f64>();
    with_values(tensor, |values| {
        let sums: Vec<f64> = values.par_chunks(CHUNK).map(square).collect();
        sums.iter().sum()
    })
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::weights::{Init, ParamSpec};

    fn params() -> Params {
        Params::init(&[ParamSpec::new("bias", &[3], Init::Ones), ParamSpec::new("weight", &[2, 3], Init::Ones)], 1)
            .unwrap()
    }

    fn weights(params: &Params, name: &str) -> Vec<f32> {
        params.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
    }

    /// The loss is the sum of all weights times `slope`: every gradient is `slope`.
    fn grads(params: &Params, slope: f64) -> GradStore {
        let (bias, weight) = (params.get("bias").unwrap(), params.get("weight").unwrap());
        let loss = (bias.sum_all().unwrap() + weight.sum_all().unwrap()).unwrap();
        // By a tensor: candle keeps no gradient of a product with the number 0.
        (loss * Tensor::new(slope as f32, &Device::Cpu).unwrap()).unwrap().backward().unwrap()
    }

    #[test]
    fn decay_spares_tensors_of_one_dimension() {
        let params = params();
        let config = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
        AdamW::new(config, &params).step(&params, &grads(&params, 0.0), 0.1, &|_| 1.0).unwrap();
        assert_eq!(weights(&params, "bias"), [1.0; 3]);
        assert_eq!(weights(&params, "weight"), [0.95; 6]);
    }

    #[test]
    fn a_weight_moves_and_decays_at_its_share_of_the_rate() {
        let moved = |learning_rate: f64, share: f64| {
            let params = params();
            let config = AdamWConfig { weight_decay: 0.5, ..AdamWConfig::default() };
            let rate_share = |name: &str| if name == "weight" { share } else { 1.0 };
            AdamW::new(config, &params).step(&params, &grads(&params, 1.0), learning_rate, &rate_share).unwrap();
            (weights(&params, "bias"), weights(&params, "weight"))
        };
        let (bias, weight) = moved(0.1, 0.25);
        assert_eq!(bias, moved(0.1, 1.0).0);
        assert_eq!(weight, moved(0.025, 1.0).1);
        assert_ne!(weight, moved(0.1, 1.0).1);
    }

    #[test]
    fn the_norm_is_of_all_gradients_before_clipping() {
        let params = params();
        let stats =
            AdamW::new(AdamWConfig::default(), &params).step(&params, &grads(&params, 2.0), 0.1, &|_| 1.0).unwrap();
        assert!((stats.grad_norm - 6.0).abs() < 1e-12);
    }

    #[test]
    fn a_missing_gradient_is_named_and_nothing_moves() {
        let params = params();
        let only_bias = params.get("bias").unwrap().sum_all().unwrap().backward().unwrap();
        let error = AdamW::new(AdamWConfig::default(), &params).step(&params, &only_bias, 0.1, &|_| 1.0).unwrap_err();
        assert_eq!(error.to_string(), "weight `weight` got no gradient: the loss does not depend on it");
        assert_eq!(weights(&params, "bias"), [1.0; 3]);
    }

    #[test]
    fn a_gradient_that_is_not_finite_is_named_and_nothing_moves() {
        for slope in [f64::NAN, f64::INFINITY] {
            let params = params();
            let error = AdamW::new(AdamWConfig::default(), &params)
                .step(&params, &grads(&params, slope), 0.1, &|_| 1.0)
                .unwrap_err();
            assert!(matches!(error, Error::NonFiniteGradient(name) if name == "bias"));
            assert_eq!(weights(&params, "weight"), [1.0; 6]);
        }
    }

    #[test]
    fn moments_of_another_model_are_refused() {
        let params = params();
        let mut optimizer = AdamW::restore(AdamWConfig::default(), 3, BTreeMap::new());
        assert!(matches!(
            optimizer.step(&params, &grads(&params, 1.0), 0.1, &|_| 1.0),
            Err(Error::Moments { expected: 0, found: 3, .. })
        ));
    }

    #[test]
    fn the_norm_has_the_same_bits_for_every_number_of_threads() {
        let values: Vec<f32> = (0..5 * CHUNK + 7).map(|i| (i as f32 * 0.37).sin()).collect();
        let tensor = Tensor::from_vec(values, 5 * CHUNK + 7, &Device::Cpu).unwrap();
        let norm = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sum_of_squares(&tensor).unwrap()).to_bits()
        };
        assert_eq!(norm(1), norm(3));
    }
}
