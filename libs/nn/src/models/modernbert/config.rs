//! The config.json of ModernBERT.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::models::backbone::Head;
use crate::models::fields::{
    above_zero, divides, invalid, layers, one_of, positive, read_fields, refuse_other, share, to_json,
};
use crate::models::llama::LayerType;
use crate::{Error, Result};

/// What transformers assumes where a file does not say which layers see every token: each third, from the first on.
const GLOBAL_EVERY: usize = 3;
const GLOBAL_THETA: f64 = 160_000.0;
const LOCAL_THETA: f64 = 10_000.0;

/// What the head reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClassifierPooling {
    /// The first token.
    Cls,
    /// The mean of all tokens.
    Mean,
}

/// ModernBERT with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModernBert {
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
    /// Activation of the feed-forward gate; only `gelu` (the exact one).
    pub hidden_activation: String,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Added to the variance inside the norms.
    pub norm_eps: f64,
    /// True if the norms have biases.
    pub norm_bias: bool,
    /// True if the projections of attention have biases.
    pub attention_bias: bool,
    /// Share dropped of the attention weights, and after the mixture of attention.
    pub attention_dropout: f64,
    /// What the tokens of each layer see.
    pub layer_types: Vec<LayerType>,
    /// Base of the rotary wavelengths of layers that see every token.
    pub global_rope_theta: f64,
    /// Base of the rotary wavelengths of layers that see a window.
    pub local_rope_theta: f64,
    /// The window: a token sees those at most half of it away.
    pub local_attention: usize,
    /// Share of the embeddings dropped.
    pub embedding_dropout: f64,
    /// True if the feed-forward block has biases.
    pub mlp_bias: bool,
    /// Share dropped inside the feed-forward block.
    pub mlp_dropout: f64,
    /// What the head reads.
    pub classifier_pooling: ClassifierPooling,
    /// Share of the head's values dropped before its last layer.
    pub classifier_dropout: f64,
    /// True if the first layer of the head has a bias; the last always has one.
    pub classifier_bias: bool,
    /// Activation of the head; only `gelu`.
    pub classifier_activation: String,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
    /// Id of the first token.
    pub bos_token_id: Option<u32>,
    /// Id of the last token: one, or several.
    pub eos_token_id: Option<Value>,
    /// Id of the first token of a pair.
    pub cls_token_id: Option<u32>,
    /// Id of the token between a pair.
    pub sep_token_id: Option<u32>,
}

impl Default for ModernBert {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 50_368,
            hidden_size: 768,
            intermediate_size: 1152,
            num_hidden_layers: 22,
            num_attention_heads: 12,
            hidden_activation: "gelu".into(),
            max_position_embeddings: 8192,
            initializer_range: 0.02,
            norm_eps: 1e-5,
            norm_bias: false,
            attention_bias: false,
            attention_dropout: 0.0,
            layer_types: global_every(GLOBAL_EVERY, 22),
            global_rope_theta: GLOBAL_THETA,
            local_rope_theta: LOCAL_THETA,
            local_attention: 128,
            embedding_dropout: 0.0,
            mlp_bias: false,
            mlp_dropout: 0.0,
            classifier_pooling: ClassifierPooling::Cls,
            classifier_dropout: 0.0,
            classifier_bias: false,
            classifier_activation: "gelu".into(),
            pad_token_id: Some(50_283),
            bos_token_id: Some(50_281),
            eos_token_id: Some(50_282.into()),
            cls_token_id: Some(50_281),
            sep_token_id: Some(50_282),
        }
    }
}

/// The rotary positions as transformers 5 writes them, by the kind of layer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RopeParameters {
    full_attention: Option<Rope>,
    sliding_attention: Option<Rope>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rope {
    rope_type: Option<String>,
    rope_theta: Option<f64>,
}

impl Rope {
    fn theta(self) -> Result<Option<f64>> {
        one_of("rope_parameters", self.rope_type.as_deref().unwrap_or("default"), "default")?;
        Ok(self.rope_theta)
    }
}

/// The layers `0..layers`, of which the first of each `every` sees every token.
fn global_every(every: usize, layers: usize) -> Vec<LayerType> {
    let kind = |layer: usize| if layer.is_multiple_of(every) { LayerType::Full } else { LayerType::Sliding };
    (0..layers).map(kind).collect()
}

