//! The config.json of Llama and the families that changed little of it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::Result;
use crate::models::backbone::Head;
use crate::models::fields::{
    above_zero, divides, invalid, layers, one_of, positive, read_fields, refuse_other, share, to_json,
};
use crate::ops::RotaryScaling;

/// A family of decoders, by its `model_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Llama (arXiv 2407.21783).
    Llama,
    /// Llama within a sliding window (arXiv 2310.06825).
    Mistral,
    /// Llama with biases of queries, keys and values, some layers within a sliding window (arXiv 2407.10671).
    Qwen2,
    /// Llama with norms of each query and key, some layers within a sliding window (arXiv 2505.09388).
    Qwen3,
}

impl Family {
    /// How the names of its transformers classes start.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::Llama => "Llama",
            Self::Mistral => "Mistral",
            Self::Qwen2 => "Qwen2",
            Self::Qwen3 => "Qwen3",
        }
    }

    /// The fields of config.json that transformers assumes other values of than for Llama where they are absent.
    fn defaults(self) -> Map<String, Value> {
        let fields = match self {
            Self::Llama => json!({}),
            Self::Mistral => json!({
                "intermediate_size": 14_336, "num_key_value_heads": 8, "max_position_embeddings": 131_072,
                "sliding_window": 4096,
            }),
            Self::Qwen2 | Self::Qwen3 => json!({
                "vocab_size": 151_936, "intermediate_size": 22_016, "num_key_value_heads": 32,
                "max_position_embeddings": 32_768, "sliding_window": 4096, "max_window_layers": 28,
                "head_dim": if self == Self::Qwen3 { json!(128) } else { Value::Null },
            }),
        };
        fields.as_object().cloned().unwrap_or_default()
    }
}

/// What the tokens of a layer see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LayerType {
    /// Every token, those of a decoder every one before them.
    #[serde(rename = "full_attention")]
    Full,
    /// Those in the sliding window.
    #[serde(rename = "sliding_attention")]
    Sliding,
}

/// A decoder of the family with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Llama {
    /// The family, which decides where biases, norms of queries and keys, and sliding windows are.
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
    /// How the rotary wavelengths are stretched, if they are: Llama 3's way alone.
    #[serde(serialize_with = "write_scaling")]
    pub rope_scaling: Option<RotaryScaling>,
    /// True if the projections of Llama's and Qwen3's attention have biases. Mistral's never have; Qwen2's always have,
    /// but for the last.
    pub attention_bias: bool,
    /// True if the projections of Llama's feed-forward block have biases.
    pub mlp_bias: bool,
    /// How many tokens a token sees, itself included, in the layers with a sliding window: none of Llama's, all of
    /// Mistral's, those of Qwen's that `layer_types` says.
    pub sliding_window: Option<usize>,
    /// The first of Qwen's layers with a sliding window, where `layer_types` is absent.
    pub max_window_layers: Option<usize>,
    /// What the tokens of each of Qwen's layers see.
    pub layer_types: Option<Vec<LayerType>>,
    /// Share of the attention weights dropped.
    pub attention_dropout: f64,
    /// True if the language model head is the token embedding.
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

impl Default for Llama {
    /// What transformers assumes of Llama where a field is absent.
    fn default() -> Self {
        Self {
            family: Family::Llama,
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
            rope_scaling: None,
            attention_bias: false,
            mlp_bias: false,
            sliding_window: None,
            max_window_layers: None,
            layer_types: None,
            attention_dropout: 0.0,
            tie_word_embeddings: false,
            initializer_range: 0.02,
            hidden_act: "silu".into(),
            pad_token_id: None,
            bos_token_id: None,
            eos_token_id: None,
        }
    }
}

impl Llama {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "quantization_config", &Value::Null)?;
        let family = config.get("model_type").map_or(Ok(Family::Llama), Family::deserialize)?;
        let mut fields = family.defaults();
        fields.extend(config.as_object().into_iter().flatten().map(|(name, value)| (name.clone(), value.clone())));
        read_windows(family, &mut fields)?;
        let fields = Value::Object(fields);
        let (rope_theta, rope_scaling) = rotary(&fields)?;
        let parsed = Self { rope_theta, rope_scaling, ..read_fields(&fields)? };
        parsed.check_sizes()?;
        Ok(parsed)
    }

    /// config.json as transformers reads it.
    pub(super) fn to_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, self.family.class(), head)?;
        match self.family {
            Family::Llama => {}
            // Absent is not none.
            Family::Mistral => config["sliding_window"] = json!(self.sliding_window),
            Family::Qwen2 | Family::Qwen3 => config["use_sliding_window"] = json!(self.sliding_window.is_some()),
        }
        Ok(config)
    }

    /// Key and value heads.
    pub(super) fn kv_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of a head.
    pub(super) fn head_width(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    /// If the projections to queries, keys and values have biases, and if the one of their mixture has.
    pub(super) fn attention_biases(&self) -> (bool, bool) {
        match self.family {
            Family::Llama | Family::Qwen3 => (self.attention_bias, self.attention_bias),
            Family::Mistral => (false, false),
            Family::Qwen2 => (true, false),
        }
    }

    /// If the projections of the feed-forward block have biases.
    pub(super) fn mlp_biases(&self) -> bool {
        self.family == Family::Llama && self.mlp_bias
    }

    /// If each query and key is normed.
    pub(super) fn norms_heads(&self) -> bool {
        self.family == Family::Qwen3
    }

    /// How many tokens a token of this layer sees, itself included; all before it where there is no window.
    pub(super) fn window(&self, layer: usize) -> Option<usize> {
        let slides = match (self.family, &self.layer_types) {
            (Family::Llama, _) => false,
            (Family::Mistral, _) => true,
            (_, Some(types)) => types.get(layer) == Some(&LayerType::Sliding),
            (_, None) => self.max_window_layers.is_some_and(|first| layer >= first),
        };
        self.sliding_window.filter(|_| slides)
    }

    /// Refuses sizes that do not fit together.
    pub(super) fn check_sizes(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
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
        share("attention_dropout", self.attention_dropout)?;
        one_of("hidden_act", &self.hidden_act, "silu")?;
        self.check_windows()?;
        self.rope_scaling.as_ref().map_or(Ok(()), check_scaling)
    }

    fn check_windows(&self) -> Result<()> {
        positive("sliding_window", self.sliding_window.unwrap_or(1))?;
        let Some(types) = &self.layer_types else { return Ok(()) };
        if types.len() != self.num_hidden_layers {
            let found = format!("{} types", types.len());
            return Err(invalid("layer_types", found, format!("num_hidden_layers = {}", self.num_hidden_layers)));
        }
        if self.sliding_window.is_none() && types.contains(&LayerType::Sliding) {
            return Err(invalid("layer_types", "sliding_attention", "full_attention, as sliding_window is off"));
        }
        Ok(())
    }
}

