//! Architectures as the config.json of a Hugging Face folder describes them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::{Error, Result};

/// A family of models this crate computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Decoder with rotary positions, RMS norm and SwiGLU.
    Llama,
    /// Encoder with learnt positions, layer norm and GELU.
    Bert,
}

impl Architecture {
    /// The architecture a config.json names as its `model_type`.
    pub fn of(config: &Value) -> Result<Self> {
        let model_type = config.get("model_type").unwrap_or(&Value::Null);
        Self::deserialize(model_type).map_err(|_| invalid("model_type", model_type, "\"llama\" or \"bert\""))
    }
}

/// What a decoder ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Head {
    /// Logits over the vocabulary: `LlamaForCausalLM`.
    LanguageModel,
    /// One raw logit per sequence: `LlamaForSequenceClassification`.
    Score,
}

/// The fields of a Llama config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LlamaConfig {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Blocks.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, each shared by a group of query heads; as many as query heads where absent.
    pub num_key_value_heads: Option<usize>,
    /// Width of a head; `hidden_size / num_attention_heads` where absent.
    pub head_dim: Option<usize>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the mean square inside the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary wavelengths.
    pub rope_theta: f64,
    /// Whether the language model head is the embedding.
    pub tie_word_embeddings: bool,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Activation of the feed-forward gate; only `silu`.
    pub hidden_act: String,
    /// Id of the padding token, which tells transformers where a padded sequence ends.
    pub pad_token_id: Option<u32>,
    /// Id of the first token.
    pub bos_token_id: Option<u32>,
    /// Id of the last token: one, or for some models several.
    pub eos_token_id: Option<Value>,
}

impl Default for LlamaConfig {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 32_000,
            hidden_size: 4096,
            intermediate_size: 11_008,
            num_hidden_layers: 32,
            num_attention_heads: 32,
            num_key_value_heads: None,
            head_dim: None,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            tie_word_embeddings: false,
            initializer_range: 0.02,
            hidden_act: "silu".into(),
            pad_token_id: None,
            bos_token_id: None,
            eos_token_id: None,
        }
    }
}

impl LlamaConfig {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    pub fn from_json(config: &Value) -> Result<Self> {
        for (field, supported) in [("attention_bias", false), ("mlp_bias", false)] {
            refuse_other(config, field, &Value::Bool(supported))?;
        }
        refuse_other(config, "rope_scaling", &Value::Null)?;
        let mut config = config.clone();
        // transformers 5 moved the rotary base into a table of its own.
        if let Some(rope) = config.get("rope_parameters").cloned() {
            refuse_other(&rope, "rope_type", &Value::from("default"))?;
            if let (Some(theta), Some(fields)) = (rope.get("rope_theta"), config.as_object_mut()) {
                fields.insert("rope_theta".into(), theta.clone());
            }
        }
        let parsed = Self::deserialize(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    /// config.json as transformers reads it.
    pub fn to_json(&self, head: Head) -> Result<Value> {
        let class = match head {
            Head::LanguageModel => "LlamaForCausalLM",
            Head::Score => "LlamaForSequenceClassification",
        };
        to_json(self, "llama", class, head == Head::Score)
    }

    /// Key and value heads.
    pub fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// Refuses sizes that do not fit together.
    pub fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        positive("num_hidden_layers", self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        positive("num_key_value_heads", self.kv_heads())?;
        if self.head_dim.is_none() {
            divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        }
        divides("num_key_value_heads", self.kv_heads(), "num_attention_heads", self.num_attention_heads)?;
        if self.head_width() == 0 || !self.head_width().is_multiple_of(2) {
            return Err(invalid("head_dim", self.head_width(), "an even width, as rotary positions turn pairs"));
        }
        above_zero("rms_norm_eps", self.rms_norm_eps)?;
        above_zero("rope_theta", self.rope_theta)?;
        above_zero("initializer_range", self.initializer_range)?;
        one_of("hidden_act", &self.hidden_act, "silu")
    }
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
        let parsed = Self::deserialize(config)?;
        parsed.check()?;
        Ok(parsed)
    }

    /// config.json as transformers reads it.
    pub fn to_json(&self) -> Result<Value> {
        to_json(self, "bert", "BertForSequenceClassification", true)
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
        positive("num_hidden_layers", self.num_hidden_layers)?;
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
fn to_json(config: &impl Serialize, model_type: &str, class: &str, one_label: bool) -> Result<Value> {
    let mut fields = Map::new();
    fields.insert("architectures".into(), json!([class]));
    fields.insert("model_type".into(), json!(model_type));
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
    fn both_rotary_spellings_are_read() {
        let old = json!({"model_type": "llama", "rope_theta": 5e5});
        let new = json!({"model_type": "llama", "rope_parameters": {"rope_theta": 5e5, "rope_type": "default"}});
        assert_eq!(LlamaConfig::from_json(&old).unwrap(), LlamaConfig::from_json(&new).unwrap());
        assert_eq!(LlamaConfig::from_json(&old).unwrap().rope_theta, 5e5);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let llama = LlamaConfig { num_key_value_heads: Some(8), pad_token_id: Some(3), ..LlamaConfig::default() };
        let json = llama.to_json(Head::Score).unwrap();
        assert_eq!(Architecture::of(&json).unwrap(), Architecture::Llama);
        assert_eq!(json["architectures"][0], "LlamaForSequenceClassification");
        assert_eq!(LlamaConfig::from_json(&json).unwrap(), llama);
        assert!(llama.to_json(Head::LanguageModel).unwrap().get("id2label").is_none());

        let bert = BertConfig::default();
        let json = bert.to_json().unwrap();
        assert_eq!(json["id2label"]["0"], "LABEL_0");
        assert_eq!(BertConfig::from_json(&json).unwrap(), bert);
    }

    #[test]
    fn impossible_configurations_are_refused_by_name() {
        let message = |config: Value| LlamaConfig::from_json(&config).unwrap_err().to_string();
        assert_eq!(
            message(json!({"num_attention_heads": 5})),
            "num_attention_heads = 5: expected a divisor of hidden_size = 4096"
        );
        assert_eq!(
            message(json!({"num_key_value_heads": 3})),
            "num_key_value_heads = 3: expected a divisor of num_attention_heads = 32"
        );
        assert_eq!(
            message(json!({"attention_bias": true})),
            "attention_bias = true: expected false, the only value supported"
        );
        assert_eq!(
            message(json!({"rope_parameters": {"rope_type": "llama3"}})),
            "rope_type = \"llama3\": expected \"default\", the only value supported"
        );
        let message = |config: Value| BertConfig::from_json(&config).unwrap_err().to_string();
        assert_eq!(message(json!({"hidden_act": "relu"})), "hidden_act = relu: expected gelu, the only one supported");
        assert_eq!(
            message(json!({"hidden_dropout_prob": 1.0})),
            "hidden_dropout_prob = 1: expected a share of at least 0 and below 1"
        );
        assert_eq!(
            Architecture::of(&json!({"model_type": "gpt2"})).unwrap_err().to_string(),
            "model_type = \"gpt2\": expected \"llama\" or \"bert\""
        );
    }
}
