//! Llama: a decoder with rotary positions, RMS norm, grouped-query attention and SwiGLU.
//!
//! The block is that of arXiv 2302.13971, the names of the weights those of Hugging Face `LlamaForCausalLM` and
//! `LlamaForSequenceClassification`.

use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use crate::config::{Head, LlamaConfig};
use crate::model::Mode;
use crate::ops::{Attention, Rotary, attention, cross_entropy, embedding, linear, rms_norm, swiglu};
use crate::packed::Packed;
use crate::params::{Init, ParamSpec, Params, View};
use crate::{Error, Result};

/// The weight of the scoring head.
const SCORE: &str = "score.weight";
/// The weight of the language model head, unless it is the embedding.
const LM_HEAD: &str = "lm_head.weight";

/// A Llama decoder with one head.
#[derive(Debug, Clone)]
pub struct Llama {
    config: LlamaConfig,
    head: Head,
    params: Params,
}

impl Llama {
    /// A fresh model: its weights are a function of (config, head, seed).
    pub fn new(config: LlamaConfig, head: Head, seed: u64) -> Result<Self> {
        config.check()?;
        let params = Params::init(&specs(&config, head), seed)?;
        Ok(Self { config, head, params })
    }

    /// Loads exactly the weights of this architecture and head.
    pub fn load<P: AsRef<Path>>(config: LlamaConfig, head: Head, files: &[P]) -> Result<Self> {
        config.check()?;
        let params = Params::load(files, &specs(&config, head))?;
        Ok(Self { config, head, params })
    }

    /// Loads the body of a model whatever its head; this head starts from the seed where the files lack it.
    pub fn load_base<P: AsRef<Path>>(config: LlamaConfig, head: Head, files: &[P], seed: u64) -> Result<Self> {
        config.check()?;
        let is_head = |name: &str| matches!(name, SCORE | LM_HEAD);
        let params = Params::load_body(files, &specs(&config, head), seed, is_head)?;
        Ok(Self { config, head, params })
    }

    /// The configuration.
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// config.json as Hugging Face transformers reads it.
    pub fn config_json(&self) -> Result<Value> {
        self.config.to_json(self.head)
    }

    /// The head.
    pub fn head(&self) -> Head {
        self.head
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The last block's output after the final norm.
    ///
    /// # Shapes
    /// `packed` of `t` tokens -> `[t, d]`.
    pub fn hidden(&self, packed: &Packed, mode: Mode) -> Result<Tensor> {
        let config = &self.config;
        packed.check(config.vocab_size, None, config.max_position_embeddings)?;
        let spec = Attention {
            heads: config.num_attention_heads,
            kv_heads: config.kv_heads(),
            head_dim: config.head_width(),
            causal: true,
            rotary: Some(Rotary::new(config.rope_theta, config.head_width(), packed.longest())),
            offsets: packed.offsets().clone(),
            dropout: None,
        };
        let model = self.params.view(mode).child("model");
        let mut x = embedding(&model.get("embed_tokens.weight")?, packed.ids())?; // [t, d]
        for layer in 0..config.num_hidden_layers {
            x = self.block(&model.child("layers").child(layer), &x, spec.clone())?;
        }
        self.norm(&model, "norm", &x)
    }

    /// # Shapes
    /// `x` `[t, d]` -> `[t, d]`.
    fn block(&self, weights: &View<'_>, x: &Tensor, spec: Attention) -> Result<Tensor> {
        let project = |name: &str, x: &Tensor| Ok::<_, Error>(linear(x, &weights.get(name)?, None)?);
        let normed = self.norm(weights, "input_layernorm", x)?;
        let q = project("self_attn.q_proj.weight", &normed)?; // [t, heads * head_dim]
        let k = project("self_attn.k_proj.weight", &normed)?; // [t, kv_heads * head_dim]
        let v = project("self_attn.v_proj.weight", &normed)?;
        let mixed = attention(&q, &k, &v, spec)?;
        let x = (x + project("self_attn.o_proj.weight", &mixed)?)?;

        let normed = self.norm(weights, "post_attention_layernorm", &x)?;
        let gate = project("mlp.gate_proj.weight", &normed)?; // [t, intermediate]
        let up = project("mlp.up_proj.weight", &normed)?;
        Ok((x + project("mlp.down_proj.weight", &swiglu(&gate, &up)?)?)?)
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(x, &weights.child(name).get("weight")?, self.config.rms_norm_eps)?)
    }

