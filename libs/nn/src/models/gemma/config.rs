//! The config.json of Gemma, Gemma 2 and Gemma 3.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::rotary::{self, LinearScaling};
use crate::Result;
use crate::models::LayerType;
use crate::models::backbone::Head;
use crate::models::fields::{
    above_zero, divides, invalid, layers, one_of, positive, read_fields, refuse_other, share, to_json,
};

/// How many layers of Gemma 2 make a period of its layer types, of which the last sees everything.
const GEMMA2_PATTERN: usize = 2;
/// The same of Gemma 3 where its config.json does not say it.
const GEMMA3_PATTERN: usize = 6;
/// The only activation of the feed-forward gate.
const ACTIVATION: &str = "gelu_pytorch_tanh";

/// A generation of Gemma, by its `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Gemma (arXiv 2403.08295).
    Gemma,
    /// Gemma 2: norms after each part of a block too, bounded logits, every second layer within a sliding window (arXiv
    /// 2408.00118).
    Gemma2,
    /// The text model of Gemma 3: norms of queries and keys in place of the bounds, five layers of six within a window (arXiv
    /// 2503.19786).
    #[serde(rename = "gemma3_text")]
    Gemma3,
}

impl Family {
    /// How the names of its transformers classes start. Those of Gemma 3 tell the text model from the one that reads images,
    /// which has no language model class of this form.
    pub(super) fn class(self, head: Head) -> &'static str {
        match (self, head) {
            (Self::Gemma, _) => "Gemma",
            (Self::Gemma2, _) => "Gemma2",
            (Self::Gemma3, Head::LanguageModel) => "Gemma3",
            (Self::Gemma3, Head::Score | Head::Grades(_)) => "Gemma3Text",
        }
    }

    /// The fields of config.json that transformers assumes other values of than for Gemma 2 where they are absent.
    fn defaults(self) -> Map<String, Value> {
        let fields = match self {
            Self::Gemma => json!({
                "hidden_size": 3072, "intermediate_size": 24_576, "num_hidden_layers": 28, "num_attention_heads": 16,
                "num_key_value_heads": 16, "query_pre_attn_scalar": null, "sliding_window": null,
                "final_logit_softcapping": null, "attn_logit_softcapping": null,
            }),
            Self::Gemma2 => json!({}),
            Self::Gemma3 => json!({
                "vocab_size": 262_208, "max_position_embeddings": 131_072, "final_logit_softcapping": null,
                "attn_logit_softcapping": null,
            }),
        };
        fields.as_object().cloned().unwrap_or_default()
    }
}

/// A decoder of the family with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gemma {
    /// The generation, which decides where norms are, and which of the fields below there are.
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
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads, each shared by a group of query heads.
    pub num_key_value_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// The products of queries and keys are divided by its square root; by that of `head_dim` in Gemma, which lacks it.
    pub query_pre_attn_scalar: Option<usize>,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Added to the mean square inside the norms.
    pub rms_norm_eps: f64,
    /// Base of the rotary wavelengths; in Gemma 3 that of the layers that see everything.
    #[serde(skip_deserializing)]
    pub rope_theta: f64,
    /// Base of the rotary wavelengths in Gemma 3's layers with a sliding window.
    #[serde(skip_deserializing)]
    pub rope_local_base_freq: Option<f64>,
    /// How the rotary wavelengths of base `rope_theta` are stretched, if they are.
    #[serde(skip_deserializing)]
    pub rope_scaling: Option<LinearScaling>,
    /// How many tokens a token sees, itself included, in the layers with a sliding window.
    pub sliding_window: Option<usize>,
    /// What the tokens of each layer see; of Gemma, everything.
    pub layer_types: Option<Vec<LayerType>>,
    /// The bound of the attention's scores in Gemma 2.
    pub attn_logit_softcapping: Option<f64>,
    /// The bound of the logits over the vocabulary in Gemma 2 and 3.
    pub final_logit_softcapping: Option<f64>,
    /// True if the projections of the attention have biases.
    pub attention_bias: bool,
    /// Share of the attention weights dropped.
    pub attention_dropout: f64,
    /// True if the language model head is the token embedding.
    pub tie_word_embeddings: bool,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Activation of the feed-forward gate; only `gelu_pytorch_tanh`.
    pub hidden_activation: String,
    /// Id of the padding token, which tells transformers where a padded sequence ends.
    pub pad_token_id: Option<u32>,
    /// Id of the first token.
    pub bos_token_id: Option<u32>,
    /// Id of the last token: one, or for some models several.
    pub eos_token_id: Option<Value>,
}

