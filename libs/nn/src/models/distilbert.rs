//! DistilBERT (arXiv 1910.01108): BERT without token types and without a pooler.
//!
//! The weights have the names of Hugging Face `DistilBertForSequenceClassification` with one label.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backbone::{Backbone, Head};
use super::encoder::{Encoder, LayerNames, affine, head_drops};
use super::fields::{above_zero, divides, layers, one_of, positive, read_fields, refuse_other, share, to_json};
use crate::Result;
use crate::text::{Kind, Packed};
use crate::weights::{Mode, ParamSpec, Params};

const LAYERS: LayerNames = LayerNames {
    layers: "transformer.layer",
    attention: ["attention.q_lin", "attention.k_lin", "attention.v_lin", "attention.out_lin"],
    attention_norm: "sa_layer_norm",
    feed_forward: ["ffn.lin1", "ffn.lin2"],
    norm: "output_layer_norm",
};

/// DistilBERT with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DistilBert {
    /// Token ids.
    pub vocab_size: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Blocks.
    pub n_layers: usize,
    /// Heads.
    pub n_heads: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Width inside the feed-forward block.
    pub hidden_dim: usize,
    /// Share of the values dropped after embeddings and feed-forward.
    pub dropout: f64,
    /// Share of the attention weights dropped.
    pub attention_dropout: f64,
    /// Share of the values dropped in the head.
    pub seq_classif_dropout: f64,
    /// Activation of the feed-forward block; only `gelu` (the exact one).
    pub activation: String,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
}

impl Default for DistilBert {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            max_position_embeddings: 512,
            n_layers: 6,
            n_heads: 12,
            dim: 768,
            hidden_dim: 3072,
            dropout: 0.1,
            attention_dropout: 0.1,
            seq_classif_dropout: 0.2,
            activation: "gelu".into(),
            initializer_range: 0.02,
            pad_token_id: Some(0),
        }
    }
}

impl DistilBert {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "pruned_heads", &json!({}))?;
        refuse_other(config, "quantization_config", &Value::Null)?;
        let parsed: Self = read_fields(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            root: "distilbert",
            names: &LAYERS,
            vocab_size: self.vocab_size,
            width: self.dim,
            projection: None,
            inner: self.hidden_dim,
            layers: self.n_layers,
            heads: self.n_heads,
            positions: self.max_position_embeddings,
            adds_positions: true,
            first_position: 0,
            types: None,
            relative: None,
            scale: None,
            norm_eps: 1e-12,
            dropout: self.dropout,
            mixture_dropout: 0.0,
            attention_dropout: self.attention_dropout,
            initializer_range: self.initializer_range,
        }
    }
}

impl Backbone for DistilBert {
    fn name(&self) -> &'static str {
        "DistilBert"
    }

    fn kind(&self) -> Kind {
        Kind::Encoder
    }

    fn body(&self) -> Option<Encoder> {
        Some(self.encoder())
    }

    fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        layers("n_layers", self.n_layers)?;
        positive("dim", self.dim)?;
        divides("n_heads", self.n_heads, "dim", self.dim)?;
        positive("hidden_dim", self.hidden_dim)?;
        share("dropout", self.dropout)?;
        share("attention_dropout", self.attention_dropout)?;
        share("seq_classif_dropout", self.seq_classif_dropout)?;
        above_zero("initializer_range", self.initializer_range)?;
        one_of("activation", &self.activation, "gelu")
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, self.name(), head)?;
        config["model_type"] = json!("distilbert");
        Ok(config)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["dropout", "attention_dropout", "seq_classif_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let (d, std) = (self.dim, self.initializer_range);
        let mut weights = self.encoder().weights();
        weights.extend(affine("pre_classifier", [d, d], std));
        weights.extend(affine("classifier", [head.outputs(), d], std));
        weights
    }

    /// Files of a bare encoder leave out the `distilbert.`.
    fn weight_name(&self, stored: &str) -> Option<String> {
        let bare = ["embeddings.", "transformer."].iter().any(|part| stored.starts_with(part));
        let name = if bare { format!("distilbert.{stored}") } else { stored.to_owned() };
        (!name.ends_with("embeddings.position_ids")).then_some(name)
    }

    fn heads(&self) -> &'static [&'static str] {
        &["classifier", "pre_classifier", "vocab_transform", "vocab_layer_norm", "vocab_projector", "qa_outputs"]
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        self.encoder().hidden(params, packed, rows, mode)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let weights = params.view(mode.exact());
        let x = weights.linear("pre_classifier", read)?.relu()?;
        let x = head_drops(mode).drop(&x, self.seq_classif_dropout)?;
        Ok(weights.linear("classifier", &x)?.flatten_all()?)
    }

    /// The word embedding, without the transformation that masked language models have before it.
    fn token_predictor(&self) -> String {
        self.encoder().words()
    }

    fn layers(&self) -> (String, usize) {
        self.encoder().layers()
    }

    fn with_layers(&self, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
        Ok(Some(Arc::new(Self { n_layers: keep.len(), ..self.clone() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let model = DistilBert { n_layers: 3, dropout: 0.25, ..DistilBert::default() };
        let json = model.config_json(Head::Score).unwrap();
        assert_eq!(json["model_type"], "distilbert");
        assert_eq!(json["architectures"][0], "DistilBertForSequenceClassification");
        assert_eq!(DistilBert::from_json(&json).unwrap(), model);
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        let message = |config: Value| DistilBert::from_json(&config).unwrap_err().to_string();
        assert_eq!(message(json!({"activation": "relu"})), "activation = relu: expected gelu, the only one supported");
        assert_eq!(message(json!({"n_heads": 5})), "n_heads = 5: expected a divisor of dim = 768");
    }
}
