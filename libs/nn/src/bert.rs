//! BERT: an encoder with learnt positions, layer norm after each residual, and GELU (arXiv 1810.04805).
//!
//! The weights have the names of Hugging Face `BertForSequenceClassification` with one label.

use std::path::Path;

use candle_core::Tensor;

use crate::config::BertConfig;
use crate::lora::LoraConfig;
use crate::model::{Mode, layer};
use crate::ops::{Attention, Dropout, attention, cross_entropy, dropout, embedding, gelu, layer_norm, residual};
use crate::packed::Packed;
use crate::params::{Init, ParamSpec, Params, View};
use crate::{Error, Result};

/// What the names of the layers' weights begin with.
const LAYERS: &str = "bert.encoder.layer.";

/// A BERT cross-encoder.
#[derive(Debug, Clone)]
pub struct Bert {
    config: BertConfig,
    params: Params,
}

impl Bert {
    /// A fresh model: its weights are a function of (config, seed).
    pub fn new(config: BertConfig, seed: u64) -> Result<Self> {
        config.check()?;
        let params = Params::init(&specs(&config), seed)?;
        Ok(Self { config, params })
    }

    /// Loads exactly the weights of this architecture.
    pub fn load<P: AsRef<Path>>(config: BertConfig, files: &[P]) -> Result<Self> {
        config.check()?;
        let params = Params::load(files, &specs(&config), canonical)?;
        Ok(Self { config, params })
    }

    /// Loads the encoder of a model whatever its head; pooler and classifier start from the seed where the files lack
    /// them.
    pub fn load_base<P: AsRef<Path>>(config: BertConfig, files: &[P], seed: u64) -> Result<Self> {
        config.check()?;
        let params = Params::load_body(files, &specs(&config), canonical, seed, is_head)?;
        Ok(Self { config, params })
    }

