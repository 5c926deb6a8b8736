use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::batch::{Batch, GRADES, Labels, LossOutput, LossValue};
use super::definition::Definition;

/// Cross-entropy of the grades as classes: label supervision of a language model's last token (LS-LLaMA, arXiv 2310.01208,
/// section 3).
///
/// A document has one logit for each grade from 0 to 4, `z_i0 ... z_i4`, in place of a score; `t_i` is its grade.
///
/// ```text
/// L = 1/n sum_i (ln sum_g exp(z_ig) - z_i,t_i)
/// dL/dz_ig = (exp(z_ig) / sum_h exp(z_ih) - [g = t_i]) / n
/// ```
///
/// An empty batch has loss 0.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradeCrossEntropy {}

impl Definition for GradeCrossEntropy {
    const LABELS: Labels = Labels::Classes;
    const OUTPUTS: usize = GRADES;

    fn compute(&self, batch: &Batch<'_>) -> LossOutput {
        let scale = 1.0 / batch.labels.len().max(1) as f64;
        let (mut sum, mut grad) = (0.0, Vec::with_capacity(batch.scores.len()));
        for (logits, &label) in batch.scores.chunks_exact(GRADES).zip(batch.labels) {
            let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let above = |logit: f32| f64::from(logit) - f64::from(most);
            let total: f64 = logits.iter().map(|&logit| above(logit).exp()).sum();
            let own = label as usize;
            sum += total.ln() - above(logits[own]);
            for (grade, &logit) in logits.iter().enumerate() {
                let share = above(logit).exp() / total;
                grad.push((share - f64::from(u8::from(grade == own))) * scale);
            }
        }
        LossValue::new(sum * scale, &grad).into()
    }
}
