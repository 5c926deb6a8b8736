//! Llama: a decoder with rotary positions, RMS norm, grouped-query attention and SwiGLU; with the biases, head norms and
//! sliding windows of its siblings Mistral, Qwen2 and Qwen3.
//!
//! The block is that of arXiv 2302.13971, the names of the weights those of Hugging Face `LlamaForCausalLM` and
//! `LlamaForSequenceClassification`, which the siblings share.

mod config;

use candle_core::Tensor;
use serde_json::Value;

pub use config::{Family, LayerType, Llama};

use super::backbone::{Backbone, Head};
use super::decoder;
use super::layers::layer;
use crate::Result;
use crate::ops::{Attention, Rotary, attention, embedding, residual, rms_norm, swiglu};
use crate::text::{Kind, Packed};
use crate::weights::{Init, Mode, ParamSpec, Params, View};

impl Backbone for Llama {
    fn name(&self) -> &'static str {
        self.family.class()
    }

    fn kind(&self) -> Kind {
        Kind::Decoder
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

    fn pad_id(&self) -> Option<u32> {
        self.pad_token_id
    }

    fn config_json(&self, head: Head) -> Result<Value> {
        self.to_json(head)
    }

    fn dropout_fields(&self) -> &'static [&'static str] {
        &["attention_dropout"]
    }

    fn weights(&self, head: Head) -> Vec<ParamSpec> {
        let (d, inner) = (self.hidden_size, self.intermediate_size);
        let (q, kv) = (self.num_attention_heads * self.head_width(), self.kv_heads() * self.head_width());
        let normal = Init::Normal(self.initializer_range as f32);
        let mut specs = vec![
            ParamSpec::new(decoder::WORDS, &[self.vocab_size, d], normal),
            ParamSpec::new("model.norm.weight", &[d], Init::Ones),
        ];
        for layer in 0..self.num_hidden_layers {
            let mut add = |name: &str, shape: &[usize], init| {
                specs.push(ParamSpec::new(format!("model.layers.{layer}.{name}"), shape, init));
            };
            add("input_layernorm.weight", &[d], Init::Ones);
            add("post_attention_layernorm.weight", &[d], Init::Ones);
            if self.norms_heads() {
                add("self_attn.q_norm.weight", &[self.head_width()], Init::Ones);
                add("self_attn.k_norm.weight", &[self.head_width()], Init::Ones);
            }
            let (from_x, to_x) = self.attention_biases();
            let mlp = self.mlp_biases();
            for (name, rows, columns, bias) in [
                ("self_attn.q_proj", q, d, from_x),
                ("self_attn.k_proj", kv, d, from_x),
                ("self_attn.v_proj", kv, d, from_x),
                ("self_attn.o_proj", d, q, to_x),
                ("mlp.gate_proj", inner, d, mlp),
                ("mlp.up_proj", inner, d, mlp),
                ("mlp.down_proj", d, inner, mlp),
            ] {
                add(&format!("{name}.weight"), &[rows, columns], normal);
                if bias {
                    add(&format!("{name}.bias"), &[rows], Init::Zeros);
                }
            }
        }
        specs.extend(decoder::head_weight(head, self.tie_word_embeddings, [self.vocab_size, d], normal));
        specs
    }

    fn weight_name(&self, stored: &str) -> Option<String> {
        decoder::weight_name(stored)
    }

    fn heads(&self) -> &'static [&'static str] {
        decoder::HEADS
    }

    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        packed.check(self.vocab_size, None, self.max_position_embeddings)?;
        let spec = Attention {
            heads: self.num_attention_heads,
            kv_heads: self.kv_heads(),
            head_dim: self.head_width(),
            causal: true,
            window: None,
            scale: None,
            soft_cap: None,
            rotary: Some(Rotary::new(self.rope_theta, self.rope_scaling, self.head_width(), packed.longest())),
            offsets: packed.offsets().clone(),
            queries: None,
            dropout: None,
            precision: mode.attention_precision(),
        };
        let weights = params.view(mode).child("model");
        let mut x = embedding(&weights.get("embed_tokens.weight")?, packed.ids())?; // [t, d]
        for index in 0..self.num_hidden_layers {
            let queries = rows.filter(|_| index + 1 == self.num_hidden_layers).map(Into::into);
            let dropout = decoder::attention_dropout(self.attention_dropout, index, mode);
            let spec = Attention { window: self.window(index), dropout, queries, ..spec.clone() };
            let block = move |model: &Self, params: &Params, x: &Tensor, mode: Mode<'_>| {
                model.block(params, index, x, spec.clone(), mode)
            };
            x = layer(self, params, &x, mode, block)?;
        }
        self.norm(&weights, "norm", &x)
    }

    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor> {
        decoder::score(params, read, mode)
    }

    fn token_predictor(&self) -> String {
        decoder::token_predictor(self.tie_word_embeddings)
    }

    fn layers(&self) -> (String, usize) {
        ("model.layers.".to_owned(), self.num_hidden_layers)
    }
}

impl Llama {
    /// # Shapes
    /// `x` `[t, d]` -> `[queries, d]`.
    fn block(&self, params: &Params, index: usize, x: &Tensor, spec: Attention, mode: Mode<'_>) -> Result<Tensor> {
        let layer_weights = |mode| params.view(mode).child("model.layers").child(index);
        let (weights, seen) = (&layer_weights(mode.reading(&spec)), layer_weights(mode).child("self_attn"));
        let normed = self.norm(weights, "input_layernorm", x)?;
        let own = weights.child("self_attn");
        // q is [queries, heads * head_dim], k and v are [t, kv_heads * head_dim].
        let q = self.norm_heads(&own, "q_norm", own.linear("q_proj", &spec.asking(&normed)?)?)?;
        let [k, v] = seen.linears(["k_proj", "v_proj"], &normed)?;
        let k = self.norm_heads(&seen, "k_norm", k)?;
        let x = spec.asking(x)?;
        let mixed = attention(&q, &k, &v, spec)?;
        let x = residual(&x, &own.linear("o_proj", &mixed)?, None)?;

        let normed = self.norm(weights, "post_attention_layernorm", &x)?;
        let mlp = weights.child("mlp");
        let [gate, up] = mlp.linears(["gate_proj", "up_proj"], &normed)?; // [queries, intermediate]
        Ok(residual(&x, &mlp.linear("down_proj", &swiglu(&gate, &up)?)?, None)?)
    }

    /// Norms each head by itself, where the family does.
    ///
    /// # Shapes
    /// `x` `[t, heads * head_dim]` -> the same.
    fn norm_heads(&self, weights: &View<'_>, name: &str, x: Tensor) -> Result<Tensor> {
        if !self.norms_heads() {
            return Ok(x);
        }
        let heads = x.reshape(((), self.head_width()))?; // [t * heads, head_dim]
        Ok(self.norm(weights, name, &heads)?.reshape(x.shape())?)
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(x, &weights.child(name).get("weight")?, self.rms_norm_eps)?)
    }
}