impl ModernBert {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "quantization_config", &Value::Null)?;
        refuse_other(config, "rope_scaling", &Value::Null)?;
        let mut fields: Map<String, Value> = config.as_object().cloned().unwrap_or_default();
        let is_absent = |name: &str| config.get(name).is_none_or(Value::is_null);
        if is_absent("layer_types") {
            let every = config.get("global_attn_every_n_layers").map_or(Ok(GLOBAL_EVERY), |every| {
                let every = every.as_u64().filter(|&every| every > 0).map(|every| every as usize);
                every.ok_or_else(|| invalid("global_attn_every_n_layers", every_found(config), "at least 1"))
            })?;
            let depth = read_fields::<Depth>(config)?.num_hidden_layers;
            layers("num_hidden_layers", depth)?;
            fields.insert("layer_types".into(), json!(global_every(every, depth)));
        }
        let [global, local] = thetas(config)?;
        fields.extend([("global_rope_theta".into(), json!(global)), ("local_rope_theta".into(), json!(local))]);
        let parsed: Self = read_fields(&Value::Object(fields))?;
        refuse_other(config, "head_dim", &json!(parsed.hidden_size / parsed.num_attention_heads.max(1)))?;
        parsed.check_sizes()?;
        Ok(parsed)
    }

    /// config.json as transformers reads it: version 5 takes the kinds of layers and their rotary positions from fields
    /// that earlier ones do not know. Where these cannot express the kinds, they fail at `null`.
    pub(super) fn to_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, "ModernBert", head)?;
        // Absent is not none.
        for (name, id) in [
            ("pad_token_id", self.pad_token_id),
            ("bos_token_id", self.bos_token_id),
            ("cls_token_id", self.cls_token_id),
            ("sep_token_id", self.sep_token_id),
        ] {
            config[name] = json!(id);
        }
        config["eos_token_id"] = json!(self.eos_token_id);
        config["model_type"] = json!("modernbert");
        config["rope_parameters"] = json!({
            "full_attention": {"rope_type": "default", "rope_theta": self.global_rope_theta},
            "sliding_attention": {"rope_type": "default", "rope_theta": self.local_rope_theta},
        });
        let depth = self.num_hidden_layers;
        let every = (1..=depth).find(|&every| global_every(every, depth) == self.layer_types);
        config["global_attn_every_n_layers"] = json!(every);
        Ok(config)
    }

    /// The architecture of the layers `keep`, each of the kind that it was.
    pub(super) fn of_layers(&self, keep: &[usize]) -> Result<Self> {
        if keep.first() != Some(&0) {
            return Err(Error::Config {
                field: "keep_layers",
                found: format!("{keep:?}"),
                expected: "layer 0 among them, for the first layer of ModernBERT alone has no norm before attention"
                    .into(),
            });
        }
        let layer_types = keep.iter().filter_map(|&layer| self.layer_types.get(layer).copied()).collect();
        Ok(Self { num_hidden_layers: keep.len(), layer_types, ..self.clone() })
    }

    pub(super) fn check_sizes(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        if !(self.hidden_size / self.num_attention_heads).is_multiple_of(2) {
            return Err(invalid("num_attention_heads", self.num_attention_heads, "heads of an even width"));
        }
        if self.layer_types.len() != self.num_hidden_layers {
            let expected = format!("num_hidden_layers = {}", self.num_hidden_layers);
            return Err(invalid("layer_types", format!("{} layers", self.layer_types.len()), expected));
        }
        above_zero("norm_eps", self.norm_eps)?;
        above_zero("initializer_range", self.initializer_range)?;
        above_zero("global_rope_theta", self.global_rope_theta)?;
        above_zero("local_rope_theta", self.local_rope_theta)?;
        share("attention_dropout", self.attention_dropout)?;
        share("embedding_dropout", self.embedding_dropout)?;
        share("mlp_dropout", self.mlp_dropout)?;
        share("classifier_dropout", self.classifier_dropout)?;
        one_of("hidden_activation", &self.hidden_activation, "gelu")?;
        one_of("classifier_activation", &self.classifier_activation, "gelu")
    }
}

