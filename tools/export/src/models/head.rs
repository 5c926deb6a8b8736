//! The scoring heads: a layer with an activation, and one that gives the logits. They are small and decide every score, so that they
//! are computed in single precision.

use nn::models::{Model, ModernBert};

use crate::graph::{Activation, Graph, Value};

/// The head of an architecture.
pub(super) struct Head {
    dense: &'static str,
    activation: Activation,
    /// A norm after the activation, and what is added to the variance in it.
    norm: Option<(&'static str, f64)>,
    out: &'static str,
}

impl Head {
    /// The head of a ranker; `None` for one that is not known.
    pub(super) fn of(ranker: &Model) -> nn::Result<Option<Self>> {
        let head = |dense, activation, out| Self { dense, activation, norm: None, out };
        Ok(Some(match ranker.backbone().name() {
            "Bert" => head("bert.pooler.dense", Activation::Tanh, "classifier"),
            "Roberta" | "XLMRoberta" => head("classifier.dense", Activation::Tanh, "classifier.out_proj"),
            "DistilBert" => head("pre_classifier", Activation::Relu, "classifier"),
            "Electra" => head("classifier.dense", Activation::Gelu, "classifier.out_proj"),
            "DebertaV2" => head("pooler.dense", Activation::Gelu, "classifier"),
            "ModernBert" => {
                let epsilon = ModernBert::from_json(&ranker.config_json()?)?.norm_eps;
                Self { norm: Some(("head.norm", epsilon)), ..head("head.dense", Activation::Gelu, "classifier") }
            }
            _ => return Ok(None),
        }))
    }

    /// # Shapes
    /// `read` `[b, d]` -> `[b, labels]`.
    pub(super) fn logits(&self, graph: &mut Graph<'_>, read: &str) -> nn::Result<Value> {
        let x = graph.exact_linear(self.dense, read)?;
        let mut x = graph.activation(self.dense, self.activation, &x);
        if let Some((norm, epsilon)) = self.norm {
            x = graph.layer_norm(norm, &x, epsilon)?;
        }
        graph.exact_linear(self.out, &x)
    }
}
