//! ELECTRA (arXiv 2003.10555): BERT with embeddings that may be narrower than its layers, and a head of its own.
//!
//! The weights have the names of Hugging Face `ElectraForSequenceClassification` with one label.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::backbone::{Backbone, Head};
use super::encoder::{BERT_LAYERS, Encoder, Projection, dense_head, dense_head_weights};
use super::fields::{above_zero, divides, layers, one_of, positive, read_fields, refuse_other, share, to_json};
use crate::Result;
use crate::ops::gelu;
use crate::text::{Kind, Packed};
use crate::weights::{Mode, ParamSpec, Params};

/// ELECTRA with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Electra {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the embeddings.
    pub embedding_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Token types (segments).
    pub type_vocab_size: usize,
    /// Added to the variance inside the norms.
    pub layer_norm_eps: f64,
    /// Share of the values dropped after embeddings, attention, feed-forward and, unless `classifier_dropout` says
    /// otherwise, in the head.
    pub hidden_dropout_prob: f64,
    /// Share of the attention weights dropped.
    pub attention_probs_dropout_prob: f64,
    /// Share of the values dropped before each layer of the head.
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Activation of the feed-forward block; only `gelu` (the exact one).
    pub hidden_act: String,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
}

impl Default for Electra {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
            embedding_size: 128,
            hidden_size: 256,
            intermediate_size: 1024,
            num_hidden_layers: 12,
            num_attention_heads: 4,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            hidden_act: "gelu".into(),
            pad_token_id: Some(0),
        }
    }
}

impl Electra {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "position_embedding_type", &Value::from("absolute"))?;
        refuse_other(config, "is_decoder", &Value::Bool(false))?;
        refuse_other(config, "pruned_heads", &json!({}))?;
        refuse_other(config, "quantization_config", &Value::Null)?;
        let parsed: Self = read_fields(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            root: "electra",
            names: &BERT_LAYERS,
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            projection: (self.embedding_size != self.hidden_size).then_some(Projection::AfterNorm(self.embedding_size)),
            inner: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            positions: self.max_position_embeddings,
            adds_positions: true,
            first_position: 0,
            types: Some(self.type_vocab_size),
            relative: None,
            scale: None,
            norm_eps: self.layer_norm_eps,
            dropout: self.hidden_dropout_prob,
            mixture_dropout: self.hidden_dropout_prob,
            attention_dropout: self.attention_probs_dropout_prob,
            initializer_range: self.initializer_range,
        }
    }

    /// Share of the values dropped in the head.
    fn head_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }
}

impl Backbone for Electra {
    fn name(&self) -> &'static str {
        "Electra"
    }

    fn kind(&self) -> Kind {
        Kind::Encoder
    }

    fn body(&self) -> Option<Encoder> {
        Some(self.encoder())
    }

    fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("embedding_size", self.embedding_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        positive("type_vocab_size", self.type_vocab_size)?;
        divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        above_zero("layer_norm_eps", self.layer_norm_eps)?;
        above_zero("initializer_range", self.initializer_range)?;
        share("hidden_dropout_prob", self.hidden_dropout_prob)?;
        share("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?;
        share("classifier_dropout", self.head_dropout())?;
        one_of("hidden_act", &self.hidden_act, "gelu")
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, self.name(), head)?;
        config["model_type"] = json!("electra");
        Ok(config)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let mut weights = self.encoder().weights();
        weights.extend(dense_head_weights(head, self.hidden_size, self.initializer_range));
        weights
    }

    /// Files of a bare encoder leave out the `electra.`, and some hold the numbers of the positions as well.
    fn weight_name(&self, stored: &str) -> Option<String> {
        if stored.ends_with("embeddings.position_ids") {
            return None;
        }
        let bare = ["embeddings.", "embeddings_project.", "encoder."].iter().any(|part| stored.starts_with(part));
        Some(if bare { format!("electra.{stored}") } else { stored.to_owned() })
    }

    /// Discriminator and generator have heads of their own.
    fn heads(&self) -> &'static [&'static str] {
        &["classifier", "discriminator_predictions", "generator_lm_head", "generator_predictions"]
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        self.encoder().hidden(params, packed, rows, mode)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        dense_head(params, read, gelu, self.head_dropout(), mode)
    }

    /// The word embedding, without the transformation that the generator has before it.
    fn token_predictor(&self) -> String {
        self.encoder().words()
    }

    fn embedding_projection(&self) -> Option<String> {
        self.encoder().embedding_projection()
    }

    fn layers(&self) -> (String, usize) {
        self.encoder().layers()
    }

    fn with_layers(&self, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
        Ok(Some(Arc::new(Self { num_hidden_layers: keep.len(), ..self.clone() })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let model = Electra { embedding_size: 64, num_hidden_layers: 3, ..Electra::default() };
        let json = model.config_json(Head::Score).unwrap();
        assert_eq!(json["model_type"], "electra");
        assert_eq!(json["architectures"][0], "ElectraForSequenceClassification");
        assert_eq!(Electra::from_json(&json).unwrap(), model);
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        for (field, other) in [
            ("hidden_act", json!("relu")),
            ("embedding_size", json!(0)),
            ("position_embedding_type", json!("relative_key")),
            ("is_decoder", json!(true)),
            ("quantization_config", json!({"bits": 4})),
        ] {
            let mut config = json!({"model_type": "electra"});
            config[field] = other;
            let error = Electra::from_json(&config).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{field} = ")), "{error}");
        }
    }
}
