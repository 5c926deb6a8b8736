//! ModernBERT (arXiv 2412.13663): an encoder with rotary positions, norms before each block, a gated feed-forward block, and
//! layers most of which see a window alone.
//!
//! The weights have the names of Hugging Face `ModernBertForSequenceClassification` with one label.

mod config;

use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

pub use config::{ClassifierPooling, ModernBert};

use super::backbone::{Backbone, Head};
use super::encoder::head_drops;
use super::layers::{Drops, layer};
use super::llama::LayerType;
use crate::Result;
use crate::ops::{Attention, Rotary, attention, embedding, geglu, gelu, layer_norm, residual};
use crate::text::{Kind, Packed, Pooling};
use crate::weights::{Init, Mode, ParamSpec, Params, View};

const WORDS: &str = "model.embeddings.tok_embeddings.weight";

impl Backbone for ModernBert {
    fn name(&self) -> &'static str {
        "ModernBert"
    }

    fn kind(&self) -> Kind {
        Kind::Encoder
    }

    fn pooling(&self) -> Pooling {
        match self.classifier_pooling {
            ClassifierPooling::Cls => Pooling::FirstToken,
            ClassifierPooling::Mean => Pooling::Mean,
        }
    }

    fn check(&self) -> Result<()> {
        self.check_sizes()
    }

    fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    fn max_tokens(&self) -> usize {
        self.max_position_embeddings
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        self.to_json(head)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["embedding_dropout", "attention_dropout", "mlp_dropout", "classifier_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let (d, inner) = (self.hidden_size, self.intermediate_size);
        let normal = Init::Normal(self.initializer_range as f32);
        let mut specs = vec![ParamSpec::new(WORDS, &[self.vocab_size, d], normal)];
        let mut add = |name: String, shape: [usize; 2], init: Init, bias: bool| {
            specs.push(ParamSpec::new(format!("{name}.weight"), &shape, init));
            specs.extend(bias.then(|| ParamSpec::new(format!("{name}.bias"), &shape[..1], Init::Zeros)));
        };
        for index in 0..self.num_hidden_layers {
            for (name, rows, columns, bias) in [
                ("attn.Wqkv", 3 * d, d, self.attention_bias),
                ("attn.Wo", d, d, self.attention_bias),
                ("mlp.Wi", 2 * inner, d, self.mlp_bias),
                ("mlp.Wo", d, inner, self.mlp_bias),
            ] {
                add(format!("model.layers.{index}.{name}"), [rows, columns], normal, bias);
            }
        }
        add("head.dense".into(), [d, d], normal, self.classifier_bias);
        add("classifier".into(), [head.outputs(), d], Init::Normal((d as f32).sqrt().recip()), true);
        for norm in self.norms() {
            specs.push(ParamSpec::new(format!("{norm}.weight"), &[d], Init::Ones));
            specs.extend(self.norm_bias.then(|| ParamSpec::new(format!("{norm}.bias"), &[d], Init::Zeros)));
        }
        specs
    }

    /// Files of a bare encoder leave out the `model.`.
    fn weight_name(&self, stored: &str) -> Option<String> {
        let bare = ["embeddings.", "layers.", "final_norm."].iter().any(|part| stored.starts_with(part));
        Some(if bare { format!("model.{stored}") } else { stored.to_owned() })
    }

    /// The masked language model has the same `head` before its `decoder`.
    fn heads(&self) -> &'static [&'static str] {
        &["classifier", "head", "decoder"]
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        packed.check(self.vocab_size, None, self.max_position_embeddings)?;
        let head_dim = self.hidden_size / self.num_attention_heads;
        let [global, local] = [self.global_rope_theta, self.local_rope_theta]
            .map(|theta| Rotary::new(theta, None, head_dim, packed.longest()));
        let weights = params.view(mode).child("model");
        let words = embedding(&params.view(mode).get(WORDS)?, packed.ids())?; // [t, d]
        let x = self.norm(&weights.child("embeddings"), "norm", &words)?;
        let mut x = Drops::after(0, mode).drop(&x, self.embedding_dropout)?;
        for (index, kind) in self.layer_types.iter().enumerate() {
            let (rotary, window) = match kind {
                LayerType::Full => (&global, None),
                LayerType::Sliding => (&local, Some(self.local_attention / 2 + 1)),
            };
            let spec = Attention {
                heads: self.num_attention_heads,
                kv_heads: self.num_attention_heads,
                head_dim,
                causal: false,
                window,
                scale: None,
                soft_cap: None,
                rotary: Some(rotary.clone()),
                offsets: packed.offsets().clone(),
                queries: rows.filter(|_| index + 1 == self.num_hidden_layers).map(Into::into),
                dropout: None,
                precision: mode.attention_precision(),
            };
            let block = move |model: &Self, params: &Params, x: &Tensor, mode: Mode<'_>| {
                model.block(params, index, x, spec.clone(), mode)
            };
            x = layer(self, params, &x, mode, block)?;
        }
        self.norm(&weights, "final_norm", &x)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        let weights = params.view(mode.exact());
        let head = weights.child("head");
        let x = self.norm(&head, "norm", &gelu(&head.linear("dense", read)?)?)?;
        let x = head_drops(mode).drop(&x, self.classifier_dropout)?;
        Ok(weights.linear("classifier", &x)?.flatten_all()?)
    }

    /// The word embedding, without the transformation that masked language models have before it.
    fn token_predictor(&self) -> String {
        WORDS.to_owned()
    }

    fn layers(&self) -> (String, usize) {
        ("model.layers.".to_owned(), self.num_hidden_layers)
    }

    fn with_layers(&self, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
        Ok(Some(Arc::new(self.of_layers(keep)?)))
    }
}

