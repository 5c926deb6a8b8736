use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, LossOutput, LossValue};
use super::definition::Definition;

/// Pointwise mean squared error of the scores against the labels.
///
/// ```text
/// L = 1/n sum_i (t_i - s_i)^2
/// dL/ds_i = -2 (t_i - s_i) / n
/// ```
///
/// With a teacher's scores as labels t it is the pointwise part of the distillation loss of arXiv 2411.04539. An empty
/// batch has loss 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointwiseMse {}

impl Definition for PointwiseMse {
    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let scale = 1.0 / batch.scores.len().max(1) as f64;
        let pairs = batch.scores.iter().zip(batch.labels);
        let gaps: Vec<f64> = pairs.map(|(&s, &t)| f64::from(t) - f64::from(s)).collect();
        let grad: Vec<f64> = gaps.iter().map(|gap| -2.0 * gap * scale).collect();
        let sum: f64 = gaps.iter().map(|gap| gap * gap).sum();
        LossValue::new(sum * scale, &grad).into()
    }
}
