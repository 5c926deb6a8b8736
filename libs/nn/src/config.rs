//! Architectures as the config.json of a Hugging Face folder describes them.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, Result};

mod llama;

pub use llama::{Family, LayerType, LlamaConfig};

/// A family of models this crate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Decoder with rotary positions, RMS norm and SwiGLU: Llama, Mistral, Qwen2 and Qwen3.
    #[serde(alias = "mistral", alias = "qwen2", alias = "qwen3")]
    Llama,
    /// Encoder with learnt positions, layer norm and GELU.
    Bert,
}

impl Architecture {
    /// The architecture a config.json names as its `model_type`.
    pub fn of(config: &Value) -> Result<Self> {
        let model_type = config.get("model_type").unwrap_or(&Value::Null);
        let known = "\"llama\", \"mistral\", \"qwen2\", \"qwen3\" or \"bert\"";
        Self::deserialize(model_type).map_err(|_| invalid("model_type", model_type, known))
    }
}

/// Refuses a config.json of a model that this crate does not compute.
pub(crate) fn check(config: &Value) -> Result<()> {
    match Architecture::of(config)? {
        Architecture::Llama => LlamaConfig::from_json(config).map(drop),
        Architecture::Bert => BertConfig::from_json(config).map(drop),
    }
}

/// What a decoder ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Logits over the vocabulary: `LlamaForCausalLM` and its siblings.
    LanguageModel,
    /// One raw logit per sequence: `LlamaForSequenceClassification` and its siblings.
    Score,
}

/// The fields of a BERT config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BertConfig {
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
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Token types (segments).
    pub type_vocab_size: usize,
    /// Added to the variance inside the norms.
    pub layer_norm_eps: f64,
    /// Share of the values dropped after embeddings, attention, feed-forward and, unless `classifier_dropout` says
    /// otherwise, pooling.
    pub hidden_dropout_prob: f64,
    /// Share of the attention weights dropped.
    pub attention_probs_dropout_prob: f64,
    /// Share of the pooled values dropped.
    pub classifier_dropout: Option<f64>,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Activation of the feed-forward block; only `gelu` (the exact one).
    pub hidden_act: String,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
}

impl Default for BertConfig {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 30_522,
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
            pad_token_id: Some(0),
        }
    }
}

impl BertConfig {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "position_embedding_type", &Value::from("absolute"))?;
        refuse_other(config, "is_decoder", &Value::Bool(false))?;
        refuse_other(config, "pruned_heads", &json!({}))?;
        refuse_other(config, "quantization_config", &Value::Null)?;
        let parsed: Self = read_fields(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    /// config.json as transformers reads it.
    pub fn to_json(&self) -> Result<Value> {
        let mut config = to_json(self, "BertForSequenceClassification", true)?;
        config["model_type"] = json!("bert");
        Ok(config)
    }

    /// Share of the pooled values dropped.
    pub fn pooled_dropout(&self) -> f64 {
        self.classifier_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// Refuses sizes that do not fit together.
    pub fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers(self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        positive("type_vocab_size", self.type_vocab_size)?;
        divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        above_zero("layer_norm_eps", self.layer_norm_eps)?;
        above_zero("initializer_range", self.initializer_range)?;
        share("hidden_dropout_prob", self.hidden_dropout_prob)?;
        share("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?;
        share("classifier_dropout", self.pooled_dropout())?;
        one_of("hidden_act", &self.hidden_act, "gelu")
    }
}

/// The fields of `config` that are set, with those every reader of a Hugging Face folder asks for.
fn to_json(config: &impl Serialize, class: &str, one_label: bool) -> Result<Value> {
    let mut fields = Map::new();
    fields.insert("architectures".into(), json!([class]));
    // The name transformers 4 and 5 both read.
    fields.insert("torch_dtype".into(), json!("float32"));
    if one_label {
        fields.insert("id2label".into(), json!({"0": "LABEL_0"}));
        fields.insert("label2id".into(), json!({"LABEL_0": 0}));
        // Else sentence-transformers would squash a single logit by a sigmoid.
        fields.insert("sentence_transformers".into(), json!({"activation_fn": "torch.nn.modules.linear.Identity"}));
    }
    if let Value::Object(own) = serde_json::to_value(config)? {
        fields.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Ok(Value::Object(fields))
}

/// The fields of a config.json; the one that cannot be read is named.
fn read_fields<T: DeserializeOwned>(config: &Value) -> Result<T> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let field = error.path().to_string();
        Error::ConfigField { field, source: error.into_inner() }
    })
}