impl ModernBert {
    /// The names of all norms. The first layer has none before attention, for the embeddings have one.
    fn norms(&self) -> Vec<String> {
        let mut norms = ["model.embeddings.norm", "model.final_norm", "head.norm"].map(String::from).to_vec();
        norms.extend((1..self.num_hidden_layers).map(|index| format!("model.layers.{index}.attn_norm")));
        norms.extend((0..self.num_hidden_layers).map(|index| format!("model.layers.{index}.mlp_norm")));
        norms
    }

    /// # Shapes
    /// `x` `[t, d]` -> `[queries, d]`.
    fn block(&self, params: &Params, index: usize, x: &Tensor, spec: Attention, mode: Mode<'_>) -> Result<Tensor> {
        let layer_weights = |mode| params.view(mode).child("model.layers").child(index);
        let (weights, seen) = (layer_weights(mode.reading(&spec)), layer_weights(mode).child("attn"));
        let (d, inner) = (self.hidden_size, self.intermediate_size);
        // The embeddings drop at one place, a block at three.
        let drops = &mut Drops::after(1 + 3 * index as u64, mode);
        let normed = if index == 0 { x.clone() } else { self.norm(&weights, "attn_norm", x)? };
        let own = weights.child("attn");
        let q = own.linear_rows("Wqkv", 0..d, &spec.asking(&normed)?)?; // [queries, d]
        let k = seen.linear_rows("Wqkv", d..2 * d, &normed)?; // [t, d]
        let v = seen.linear_rows("Wqkv", 2 * d..3 * d, &normed)?;
        let x = spec.asking(x)?;
        let spec = Attention { dropout: drops.next(self.attention_dropout), ..spec };
        let update = own.linear("Wo", &attention(&q, &k, &v, spec)?)?;
        let x = residual(&x, &update, drops.next(self.attention_dropout))?;

        let normed = self.norm(&weights, "mlp_norm", &x)?;
        let mlp = weights.child("mlp");
        let gate = mlp.linear_rows("Wi", 0..inner, &normed)?; // [queries, inner]
        let up = mlp.linear_rows("Wi", inner..2 * inner, &normed)?;
        let gated = drops.drop(&geglu(&gate, &up)?, self.mlp_dropout)?;
        Ok(residual(&x, &mlp.linear("Wo", &gated)?, None)?)
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        let norm = weights.child(name);
        Ok(layer_norm(x, &norm.get("weight")?, norm.find("bias").as_ref(), self.norm_eps)?)
    }
}
