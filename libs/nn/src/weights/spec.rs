//! The weights an architecture has, and how they start.

use candle_core::{Device, Var};
use rand::Rng;

use crate::Result;

/// How a weight starts when it is not loaded.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal(f32),
    /// All 0.
    Zeros,
    /// All 1.
    Ones,
}

/// A weight an architecture has.
#[derive(Debug, Clone, PartialEq)]
pub struct ParamSpec {
    /// The Hugging Face name.
    pub name: String,
    /// The shape.
    pub shape: Vec<usize>,
    /// How it starts.
    pub init: Init,
}

impl ParamSpec {
    /// A weight of this name, shape and start.
    pub fn new(name: impl Into<String>, shape: &[usize], init: Init) -> Self {
        Self { name: name.into(), shape: shape.to_vec(), init }
    }

    /// The starting value: a function of (seed, name), independent of other weights.
    pub(super) fn start(&self, seed: u64) -> Result<Var> {
        let count = self.shape.iter().product();
        let values = match self.init {
            Init::Normal(std) => normal(seed, &self.name, count, std),
            Init::Zeros => vec![0.0; count],
            Init::Ones => vec![1.0; count],
        };
        Ok(Var::from_vec(values, self.shape.as_slice(), &Device::Cpu)?)
    }
}

/// `count` normal values by the Box-Muller transform.
fn normal(seed: u64, name: &str, count: usize, std: f32) -> Vec<f32> {
    let mut rng = ranking::rng::stream(seed, name, 0);
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        // In (0, 1], so that the logarithm is finite.
        let u = (f64::from(rng.next_u32()) + 1.0) / 4_294_967_296.0;
        let angle = std::f64::consts::TAU * f64::from(rng.next_u32()) / 4_294_967_296.0;
        let radius = (-2.0 * u.ln()).sqrt();
        values.push((radius * angle.cos()) as f32 * std);
        values.push((radius * angle.sin()) as f32 * std);
    }
    values.truncate(count);
    values
}