    /// The configuration.
    pub fn config(&self) -> &BertConfig {
        &self.config
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// As [`crate::model::Ranker::with_lora`].
    pub fn with_lora(&self, lora: &LoraConfig, seed: u64) -> Result<Self> {
        Ok(Self { params: self.params.with_lora(lora, seed, is_head, true)?, ..self.clone() })
    }

    /// As [`crate::model::Ranker::merged`].
    pub fn merged(&self) -> Result<Self> {
        Ok(Self { params: self.params.merged()?, ..self.clone() })
    }

    /// A shallower model of the layers `keep` alone, in their order, with embeddings, pooler and head as they are. It has
    /// these very weights: training it trains this model.
    ///
    /// # Errors
    /// Layers that are not there, or not in increasing order.
    pub fn keeping(&self, keep: &[usize]) -> Result<Self> {
        let layers = self.config.num_hidden_layers;
        if keep.is_empty() || !keep.is_sorted_by(|a, b| a < b) || keep.iter().any(|&layer| layer >= layers) {
            return Err(Error::Config {
                field: "keep_layers",
                found: format!("{keep:?}"),
                expected: format!("layers below {layers} of the base model, in increasing order"),
            });
        }
        let params = self.params.renamed(|name| {
            let Some(rest) = name.strip_prefix(LAYERS) else { return Some(name.to_owned()) };
            let (layer, weight) = rest.split_once('.')?;
            let kept = keep.binary_search(&layer.parse().ok()?).ok()?;
            Some(format!("{LAYERS}{kept}.{weight}"))
        });
        Ok(Self { config: BertConfig { num_hidden_layers: keep.len(), ..self.config.clone() }, params })
    }

    /// The last block's output for the tokens `rows` of the batch, in increasing order, or for all: nothing is computed
    /// there that only other tokens' output depends on.
    ///
    /// # Shapes
    /// `packed` of `t` tokens -> `[rows, d]`, or `[t, d]`.
    pub fn hidden(&self, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor> {
        let config = &self.config;
        packed.check(config.vocab_size, Some(config.type_vocab_size), config.max_position_embeddings)?;
        let mut drops = Drops::after(0, mode);
        let embeddings = self.params.view(mode).child("bert.embeddings");
        let mut x = self.embed(&embeddings, packed, &mut drops)?; // [t, d]
        for index in 0..config.num_hidden_layers {
            let spec = Attention {
                heads: config.num_attention_heads,
                kv_heads: config.num_attention_heads,
                head_dim: config.hidden_size / config.num_attention_heads,
                causal: false,
                window: None,
                rotary: None,
                offsets: packed.offsets().clone(),
                queries: rows.filter(|_| index + 1 == config.num_hidden_layers).map(Into::into),
                dropout: None,
            };
            let block = move |model: &Self, x: &Tensor, mode: Mode<'_>| model.block(index, x, spec.clone(), mode);
            x = layer(self, &x, mode, block)?;
        }
        Ok(x)
    }

    /// # Shapes
    /// `packed` of `t` tokens -> `[t, d]`.
    fn embed(&self, weights: &View<'_>, packed: &Packed, drops: &mut Drops) -> Result<Tensor> {
        let words = embedding(&weights.get("word_embeddings.weight")?, packed.ids())?;
        let types = embedding(&weights.get("token_type_embeddings.weight")?, packed.type_ids())?;
        let positions = embedding(&weights.get("position_embeddings.weight")?, &packed.positions())?;
        let x = self.norm(weights, &((words + types)? + positions)?)?;
        drops.drop(&x, self.config.hidden_dropout_prob)
    }

    /// # Shapes
    /// `x` `[t, d]` -> `[queries, d]`.
    fn block(&self, index: usize, x: &Tensor, spec: Attention, mode: Mode<'_>) -> Result<Tensor> {
        let layer_weights = |mode| self.params.view(mode).child("bert.encoder.layer").child(index);
        let (weights, seen) = (layer_weights(mode.reading(&spec)), layer_weights(mode).child("attention.self"));
        // The embeddings drop at one place, a block at three.
        let drops = &mut Drops::after(1 + 3 * index as u64, mode);
        let asking = spec.asking(x)?;
        let q = weights.child("attention.self").linear("query", &asking)?; // [queries, d]
        let (k, v) = (seen.linear("key", x)?, seen.linear("value", x)?); // [t, d]
        let spec = Attention { dropout: drops.next(self.config.attention_probs_dropout_prob), ..spec };
        let mixed = attention(&q, &k, &v, spec)?;
        let x = self.residual(&weights.child("attention.output"), &mixed, &asking, drops)?;
        let inner = gelu(&weights.linear("intermediate.dense", &x)?)?; // [queries, intermediate]
        self.residual(&weights.child("output"), &inner, &x, drops)
    }

    /// `norm(x + dropout(dense(inner)))`.
    fn residual(&self, weights: &View<'_>, inner: &Tensor, x: &Tensor, drops: &mut Drops) -> Result<Tensor> {
        let update = weights.linear("dense", inner)?;
        let sum = residual(x, &update, drops.next(self.config.hidden_dropout_prob))?;
        self.norm(weights, &sum)
    }

    fn norm(&self, weights: &View<'_>, x: &Tensor) -> Result<Tensor> {
        let norm = weights.child("LayerNorm");
        Ok(layer_norm(x, &norm.get("weight")?, &norm.get("bias")?, self.config.layer_norm_eps)?)
    }

    /// The weights a masked language model trains: all but the pooler and the scoring head.
    pub fn encoder_params(&self) -> Params {
        self.params.only(|name| name.starts_with("bert.embeddings.") || name.starts_with("bert.encoder."))
    }

    /// The mean cross-entropy of `targets`, the true tokens at `rows`, predicted by the word embedding (Devlin et al. 2019,
    /// section 3.1, with input and output embedding tied and without the extra transformation before them).
    ///
    /// # Shapes
    /// `packed` of `t` tokens, `rows` (increasing, below `t`) and `targets` of one length, at least 1 -> scalar.
    pub fn masked_loss(&self, packed: &Packed, rows: &[u32], targets: &[u32], mode: Mode<'_>) -> Result<Tensor> {
        let hidden = self.hidden(packed, Some(rows), mode)?; // [masked, d]
        let words = self.params.view(mode).get("bert.embeddings.word_embeddings.weight")?;
        Ok(cross_entropy(&hidden, &words, targets, mode.precision())?)
    }

    /// The raw logit of each sequence, read at its first token.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n]`.
    pub fn score(&self, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        let first = self.hidden(packed, Some(&packed.first_tokens()), mode)?; // [n, d]
        let weights = self.params.view(mode.exact());
        let pooled = weights.linear("bert.pooler.dense", &first)?.tanh()?;
        // A mask of its own, after those of the encoder.
        let mut drops = Drops::after(u64::MAX / 2, mode);
        let pooled = drops.drop(&pooled, self.config.pooled_dropout())?;
        Ok(weights.linear("classifier", &pooled)?.flatten_all()?)
    }
}

/// Whether a weight is no part of the encoder.
fn is_head(name: &str) -> bool {
    ["bert.pooler.", "classifier.", "cls."].iter().any(|head| name.starts_with(head))
}

/// Hands every place of the forward pass a dropout mask of its own.
struct Drops {
    seed: Option<u64>,
    place: u64,
}

impl Drops {
    /// The places of a pass after the first `place`.
    fn after(place: u64, mode: Mode<'_>) -> Self {
        let seed = match mode {
            Mode::Eval(_) => None,
            Mode::Train { dropout_seed, .. } => Some(dropout_seed),
        };
        Self { seed, place }
    }

    /// The next place's mask, if this pass drops anything.
    fn next(&mut self, p: f64) -> Option<Dropout> {
        self.place += 1;
        let dropout = Dropout::new(p, self.seed?).part(self.place);
        (!dropout.is_none()).then_some(dropout)
    }

    fn drop(&mut self, x: &Tensor, p: f64) -> Result<Tensor> {
        match self.next(p) {
            Some(mask) => Ok(dropout(x, mask)?),
            None => Ok(x.clone()),
        }
    }
}

/// Files of a bare encoder leave out the `bert.`, those made from TensorFlow say `gamma` and `beta`, and some hold the
/// numbers of the positions as well.
fn canonical(name: &str) -> Option<String> {
    if name.ends_with("embeddings.position_ids") {
        return None;
    }
    let name = name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let bare = ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part));
    Some(if bare { format!("bert.{name}") } else { name })
}

