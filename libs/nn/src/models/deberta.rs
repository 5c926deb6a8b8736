//! DeBERTa of the second and third version (arXiv 2006.03654, 2111.09543): BERT whose scores depend on the distance of two
//! tokens.
//!
//! The weights have the names of Hugging Face `DebertaV2ForSequenceClassification` with one label.

use std::sync::Arc;

use candle_core::Tensor;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::backbone::{Backbone, Head};
use super::encoder::{Encoder, LayerNames, Projection, affine, head_drops};
use super::fields::{
    above_zero, divides, invalid, layers, one_of, positive, read_fields, refuse_other, share, to_json,
};
use super::relative::Relative;
use crate::Result;
use crate::ops::gelu;
use crate::text::{Kind, Packed};
use crate::weights::{Mode, ParamSpec, Params};

const LAYERS: LayerNames = LayerNames {
    layers: "encoder.layer",
    attention: [
        "attention.self.query_proj",
        "attention.self.key_proj",
        "attention.self.value_proj",
        "attention.output.dense",
    ],
    attention_norm: "attention.output.LayerNorm",
    feed_forward: ["intermediate.dense", "output.dense"],
    norm: "output.LayerNorm",
};

/// A term of the scores besides content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PositionTerm {
    /// A token asks for a distance.
    C2p,
    /// A distance asks for a token.
    P2c,
}

/// The norm of the embeddings of distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RelativeNorm {
    /// No norm.
    None,
    /// One that all layers share.
    LayerNorm,
}

/// DeBERTa with the sizes of a config.json.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct DebertaV2 {
    /// Token ids.
    pub vocab_size: usize,
    /// Width of the embeddings, `hidden_size` where absent.
    pub embedding_size: Option<usize>,
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
    /// Token types (segments); 0 for none.
    pub type_vocab_size: usize,
    /// Added to the variance inside the norms.
    pub layer_norm_eps: f64,
    /// True if there is an embedding of positions.
    pub position_biased_input: bool,
    /// True if the scores depend on distance.
    pub relative_attention: bool,
    /// How they do.
    pub pos_att_type: Vec<PositionTerm>,
    /// True if distances are projected as tokens are.
    pub share_att_key: bool,
    /// Embeddings of distances in each direction, where far distances share them; below 1 where none do.
    pub position_buckets: i64,
    /// Distances from which on all are one; `max_position_embeddings` where below 1.
    pub max_relative_positions: i64,
    /// The norm of the embeddings of distances.
    pub norm_rel_ebd: RelativeNorm,
    /// Share of the values dropped after embeddings, attention, feed-forward and, unless `cls_dropout` says otherwise,
    /// pooling.
    pub hidden_dropout_prob: f64,
    /// Share of the attention weights dropped.
    pub attention_probs_dropout_prob: f64,
    /// Share of the values dropped before pooling.
    pub pooler_dropout: f64,
    /// Share of the pooled values dropped.
    pub cls_dropout: Option<f64>,
    /// Standard deviation of a fresh weight.
    pub initializer_range: f64,
    /// Activation of the feed-forward block; only `gelu` (the exact one).
    pub hidden_act: String,
    /// Activation of the pooler; only `gelu`.
    pub pooler_hidden_act: String,
    /// Id of the padding token.
    pub pad_token_id: Option<u32>,
}

impl Default for DebertaV2 {
    /// What transformers assumes where a field is absent.
    fn default() -> Self {
        Self {
            vocab_size: 128_100,
            embedding_size: None,
            hidden_size: 1536,
            intermediate_size: 6144,
            num_hidden_layers: 24,
            num_attention_heads: 24,
            max_position_embeddings: 512,
            type_vocab_size: 0,
            layer_norm_eps: 1e-7,
            position_biased_input: true,
            relative_attention: false,
            pos_att_type: Vec::new(),
            share_att_key: false,
            position_buckets: -1,
            max_relative_positions: -1,
            norm_rel_ebd: RelativeNorm::None,
            hidden_dropout_prob: 0.1,
            attention_probs_dropout_prob: 0.1,
            pooler_dropout: 0.0,
            cls_dropout: None,
            initializer_range: 0.02,
            hidden_act: "gelu".into(),
            pooler_hidden_act: "gelu".into(),
            pad_token_id: Some(0),
        }
    }
}