fn check_scaling(scaling: &RotaryScaling) -> Result<()> {
    above_zero("low_freq_factor", scaling.low_freq_factor)?;
    positive("original_max_position_embeddings", scaling.original_max_position_embeddings)?;
    if !(scaling.factor >= 1.0 && scaling.factor.is_finite()) {
        return Err(invalid("factor", scaling.factor, "a number of at least 1"));
    }
    if !(scaling.high_freq_factor > scaling.low_freq_factor && scaling.high_freq_factor.is_finite()) {
        let expected = format!("a number above low_freq_factor = {}", scaling.low_freq_factor);
        return Err(invalid("high_freq_factor", scaling.high_freq_factor, expected));
    }
    Ok(())
}

/// Leaves the fields of a sliding window to the families and configurations that have one.
fn read_windows(family: Family, fields: &mut Map<String, Value>) -> Result<()> {
    let given = Value::Object(fields.clone());
    let slides = match family {
        Family::Llama => false,
        Family::Mistral => true,
        Family::Qwen2 | Family::Qwen3 => given["use_sliding_window"] == Value::Bool(true),
    };
    if !slides {
        fields.remove("sliding_window");
    }
    match family {
        Family::Llama => drop(fields.remove("layer_types")),
        Family::Mistral => refuse_other(&given, "layer_types", &Value::Null)?,
        Family::Qwen2 | Family::Qwen3 => {}
    }
    Ok(())
}

/// What a table of rotary positions may say.
const ROTARY_FIELDS: [&str; 8] = [
    "rope_type",
    "type",
    "rope_theta",
    "partial_rotary_factor",
    "factor",
    "low_freq_factor",
    "high_freq_factor",
    TRAINED_ON,
];
const TRAINED_ON: &str = "original_max_position_embeddings";

/// The rotary base and scaling. transformers 5 keeps both in the table `rope_parameters`, older ones in `rope_theta` and
/// the table `rope_scaling`, which goes before.
fn rotary(config: &Value) -> Result<(f64, Option<RotaryScaling>)> {
    let named = |name: &'static str| Some((name, config.get(name)?.as_object().filter(|table| !table.is_empty())?));
    let (name, mut table) = match named("rope_scaling").or_else(|| named("rope_parameters")) {
        Some((name, table)) => (name, table.clone()),
        None => ("rope_parameters", Map::new()),
    };
    if let Some(other) = table.keys().find(|other| !ROTARY_FIELDS.contains(&other.as_str())) {
        return Err(invalid(name, format!("{{{other:?}: ...}}"), format!("nothing but {}", ROTARY_FIELDS.join(", "))));
    }
    for name in ["partial_rotary_factor", "rope_theta", TRAINED_ON] {
        if let (None, Some(value)) = (table.get(name), config.get(name)) {
            table.insert(name.to_owned(), value.clone());
        }
    }
    let table = Value::Object(table);
    refuse_other(&table, "partial_rotary_factor", &json!(1.0))?;
    let theta = match table.get("rope_theta") {
        None => Llama::default().rope_theta,
        Some(theta) => theta.as_f64().ok_or_else(|| invalid("rope_theta", theta, "a number"))?,
    };
    match table.get("rope_type").or_else(|| table.get("type")).unwrap_or(&json!("default")) {
        Value::String(kind) if kind == "default" => Ok((theta, None)),
        Value::String(kind) if kind == "llama3" => Ok((theta, Some(read_fields(&table)?))),
        other => Err(invalid("rope_type", other, "\"default\" or \"llama3\"")),
    }
}

/// Writes the scaling with the name of its kind.
fn write_scaling<S: serde::Serializer>(
    scaling: &Option<RotaryScaling>,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Named {
        rope_type: &'static str,
        #[serde(flatten)]
        scaling: RotaryScaling,
    }
    scaling.map(|scaling| Named { rope_type: "llama3", scaling }).serialize(serializer)
}

#[cfg(test)]
mod tests;
