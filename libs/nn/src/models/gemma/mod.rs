//! Gemma, Gemma 2 and the text model of Gemma 3: decoders with rotary positions, RMS norm, grouped-query attention and GeGLU.
//!
//! The weight of a norm is what it multiplies by, less 1. The names of the weights are those of Hugging Face
//! `Gemma...ForCausalLM` and `Gemma...ForSequenceClassification`.

mod config;
mod rotary;

use candle_core::Tensor;
use serde_json::Value;

pub use config::{Family, Gemma};
pub use rotary::LinearScaling;

use super::backbone::{Backbone, Head};
use super::decoder;
use super::layers::layer;
use crate::Result;
use crate::ops::{Attention, Rotary, attention, embedding, geglu_tanh, residual, rms_norm};
use crate::text::{Kind, Packed};
use crate::weights::{Init, Mode, ParamSpec, Params, View};

impl Backbone for Gemma {
    fn name(&self) -> &'static str {
        self.family.class(Head::Score)
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
        let (q, kv) = (self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim);
        let normal = Init::Normal(self.initializer_range as f32);
        let mut specs = vec![
            ParamSpec::new(decoder::WORDS, &[self.vocab_size, d], normal),
            ParamSpec::new("model.norm.weight", &[d], Init::Zeros),
        ];
        for layer in 0..self.num_hidden_layers {
            let mut add = |name: &str, shape: &[usize], init| {
                specs.push(ParamSpec::new(format!("model.layers.{layer}.{name}"), shape, init));
            };
            for norm in self.norms() {
                add(&format!("{norm}.weight"), &[d], Init::Zeros);
            }
            if self.norms_heads() {
                add("self_attn.q_norm.weight", &[self.head_dim], Init::Zeros);
                add("self_attn.k_norm.weight", &[self.head_dim], Init::Zeros);
            }
            for (name, rows, columns, bias) in [
                ("self_attn.q_proj", q, d, self.attention_bias),
                ("self_attn.k_proj", kv, d, self.attention_bias),
                ("self_attn.v_proj", kv, d, self.attention_bias),
                ("self_attn.o_proj", d, q, self.attention_bias),
                ("mlp.gate_proj", inner, d, false),
                ("mlp.up_proj", inner, d, false),
                ("mlp.down_proj", d, inner, false),
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
        let [full, sliding] = self.rotary(packed.longest());
        let spec = Attention {
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            causal: true,
            window: None,
            scale: Some(self.attention_scale()),
            soft_cap: self.attn_logit_softcapping.map(|cap| cap as f32),
            rotary: Some(full),
            offsets: packed.offsets().clone(),
            queries: None,
            dropout: None,
            precision: mode.attention_precision(),
        };
        let local = Attention { window: self.sliding_window, rotary: Some(sliding), ..spec.clone() };
        let weights = params.view(mode).child("model");
        let embedded = embedding(&weights.get("embed_tokens.weight")?, packed.ids())?;
        let mut x = (embedded * (self.hidden_size as f64).sqrt())?; // [t, d]
        for index in 0..self.num_hidden_layers {
            let queries = rows.filter(|_| index + 1 == self.num_hidden_layers).map(Into::into);
            let spec = if self.slides(index) { &local } else { &spec };
            let dropout = decoder::attention_dropout(self.attention_dropout, index, mode);
            let spec = Attention { dropout, queries, ..spec.clone() };
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

    fn logit_cap(&self) -> Option<f32> {
        self.final_logit_softcapping.map(|cap| cap as f32)
    }

    fn layers(&self) -> (String, usize) {
        ("model.layers.".to_owned(), self.num_hidden_layers)
    }
}

impl Gemma {
    /// The norms of a block, in the order they are computed in.
    fn norms(&self) -> &'static [&'static str] {
        if self.norms_after() {
            &["input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm", "post_feedforward_layernorm"]
        } else {
            &["input_layernorm", "post_attention_layernorm"]
        }
    }

    /// The positions of the layers that see everything, and of those with a sliding window.
    fn rotary(&self, positions: usize) -> [Rotary; 2] {
        let full = match self.rope_scaling {
            None => Rotary::new(self.rope_theta, None, self.head_dim, positions),
            Some(LinearScaling { factor }) => Rotary::stretched(self.rope_theta, factor, self.head_dim, positions),
        };
        let local = self.rope_local_base_freq.map(|theta| Rotary::new(theta, None, self.head_dim, positions));
        [full.clone(), local.unwrap_or(full)]
    }

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
        let mixed = own.linear("o_proj", &attention(&q, &k, &v, spec)?)?;
        if !self.norms_after() {
            let x = residual(&x, &mixed, None)?;
            let fed = self.feed_forward(weights, &self.norm(weights, "post_attention_layernorm", &x)?)?;
            return Ok(residual(&x, &fed, None)?);
        }
        let x = residual(&x, &self.norm(weights, "post_attention_layernorm", &mixed)?, None)?;
        let fed = self.feed_forward(weights, &self.norm(weights, "pre_feedforward_layernorm", &x)?)?;
        Ok(residual(&x, &self.norm(weights, "post_feedforward_layernorm", &fed)?, None)?)
    }

    /// # Shapes
    /// `x` `[queries, d]` -> the same.
    fn feed_forward(&self, weights: &View<'_>, x: &Tensor) -> Result<Tensor> {
        let mlp = weights.child("mlp");
        let [gate, up] = mlp.linears(["gate_proj", "up_proj"], x)?; // [queries, intermediate]
        mlp.linear("down_proj", &geglu_tanh(&gate, &up)?)
    }

    /// Norms each head by itself, where the family does.
    ///
    /// # Shapes
    /// `x` `[t, heads * head_dim]` -> the same.
    fn norm_heads(&self, weights: &View<'_>, name: &str, x: Tensor) -> Result<Tensor> {
        if !self.norms_heads() {
            return Ok(x);
        }
        let heads = x.reshape(((), self.head_dim))?; // [t * heads, head_dim]
        Ok(self.norm(weights, name, &heads)?.reshape(x.shape())?)
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        let factor = (weights.child(name).get("weight")? + 1.0)?;
        Ok(rms_norm(x, &factor, self.rms_norm_eps)?)
    }
}