impl Default for Gemma {
    /// What transformers assumes of Gemma 2 where a field is absent.
    fn default() -> Self {
        Self {
            family: Family::Gemma2,
            vocab_size: 256_000,
            hidden_size: 2304,
            intermediate_size: 9216,
            num_hidden_layers: 26,
            num_attention_heads: 8,
            num_key_value_heads: 4,
            head_dim: 256,
            query_pre_attn_scalar: Some(256),
            max_position_embeddings: 8192,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_local_base_freq: None,
            rope_scaling: None,
            sliding_window: Some(4096),
            layer_types: None,
            attn_logit_softcapping: Some(50.0),
            final_logit_softcapping: Some(30.0),
            attention_bias: false,
            attention_dropout: 0.0,
            tie_word_embeddings: true,
            initializer_range: 0.02,
            hidden_activation: ACTIVATION.into(),
            pad_token_id: Some(0),
            bos_token_id: Some(2),
            eos_token_id: Some(1.into()),
        }
    }
}

impl Gemma {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "quantization_config", &Value::Null)?;
        refuse_other(config, "use_bidirectional_attention", &json!(false))?;
        let family = config.get("model_type").map_or(Ok(Family::Gemma2), Family::deserialize)?;
        let mut fields = family.defaults();
        fields.extend(config.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        match family {
            Family::Gemma => {
                // Released under the name of the exact GELU, but trained with the other, which transformers computes.
                fields.insert("hidden_activation".into(), ACTIVATION.into());
                let act = config.get("hidden_act").and_then(Value::as_str).unwrap_or(ACTIVATION);
                one_of("hidden_act", if act == "gelu" { ACTIVATION } else { act }, ACTIVATION)?;
            }
            Family::Gemma2 => {}
            // transformers ignores it.
            Family::Gemma3 => refuse_other(config, "attn_logit_softcapping", &Value::Null)?,
        }
        let fields = Value::Object(fields);
        let rotary = rotary::read(family, &fields)?;
        let mut parsed = Self {
            rope_theta: rotary.theta,
            rope_local_base_freq: rotary.local_theta,
            rope_scaling: rotary.scaling,
            ..read_fields(&fields)?
        };
        parsed.set_layer_types(&fields["sliding_window_pattern"])?;
        parsed.check_sizes()?;
        Ok(parsed)
    }

    /// Fills in the layers' types where config.json does not list them.
    fn set_layer_types(&mut self, pattern: &Value) -> Result<()> {
        let period = match self.family {
            Family::Gemma => {
                (self.layer_types, self.sliding_window) = (None, None);
                return Ok(());
            }
            Family::Gemma2 => GEMMA2_PATTERN,
            Family::Gemma3 => match pattern {
                Value::Null => GEMMA3_PATTERN,
                pattern => pattern
                    .as_u64()
                    .and_then(|period| usize::try_from(period).ok())
                    .filter(|&period| period > 0)
                    .ok_or_else(|| invalid("sliding_window_pattern", pattern, "a number of layers from 1"))?,
            },
        };
        layers("num_hidden_layers", self.num_hidden_layers)?;
        self.layer_types.get_or_insert_with(|| layer_types(period, self.num_hidden_layers));
        Ok(())
    }

    /// config.json as transformers reads it: version 5, which lists the layers' types, and older ones, which know the period
    /// of Gemma 3's types alone.
    pub(super) fn to_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, self.family.class(head), head)?;
        // Absent is not none.
        let mut set = |name: &str, value: Value| config[name] = value;
        set("pad_token_id", json!(self.pad_token_id));
        set("bos_token_id", json!(self.bos_token_id));
        set("eos_token_id", json!(self.eos_token_id));
        set("hidden_act", json!(self.hidden_activation));
        if self.family != Family::Gemma {
            set("sliding_window", json!(self.sliding_window));
            set("attn_logit_softcapping", json!(self.attn_logit_softcapping));
            set("final_logit_softcapping", json!(self.final_logit_softcapping));
        }
        if let (Family::Gemma3, Some(types)) = (self.family, &self.layer_types) {
            let first = types.iter().position(|&layer| layer == LayerType::Full).unwrap_or(types.len());
            if *types == layer_types(first + 1, types.len()) {
                set("sliding_window_pattern", json!(first + 1));
            }
        }
        Ok(config)
    }

    /// What the products of queries and keys are multiplied by.
    pub(super) fn attention_scale(&self) -> f32 {
        let scalar = self.query_pre_attn_scalar.unwrap_or(self.head_dim);
        1.0 / (scalar as f32).sqrt()
    }

    /// If each part of a block is normed after it as well.
    pub(super) fn norms_after(&self) -> bool {
        self.family != Family::Gemma
    }

    /// If each query and key is normed.
    pub(super) fn norms_heads(&self) -> bool {
        self.family == Family::Gemma3
    }

    /// If the tokens of a layer see no further than the sliding window.
    pub(super) fn slides(&self, layer: usize) -> bool {
        self.layer_types.as_ref().is_some_and(|types| types.get(layer) == Some(&LayerType::Sliding))
    }

    /// Refuses sizes that do not fit together.
    pub(super) fn check_sizes(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        positive("num_key_value_heads", self.num_key_value_heads)?;
        // The heads' width does not follow from it, but transformers asks for it.
        divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        divides("num_key_value_heads", self.num_key_value_heads, "num_attention_heads", self.num_attention_heads)?;
        if self.head_dim == 0 || !self.head_dim.is_multiple_of(2) {
            return Err(invalid("head_dim", self.head_dim, "an even width, as rotary positions turn pairs"));
        }
        positive("query_pre_attn_scalar", self.query_pre_attn_scalar.unwrap_or(1))?;
        above_zero("rms_norm_eps", self.rms_norm_eps)?;
        above_zero("rope_theta", self.rope_theta)?;
        above_zero("rope_local_base_freq", self.rope_local_base_freq.unwrap_or(1.0))?;
        above_zero("factor", self.rope_scaling.map_or(1.0, |scaling| scaling.factor))?;
        above_zero("attn_logit_softcapping", self.attn_logit_softcapping.unwrap_or(1.0))?;
        above_zero("final_logit_softcapping", self.final_logit_softcapping.unwrap_or(1.0))?;
        above_zero("initializer_range", self.initializer_range)?;
        share("attention_dropout", self.attention_dropout)?;
        one_of("hidden_activation", &self.hidden_activation, ACTIVATION)?;
        self.check_windows()
    }

    fn check_windows(&self) -> Result<()> {
        positive("sliding_window", self.sliding_window.unwrap_or(1))?;
        let Some(types) = &self.layer_types else { return Ok(()) };
        if types.len() != self.num_hidden_layers {
            let found = format!("{} types", types.len());
            return Err(invalid("layer_types", found, format!("num_hidden_layers = {}", self.num_hidden_layers)));
        }
        if self.sliding_window.is_none() && types.contains(&LayerType::Sliding) {
            return Err(invalid("sliding_window", "null", "a number of tokens, as layer_types has sliding_attention"));
        }
        Ok(())
    }
}

/// Periods of layers within a sliding window, each of which ends in one that sees everything.
fn layer_types(period: usize, layers: usize) -> Vec<LayerType> {
    let is_last = |layer: usize| (layer + 1).is_multiple_of(period);
    (0..layers).map(|layer| if is_last(layer) { LayerType::Full } else { LayerType::Sliding }).collect()
}

#[cfg(test)]
mod tests;