/// Every weight of the model.
fn specs(config: &BertConfig) -> Vec<ParamSpec> {
    let (d, inner) = (config.hidden_size, config.intermediate_size);
    let normal = Init::Normal(config.initializer_range as f32);
    let table =
        |name: &str, rows| ParamSpec::new(format!("bert.embeddings.{name}_embeddings.weight"), &[rows, d], normal);
    let mut specs = vec![
        table("word", config.vocab_size),
        table("position", config.max_position_embeddings),
        table("token_type", config.type_vocab_size),
    ];
    let mut dense = |name: String, shape: [usize; 2]| {
        specs.push(ParamSpec::new(format!("{name}.weight"), &shape, normal));
        specs.push(ParamSpec::new(format!("{name}.bias"), &shape[..1], Init::Zeros));
    };
    for layer in 0..config.num_hidden_layers {
        let layer = format!("bert.encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            dense(format!("{layer}.attention.self.{part}"), [d, d]);
        }
        dense(format!("{layer}.attention.output.dense"), [d, d]);
        dense(format!("{layer}.intermediate.dense"), [inner, d]);
        dense(format!("{layer}.output.dense"), [d, inner]);
    }
    dense("bert.pooler.dense".into(), [d, d]);
    dense("classifier".into(), [1, d]);

    let layers = (0..config.num_hidden_layers).map(|layer| format!("bert.encoder.layer.{layer}"));
    let norms = layers.flat_map(|layer| [format!("{layer}.attention.output"), format!("{layer}.output")]);
    for norm in norms.chain(["bert.embeddings".into()]) {
        specs.push(ParamSpec::new(format!("{norm}.LayerNorm.weight"), &[d], Init::Ones));
        specs.push(ParamSpec::new(format!("{norm}.LayerNorm.bias"), &[d], Init::Zeros));
    }
    specs
}