impl DebertaV2 {
    /// Reads and checks a config.json, refusing what this crate would compute wrongly.
    ///
    /// # Errors
    /// The field that is not supported or does not fit.
    pub fn from_json(config: &Value) -> Result<Self> {
        refuse_other(config, "conv_kernel_size", &json!(0))?;
        refuse_other(config, "quantization_config", &Value::Null)?;
        let set = config.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
        let mut fields: Map<String, Value> = set.map(|(name, value)| (name.clone(), value.clone())).collect();
        if let Some(Value::String(terms)) = config.get("pos_att_type") {
            let terms = terms.split('|').map(|term| term.trim().to_lowercase()).filter(|term| !term.is_empty());
            fields.insert("pos_att_type".into(), terms.collect());
        }
        let parsed: Self = read_fields(&Value::Object(fields))?;
        refuse_other(config, "pooler_hidden_size", &json!(parsed.hidden_size))?;
        refuse_other(config, "attention_head_size", &json!(parsed.hidden_size / parsed.num_attention_heads.max(1)))?;
        parsed.check()?;
        Ok(parsed)
    }

    fn has(&self, term: PositionTerm) -> bool {
        self.pos_att_type.contains(&term)
    }

    fn relative(&self) -> Option<Relative> {
        let above_zero = |value: i64| usize::try_from(value).ok().filter(|&value| value > 0);
        self.relative_attention.then(|| Relative {
            farthest: above_zero(self.max_relative_positions).unwrap_or(self.max_position_embeddings),
            buckets: above_zero(self.position_buckets),
            content_to_position: self.has(PositionTerm::C2p),
            position_to_content: self.has(PositionTerm::P2c),
            shares_projections: self.share_att_key,
            norm: self.norm_rel_ebd == RelativeNorm::LayerNorm,
        })
    }

    fn encoder(&self) -> Encoder {
        let terms = 1 + u8::from(self.has(PositionTerm::C2p)) + u8::from(self.has(PositionTerm::P2c));
        let head_dim = self.hidden_size / self.num_attention_heads;
        let embedding = self.embedding_size.filter(|&width| width != self.hidden_size);
        Encoder {
            root: "deberta",
            names: &LAYERS,
            vocab_size: self.vocab_size,
            width: self.hidden_size,
            projection: embedding.map(Projection::BeforeNorm),
            inner: self.intermediate_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            positions: self.max_position_embeddings,
            adds_positions: self.position_biased_input,
            first_position: 0,
            types: (self.type_vocab_size > 0).then_some(self.type_vocab_size),
            relative: self.relative(),
            scale: Some(1.0 / (head_dim as f32 * f32::from(terms)).sqrt()),
            norm_eps: self.layer_norm_eps,
            dropout: self.hidden_dropout_prob,
            mixture_dropout: self.hidden_dropout_prob,
            attention_dropout: self.attention_probs_dropout_prob,
            initializer_range: self.initializer_range,
        }
    }

    /// Share of the pooled values dropped.
    fn pooled_dropout(&self) -> f64 {
        self.cls_dropout.unwrap_or(self.hidden_dropout_prob)
    }

    /// Refuses weights that nothing would train, and buckets that have no width.
    fn check_distances(&self) -> Result<()> {
        let Some(relative) = self.relative() else {
            let found = |norm| if norm == RelativeNorm::None { "none" } else { "layer_norm" };
            return one_of("norm_rel_ebd", found(self.norm_rel_ebd), "none");
        };
        if self.pos_att_type.is_empty() {
            return Err(invalid("pos_att_type", "[]", "c2p, p2c or both, with relative_attention"));
        }
        let longest = relative.farthest.saturating_sub(1);
        match relative.buckets {
            Some(buckets) if buckets < 2 || buckets / 2 >= longest => {
                let expected = format!("2 or more, half of them below the farthest distance {longest}");
                Err(invalid("position_buckets", buckets, expected))
            }
            _ => Ok(()),
        }
    }
}

