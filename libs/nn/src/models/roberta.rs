//! RoBERTa (arXiv 1907.11692) and XLM-RoBERTa (arXiv 1911.02116): BERT with positions that start behind the padding token's,
//! and a head of its own.
//!
//! The weights have the names of Hugging Face `RobertaForSequenceClassification` with one label.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::backbone::{Backbone, Head};
use super::encoder::{BERT_LAYERS, Encoder, dense_head, dense_head_weights};
use super::fields::{
    above_zero, divides, invalid, layers, one_of, positive, read_fields, refuse_other, share, to_json,
};
use crate::Result;
use crate::text::{Kind, Packed};
use crate::weights::{Mode, ParamSpec, Params};

/// Models of the same computation, by their `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// RoBERTa.
    Roberta,
    /// XLM-RoBERTa.
    XlmRoberta,
}

/// RoBERTa with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Roberta {
    /// The family, which decides the names of the transformers classes alone.
    #[serde(rename = "model_type")]
    pub family: Family,
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Heads.
    pub num_attention_heads: usize,
    /// Rows of the position embedding; the first `pad_token_id` are never read.
    pub max_position_embeddings: usize,
    /// Token types (segments); with one, as all published models have, every token is of type 0.
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
    /// Id of the padding token. Positions count from the row after it.
    pub pad_token_id: u32,
    /// Id of the first token.
    pub bos_token_id: Option<u32>,
    /// Id of the last token.
    pub eos_token_id: Option<u32>,
}

impl Default for Roberta {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            family: Family::Roberta,
            vocab_size: 50_265,
            hidden_size: 768,
            intermediate_size: 3072,
            num_hidden_layers: 12,
            num_attention_heads: 12,
            max_position_embeddings: 512,
            type_vocab_size: 2,
            layer_norm_eps: 1e-12,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            classifier_dropout: None,
            initializer_range: 0.02,
            hidden_act: "gelu".into(),
            pad_token_id: 1,
            bos_token_id: Some(0),
            eos_token_id: Some(2),
        }
    }
}

impl Roberta {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "position_embedding_type", &Value::from("absolute"))?;
        refuse_other(config, "is_decoder", &Value::Bool(false))?;
        refuse_other(config, "quantization_config", &Value::Null)?;
        let parsed: Self = read_fields(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    fn first_position(&self) -> usize {
        self.pad_token_id as usize + 1
    }

    fn encoder(&self) -> Encoder {
        Encoder {
            root: "roberta",
            names: &BERT_LAYERS,
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            projection: None,
            inner: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            positions: self.max_position_embeddings,
            adds_positions: true,
            first_position: self.first_position(),
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

impl Backbone for Roberta {
    fn name(&self) -> &'static str {
        match self.family {
            Family::Roberta => "Roberta",
            Family::XlmRoberta => "XLMRoberta",
        }
    }

    fn kind(&self) -> Kind {
        Kind::Encoder
    }

    fn body(&self) -> Option<Encoder> {
        Some(self.encoder())
    }

    fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
        if self.max_position_embeddings <= self.first_position() {
            let expected = format!("more than pad_token_id + 1 = {}", self.first_position());
            return Err(invalid("max_position_embeddings", self.max_position_embeddings, expected));
        }
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
        self.encoder().max_tokens()
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        to_json(self, self.name(), head)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let mut weights = self.encoder().weights();
        weights.extend(dense_head_weights(head, self.hidden_size, self.initializer_range));
        weights
    }

    /// Files of a bare encoder leave out the `roberta.`; old ones hold a pooler that no head reads, and the numbers of the
    /// positions.
    fn weight_name(&self, stored: &str) -> Option<String> {
        let bare = ["embeddings.", "encoder.", "pooler."].iter().any(|part| stored.starts_with(part));
        let name = if bare { format!("roberta.{stored}") } else { stored.to_owned() };
        let is_weight = !name.starts_with("roberta.pooler.") && !name.ends_with("embeddings.position_ids");
        is_weight.then_some(name)
    }

    fn heads(&self) -> &'static [&'static str] {
        &["classifier", "lm_head"]
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        self.encoder().hidden(params, packed, rows, mode)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        dense_head(params, read, Tensor::tanh, self.head_dropout(), mode)
    }

    /// The word embedding, without the transformation that `lm_head` has before it.
    fn token_predictor(&self) -> String {
        self.encoder().words()
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
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        for (family, model_type, class) in
            [(Family::Roberta, "roberta", "Roberta"), (Family::XlmRoberta, "xlm-roberta", "XLMRoberta")]
        {
            let model = Roberta { family, pad_token_id: 3, ..Roberta::default() };
            let json = model.config_json(Head::Score).unwrap();
            assert_eq!(json["model_type"], model_type);
            assert_eq!(json["architectures"][0], format!("{class}ForSequenceClassification"));
            assert_eq!(Roberta::from_json(&json).unwrap(), model);
        }
    }

    #[test]
    fn positions_start_behind_the_padding_token() {
        let read = |config: Value| Roberta::from_json(&config);
        let published = read(json!({"max_position_embeddings": 514, "pad_token_id": 1})).unwrap();
        assert_eq!(published.max_tokens(), 512);
        let error = read(json!({"max_position_embeddings": 4, "pad_token_id": 3})).unwrap_err().to_string();
        assert_eq!(error, "max_position_embeddings = 4: expected more than pad_token_id + 1 = 4");
    }
}
