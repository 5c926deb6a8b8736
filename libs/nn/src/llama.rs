//! Llama: a decoder with rotary positions, RMS norm, grouped-query attention and SwiGLU; with the biases, head norms and
//! sliding windows of its siblings Mistral, Qwen2 and Qwen3.
//!
//! The block is that of arXiv 2302.13971, the names of the weights those of Hugging Face `LlamaForCausalLM` and
//! `LlamaForSequenceClassification`, which the siblings share.

use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use crate::config::{Head, LlamaConfig};
use crate::lora::LoraConfig;
use crate::model::{Mode, layer};
use crate::ops::{Attention, Dropout, Rotary, attention, cross_entropy, embedding, linear, residual, rms_norm, swiglu};
use crate::packed::Packed;
use crate::params::{Init, ParamSpec, Params, View};
use crate::precision::Precision;
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
        let params = Params::load(files, &specs(&config, head), canonical)?;
        Ok(Self { config, head, params })
    }

    /// Loads the body of a model whatever its head; this head starts from the seed where the files lack it.
    pub fn load_base<P: AsRef<Path>>(config: LlamaConfig, head: Head, files: &[P], seed: u64) -> Result<Self> {
        config.check()?;
        let is_head = |name: &str| matches!(name, SCORE | LM_HEAD);
        let params = Params::load_body(files, &specs(&config, head), canonical, seed, is_head)?;
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

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// As [`crate::model::Ranker::with_lora`]; a language model's head stays frozen.
    pub fn with_lora(&self, lora: &LoraConfig, seed: u64) -> Result<Self> {
        let is_head = |name: &str| matches!(name, SCORE | LM_HEAD);
        let params = self.params.with_lora(lora, seed, is_head, self.head == Head::Score)?;
        Ok(Self { params, ..self.clone() })
    }

    /// As [`crate::model::Ranker::merged`].
    pub fn merged(&self) -> Result<Self> {
        Ok(Self { params: self.params.merged()?, ..self.clone() })
    }

    /// The last block's output after the final norm for the tokens `rows` of the batch, in increasing order, or for all:
    /// nothing is computed there that only other tokens' output depends on.
    ///
    /// # Shapes
    /// `packed` of `t` tokens -> `[rows, d]`, or `[t, d]`.
    pub fn hidden(&self, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        let config = &self.config;
        packed.check(config.vocab_size, None, config.max_position_embeddings)?;
        let spec = Attention {
            heads: config.num_attention_heads,
            kv_heads: config.kv_heads(),
            head_dim: config.head_width(),
            causal: true,
            window: None,
            rotary: Some(Rotary::new(config.rope_theta, config.rope_scaling, config.head_width(), packed.longest())),
            offsets: packed.offsets().clone(),
            queries: None,
            dropout: None,
        };
        let dropout = |layer: usize| match mode {
            Mode::Train { dropout_seed, .. } if config.attention_dropout > 0.0 => {
                Some(Dropout::new(config.attention_dropout, dropout_seed).part(layer as u64))
            }
            _ => None,
        };
        let weights = self.params.view(mode).child("model");
        let mut x = embedding(&weights.get("embed_tokens.weight")?, packed.ids())?; // [t, d]
        for index in 0..config.num_hidden_layers {
            let queries = rows.filter(|_| index + 1 == config.num_hidden_layers).map(Into::into);
            let spec = Attention { window: config.window(index), dropout: dropout(index), queries, ..spec.clone() };
            let block = move |model: &Self, x: &Tensor, mode: Mode<'_>| model.block(index, x, spec.clone(), mode);
            x = layer(self, &x, mode, block)?;
        }
        self.norm(&weights, "norm", &x)
    }

    /// # Shapes
    /// `x` `[t, d]` -> `[queries, d]`.
    fn block(&self, index: usize, x: &Tensor, spec: Attention, mode: Mode<'_>) -> Result<Tensor> {
        let layer_weights = |mode| self.params.view(mode).child("model.layers").child(index);
        let (weights, seen) = (&layer_weights(mode.reading(&spec)), layer_weights(mode).child("self_attn"));
        let normed = self.norm(weights, "input_layernorm", x)?;
        let own = weights.child("self_attn");
        // q is [queries, heads * head_dim], k and v are [t, kv_heads * head_dim].
        let q = self.norm_heads(&own, "q_norm", own.linear("q_proj", &spec.asking(&normed)?)?)?;
        let k = self.norm_heads(&seen, "k_norm", seen.linear("k_proj", &normed)?)?;
        let v = seen.linear("v_proj", &normed)?;
        let x = spec.asking(x)?;
        let mixed = attention(&q, &k, &v, spec)?;
        let x = residual(&x, &own.linear("o_proj", &mixed)?, None)?;

        let normed = self.norm(weights, "post_attention_layernorm", &x)?;
        let mlp = weights.child("mlp");
        let gate = mlp.linear("gate_proj", &normed)?; // [queries, intermediate]
        let up = mlp.linear("up_proj", &normed)?;
        Ok(residual(&x, &mlp.linear("down_proj", &swiglu(&gate, &up)?)?, None)?)
    }

    /// Norms each head by itself, where the family does.
    ///
    /// # Shapes
    /// `x` `[t, heads * head_dim]` -> the same.
    fn norm_heads(&self, weights: &View<'_>, name: &str, x: Tensor) -> Result<Tensor> {
        if !self.config.norms_heads() {
            return Ok(x);
        }
        let heads = x.reshape(((), self.config.head_width()))?; // [t * heads, head_dim]
        Ok(self.norm(weights, name, &heads)?.reshape(x.shape())?)
    }

    fn norm(&self, weights: &View<'_>, name: &str, x: &Tensor) -> Result<Tensor> {
        Ok(rms_norm(x, &weights.child(name).get("weight")?, self.config.rms_norm_eps)?)
    }

    /// The mean cross-entropy of the tokens of each sequence `i` from index `loss_start[i]` on, each predicted from the
    /// tokens before it; the first token of a sequence has none and is never predicted.
    ///
    /// # Shapes
    /// `packed` of `n` sequences, `loss_start` of length `n` -> scalar.
    pub fn lm_loss(&self, packed: &Packed, loss_start: &[usize], mode: Mode<'_>) -> Result<Tensor> {
        self.expect(Head::LanguageModel)?;
        let (rows, targets) = prediction_rows(packed, loss_start)?;
        let hidden = self.hidden(packed, Some(&rows), mode)?; // [predicted, d]
        let name = if self.config.tie_word_embeddings { "model.embed_tokens.weight" } else { LM_HEAD };
        Ok(cross_entropy(&hidden, &self.params.view(mode).get(name)?, &targets, mode.precision())?)
    }

    /// The raw logit of each sequence, read at its last token.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n]`.
    pub fn score(&self, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        self.expect(Head::Score)?;
        let last = self.hidden(packed, Some(&packed.last_tokens()), mode)?; // [n, d]
        Ok(linear(&last, &self.params.view(mode).get(SCORE)?, None, Precision::F32)?.flatten_all()?)
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

/// Files of a bare decoder leave out the `model.`; old ones hold the rotary angles as well.
fn canonical(name: &str) -> Option<String> {
    if name.ends_with(".rotary_emb.inv_freq") {
        return None;
    }
    let bare = ["embed_tokens.", "layers.", "norm."].iter().any(|part| name.starts_with(part));
    Some(if bare { format!("model.{name}") } else { name.to_owned() })
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
            specs.push(ParamSpec::new(format!("model.layers.{layer}.{name}"), shape, init));
        };
        add("input_layernorm.weight", &[d], Init::Ones);
        add("post_attention_layernorm.weight", &[d], Init::Ones);
        if config.norms_heads() {
            add("self_attn.q_norm.weight", &[config.head_width()], Init::Ones);
            add("self_attn.k_norm.weight", &[config.head_width()], Init::Ones);
        }
        let (from_x, to_x) = config.attention_biases();
        let mlp = config.mlp_biases();
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