/// The field that decides how many kinds of layers there are.
#[derive(Deserialize)]
#[serde(default)]
struct Depth {
    num_hidden_layers: usize,
}

impl Default for Depth {
    fn default() -> Self {
        Self { num_hidden_layers: ModernBert::default().num_hidden_layers }
    }
}

fn every_found(config: &Value) -> String {
    config["global_attn_every_n_layers"].to_string()
}

/// The rotary bases of layers that see every token and of those that see a window.
fn thetas(config: &Value) -> Result<[f64; 2]> {
    #[derive(Deserialize)]
    struct Fields {
        rope_parameters: Option<RopeParameters>,
        global_rope_theta: Option<f64>,
        local_rope_theta: Option<f64>,
    }
    let fields: Fields = read_fields(config)?;
    let rope = fields.rope_parameters.unwrap_or_default();
    let global = rope.full_attention.unwrap_or_default().theta()?;
    let global = global.or(fields.global_rope_theta).unwrap_or(GLOBAL_THETA);
    // Before version 5, a null stood for the other base.
    let absent = if config.get("local_rope_theta").is_some_and(Value::is_null) { global } else { LOCAL_THETA };
    let local = rope.sliding_attention.unwrap_or_default().theta()?.or(fields.local_rope_theta).unwrap_or(absent);
    Ok([global, local])
}

#[cfg(test)]
mod tests {
    use super::LayerType::{Full, Sliding};
    use super::*;

    fn read(config: Value) -> ModernBert {
        ModernBert::from_json(&config).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let model = ModernBert { classifier_pooling: ClassifierPooling::Mean, ..ModernBert::default() };
        let json = model.to_json(Head::Score).unwrap();
        assert_eq!(json["architectures"][0], "ModernBertForSequenceClassification");
        assert_eq!(json["global_attn_every_n_layers"], 3);
        assert_eq!(read(json), model);
    }

    #[test]
    fn old_and_new_fields_are_read() {
        let old = read(json!({
            "num_hidden_layers": 5, "global_attn_every_n_layers": 2, "global_rope_theta": 500.0, "local_rope_theta": 50.0,
        }));
        let new = read(json!({
            "num_hidden_layers": 5,
            "layer_types": old.layer_types,
            "rope_parameters": {
                "full_attention": {"rope_type": "default", "rope_theta": 500.0},
                "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
            },
        }));
        assert_eq!(old.layer_types, [Full, Sliding, Full, Sliding, Full]);
        assert_eq!(old, new);
        assert_eq!(read(json!({"global_rope_theta": 500.0, "local_rope_theta": null})).local_rope_theta, 500.0);
        assert_eq!(read(json!({"global_rope_theta": 500.0})).local_rope_theta, LOCAL_THETA);
    }

    #[test]
    fn kept_layers_keep_their_kind() {
        let model = read(json!({"num_hidden_layers": 7}));
        let kept = model.of_layers(&[0, 2, 3, 6]).unwrap();
        assert_eq!(kept.layer_types, [Full, Sliding, Full, Full]);
        let json = kept.to_json(Head::Score).unwrap();
        assert_eq!(json["global_attn_every_n_layers"], Value::Null, "no period has this pattern");
        assert_eq!(read(json), kept);
        assert!(
            model.of_layers(&[1, 2]).unwrap_err().to_string().starts_with("keep_layers = [1, 2]: expected layer 0")
        );
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        for (field, other) in [
            ("hidden_activation", json!("silu")),
            ("classifier_activation", json!("tanh")),
            ("classifier_pooling", json!("max")),
            ("layer_types", json!(["full_attention"])),
            ("global_attn_every_n_layers", json!(0)),
            ("rope_scaling", json!({"rope_type": "yarn"})),
            ("rope_parameters", json!({"full_attention": {"rope_type": "yarn"}})),
            ("rope_parameters", json!({"rope_theta": 1.0})),
            ("rope_parameters", json!({"full_attention": {"partial_rotary_factor": 0.5}})),
            ("head_dim", json!(32)),
            ("num_attention_heads", json!(256)),
            ("quantization_config", json!({"bits": 4})),
        ] {
            let mut config = json!({"model_type": "modernbert"});
            config[field] = other;
            let error = ModernBert::from_json(&config).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