fn invalid(field: &'static str, found: impl std::fmt::Display, expected: impl Into<String>) -> Error {
    Error::Config { field, found: found.to_string(), expected: expected.into() }
}

/// Refuses a field that is present with another value than the one supported.
fn refuse_other(config: &Value, field: &'static str, supported: &Value) -> Result<()> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value == supported => Ok(()),
        Some(value) => Err(invalid(field, value, format!("{supported}, the only value supported"))),
    }
}

fn positive(field: &'static str, value: usize) -> Result<()> {
    if value == 0 { Err(invalid(field, value, "at least 1")) } else { Ok(()) }
}

/// More layers than any model has would only fill the memory with their names.
fn layers(value: usize) -> Result<()> {
    const MOST: usize = 4096;
    let field = "num_hidden_layers";
    if (1..=MOST).contains(&value) { Ok(()) } else { Err(invalid(field, value, format!("1 to {MOST}"))) }
}

fn above_zero(field: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(invalid(field, value, "a number above 0")) }
}

fn share(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(invalid(field, value, "a share of at least 0 and below 1")) }
}

fn divides(field: &'static str, part: usize, of: &str, whole: usize) -> Result<()> {
    if part > 0 && whole.is_multiple_of(part) {
        Ok(())
    } else {
        Err(invalid(field, part, format!("a divisor of {of} = {whole}")))
    }
}

fn one_of(field: &'static str, found: &str, supported: &str) -> Result<()> {
    if found == supported { Ok(()) } else { Err(invalid(field, found, format!("{supported}, the only one supported"))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let bert = BertConfig::default();
        let json = bert.to_json().unwrap();
        assert_eq!(json["id2label"]["0"], "LABEL_0");
        assert_eq!(Architecture::of(&json).unwrap(), Architecture::Bert);
        assert_eq!(BertConfig::from_json(&json).unwrap(), bert);
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        let message = |config: Value| BertConfig::from_json(&config).unwrap_err().to_string();
        assert_eq!(message(json!({"hidden_act": "relu"})), "hidden_act = relu: expected gelu, the only one supported");
        assert_eq!(
            message(json!({"hidden_dropout_prob": 1.0})),
            "hidden_dropout_prob = 1: expected a share of at least 0 and below 1"
        );
        assert_eq!(
            message(json!({"vocab_size": "large"})),
            "vocab_size: invalid type: string \"large\", expected usize"
        );
        for (field, other) in [
            ("position_embedding_type", json!("relative_key")),
            ("is_decoder", json!(true)),
            ("pruned_heads", json!({"0": [1]})),
            ("quantization_config", json!({"bits": 4})),
        ] {
            let mut config = json!({"model_type": "bert"});
            config[field] = other;
            assert!(message(config).starts_with(&format!("{field} = ")));
        }
    }

    #[test]
    fn other_architectures_are_refused_by_name() {
        for model_type in ["llama", "mistral", "qwen2", "qwen3"] {
            assert_eq!(Architecture::of(&json!({"model_type": model_type})).unwrap(), Architecture::Llama);
        }
        let known = "\"llama\", \"mistral\", \"qwen2\", \"qwen3\" or \"bert\"";
        let message = |config: Value| Architecture::of(&config).unwrap_err().to_string();
        assert_eq!(message(json!({"model_type": "gpt2"})), format!("model_type = \"gpt2\": expected {known}"));
        assert_eq!(message(json!({})), format!("model_type = null: expected {known}"));
    }
}