    /// The mean cross-entropy of the tokens of each sequence `i` from index `loss_start[i]` on, each predicted from the
    /// tokens before it; the first token of a sequence has none and is never predicted.
    ///
    /// # Shapes
    /// `packed` of `n` sequences, `loss_start` of length `n` -> scalar.
    pub fn lm_loss(&self, packed: &Packed, loss_start: &[usize], mode: Mode) -> Result<Tensor> {
        self.expect(Head::LanguageModel)?;
        let (rows, targets) = prediction_rows(packed, loss_start)?;
        let hidden = embedding(&self.hidden(packed, mode)?, &rows)?; // [predicted, d]
        let name = if self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { LM_HEAD };
        Ok(cross_entropy(&hidden, &self.params.view(mode).get(name)?, &targets)?)
    }

    /// The raw logit of each sequence, read at its last token.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n]`.
    pub fn score(&self, packed: &Packed, mode: Mode) -> Result<Tensor> {
        self.expect(Head::Score)?;
        let last = embedding(&self.hidden(packed, mode)?, &packed.last_tokens())?; // [n, d]
        Ok(linear(&last, &self.params.view(mode).get(SCORE)?, None)?.flatten_all()?)
    }

    fn expect(&self, expected: Head) -> Result<()> {
        if self.head == expected { Ok(()) } else { Err(Error::Head { found: self.head, expected }) }
    }
}

/// The rows that predict a token with a loss, and these tokens.
fn prediction_rows(packed: &Packed, loss_start: &[usize]) -> Result<(Vec<u32>, Vec<u32>)> {
    if loss_start.len() != packed.sequences() {
        let (found, expected) = (loss_start.len(), packed.sequences());
        return Err(Error::Batch(format!("{found} loss starts for {expected} sequences")));
    }
    let sequences = packed.offsets().windows(2).zip(loss_start);
    let predicted = sequences.flat_map(|(w, &start)| w[0] + start.max(1)..w[1]);
    let (rows, targets): (Vec<u32>, Vec<u32>) = predicted.map(|row| (row as u32 - 1, packed.ids()[row])).unzip();
    if rows.is_empty() {
        return Err(Error::Batch("no token has a loss: every sequence ends before its loss starts".into()));
    }
    Ok((rows, targets))
}

/// Every weight of the model.
fn specs(config: &LlamaConfig, head: Head) -> Vec<ParamSpec> {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let (q, kv) = (config.num_attention_heads * config.head_width(), config.kv_heads() * config.head_width());
    let normal = Init::Normal(config.initializer_range as f32);
    let mut specs = vec![
        ParamSpec::new("model.embed_tokens.weight", &[config.vocab_size, d], normal),
        ParamSpec::new("model.norm.weight", &[d], Init::Ones),
    ];
    for layer in 0..config.num_hidden_layers {
        let mut add = |name: &str, shape: &[usize], init| {
            specs.push(ParamSpec::new(format!("model.layers.{layer}.{name}.weight"), shape, init));
        };
        add("input_layernorm", &[d], Init::Ones);
        add("self_attn.q_proj", &[q, d], normal);
        add("self_attn.k_proj", &[kv, d], normal);
        add("self_attn.v_proj", &[kv, d], normal);
        add("self_attn.o_proj", &[d, q], normal);
        add("post_attention_layernorm", &[d], Init::Ones);
        add("mlp.gate_proj", &[inner, d], normal);
        add("mlp.up_proj", &[inner, d], normal);
        add("mlp.down_proj", &[d, inner], normal);
    }
    match head {
        Head::Score => specs.push(ParamSpec::new(SCORE, &[1, d], normal)),
        Head::LanguageModel if config.tie_word_embeddings => {}
        Head::LanguageModel => specs.push(ParamSpec::new(LM_HEAD, &[config.vocab_size, d], normal)),
    }
    specs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_start_where_they_are_told() {
        let packed = Packed::from_sequences(&[vec![10, 11, 12], vec![20, 21], vec![30, 31, 32]]).unwrap();
        let (rows, targets) = prediction_rows(&packed, &[2, 0, 3]).unwrap();
        assert_eq!(targets, [12, 21]);
        assert_eq!(rows, [1, 3]);
        assert!(prediction_rows(&packed, &[3, 2, 3]).is_err());
        assert!(prediction_rows(&packed, &[0, 0]).is_err());
    }
}
