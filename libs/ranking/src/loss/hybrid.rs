use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, LossValue, ParameterError};
use super::definition::Definition;
use super::functions::check_temperature;
use super::margin_mse::MarginMse;
use super::pointwise_mse::PointwiseMse;

/// Hybrid distillation loss: the pointwise part keeps the teacher's scale, the margin part its order and distances.
///
/// ```text
/// L = alpha * pointwise_mse(s, t / tau) + (1 - alpha) * margin_mse(s, t / tau)
/// ```
///
/// The temperature tau divides the labels before both parts and the scores before neither: the loss is least at
/// `s = t / tau`, so that the student's logits, without a temperature of their own, come out tau times closer together
/// than the teacher's. The quotients are rounded to f32, as scores and labels are; a tau of 1 changes nothing.
///
/// arXiv 2411.04539, the distillation loss. Both parts are components of the output.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Hybrid {
    /// Weight of the pointwise part, from 0 to 1; the margin part has the rest.
    pub alpha: f64,
    /// The temperature that the labels are divided by, from 0.000001.
    pub temperature: f64,
}

impl Default for Hybrid {
    fn default() -> Self {
        Self { alpha: 0.5, temperature: 1.0 }
    }
}

impl Definition for Hybrid {
    fn check(&self) -> Result<(), ParameterError> {
        ParameterError::unless((0.0..=1.0).contains(&self.alpha), "alpha", "from 0 to 1", self.alpha)?;
        check_temperature("temperature", self.temperature)
    }

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let tempered = |&label: &f32| (f64::from(label) / self.temperature) as f32;
        let labels: Vec<f32> = batch.labels.iter().map(tempered).collect();
        let batch = batch.with_labels(&labels);
        let (pointwise, margin) = (PointwiseMse {}.compute(&batch).total, MarginMse {}.compute(&batch).total);
        let mix = |point: f64, margin: f64| self.alpha * point + (1.0 - self.alpha) * margin;
        let grad: Vec<f64> =
            pointwise.grad.iter().zip(&margin.grad).map(|(&p, &m)| mix(f64::from(p), f64::from(m))).collect();
        let total = LossValue::new(mix(pointwise.value, margin.value), &grad);
        let components = vec![("pointwise_mse", pointwise.value), ("margin_mse", margin.value)];
        LossOutput { total, components }
    }
}