impl Backbone for DebertaV2 {
    fn name(&self) -> &'static str {
        "DebertaV2"
    }

    fn kind(&self) -> Kind {
        Kind::Encoder
    }

    fn body(&self) -> Option<Encoder> {
        Some(self.encoder())
    }

    fn check(&self) -> Result<()> {
        positive("vocab_size", self.vocab_size)?;
        positive("embedding_size", self.embedding_size.unwrap_or(self.hidden_size))?;
        positive("hidden_size", self.hidden_size)?;
        positive("intermediate_size", self.intermediate_size)?;
        layers("num_hidden_layers", self.num_hidden_layers)?;
        positive("max_position_embeddings", self.max_position_embeddings)?;
        divides("num_attention_heads", self.num_attention_heads, "hidden_size", self.hidden_size)?;
        above_zero("layer_norm_eps", self.layer_norm_eps)?;
        above_zero("initializer_range", self.initializer_range)?;
        share("hidden_dropout_prob", self.hidden_dropout_prob)?;
        share("attention_probs_dropout_prob", self.attention_probs_dropout_prob)?;
        share("pooler_dropout", self.pooler_dropout)?;
        share("cls_dropout", self.pooled_dropout())?;
        one_of("hidden_act", &self.hidden_act, "gelu")?;
        one_of("pooler_hidden_act", &self.pooler_hidden_act, "gelu")?;
        self.check_distances()
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        let mut config = to_json(self, self.name(), head)?;
        config["model_type"] = json!("deberta-v2");
        config["pooler_hidden_size"] = json!(self.hidden_size);
        Ok(config)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["hidden_dropout_prob", "attention_probs_dropout_prob", "pooler_dropout", "cls_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let (d, std) = (self.hidden_size, self.initializer_range);
        let mut weights = self.encoder().weights();
        weights.extend(affine("pooler.dense", [d, d], std));
        weights.extend(affine("classifier", [head.outputs(), d], std));
        weights
    }

    /// Files of a bare encoder leave out the `deberta.`; some hold the numbers of the positions, or an embedding of
    /// positions that is not used.
    fn weight_name(&self, stored: &str) -> Option<String> {
        let bare = ["embeddings.", "encoder."].iter().any(|part| stored.starts_with(part));
        let name = if bare { format!("deberta.{stored}") } else { stored.to_owned() };
        let unused = !self.position_biased_input && name == "deberta.embeddings.position_embeddings.weight";
        (!unused && !name.ends_with("embeddings.position_ids")).then_some(name)
    }

    fn heads(&self) -> &'static [&'static str] {
        &["classifier", "pooler", "cls", "lm_predictions", "mask_predictions"]
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        self.encoder().hidden(params, packed, rows, mode)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let weights = params.view(mode.exact());
        let mut drops = head_drops(mode);
        let x = drops.drop(read, self.pooler_dropout)?;
        let pooled = gelu(&weights.linear("pooler.dense", &x)?)?;
        let pooled = drops.drop(&pooled, self.pooled_dropout())?;
        Ok(weights.linear("classifier", &pooled)?.flatten_all()?)
    }

    /// The word embedding, without the transformation that masked language models have before it.
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

    /// The fields of DeBERTa v3.
    fn third() -> Value {
        json!({
            "model_type": "deberta-v2", "relative_attention": true, "pos_att_type": "p2c|c2p", "share_att_key": true,
            "position_buckets": 256, "max_relative_positions": -1, "norm_rel_ebd": "layer_norm",
            "position_biased_input": false,
        })
    }

    #[test]
    fn what_is_written_is_read_back() {
        let model = DebertaV2::from_json(&third()).unwrap();
        assert_eq!(model.pos_att_type, [PositionTerm::P2c, PositionTerm::C2p]);
        let json = model.config_json(Head::Score).unwrap();
        assert_eq!(json["architectures"][0], "DebertaV2ForSequenceClassification");
        assert_eq!(json["norm_rel_ebd"], "layer_norm");
        assert_eq!(DebertaV2::from_json(&json).unwrap(), model);
    }

    #[test]
    fn near_distances_have_their_own_row_and_far_ones_share() {
        let relative = DebertaV2::from_json(&third()).unwrap().relative().unwrap();
        let row = |distance| relative.row(distance);
        assert_eq!([row(0), row(1), row(128), row(129), row(-128)], [256, 257, 384, 385, 128]);
        assert_eq!([row(510), row(511), row(5000), row(-511), row(-5000)], [511, 511, 511, 1, 0]);
    }

    #[test]
    fn what_would_be_computed_wrongly_is_refused_by_name() {
        for (field, other) in [
            ("hidden_act", json!("gelu_new")),
            ("pooler_hidden_act", json!("tanh")),
            ("conv_kernel_size", json!(3)),
            ("attention_head_size", json!(32)),
            ("pooler_hidden_size", json!(768)),
            ("pos_att_type", json!("p2p|c2p")),
            ("pos_att_type", json!([])),
            ("position_buckets", json!(1)),
            ("position_buckets", json!(1024)),
            ("norm_rel_ebd", json!("rms_norm")),
            ("quantization_config", json!({"bits": 4})),
        ] {
            let mut config = third();
            config[field] = other;
            let error = DebertaV2::from_json(&config).unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
        let norm = json!({"norm_rel_ebd": "layer_norm"});
        assert!(DebertaV2::from_json(&norm).unwrap_err().to_string().starts_with("norm_rel_ebd = layer_norm"));
    }
}
