//! A ranker of any architecture.

use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use crate::Result;
use crate::bert::Bert;
use crate::config::{Architecture, BertConfig, Head, LlamaConfig};
use crate::llama::Llama;
use crate::lora::LoraConfig;
use crate::ops::{Attention, Tape};
use crate::packed::Packed;
use crate::params::Params;
use crate::precision::Precision;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy)]
pub enum Mode<'a> {
    /// Scores only: no dropout, and no graph is kept, so no gradient can be asked for.
    Eval(Precision),
    /// A training step: the graph is kept, and dropout drops what this seed says.
    Train {
        /// Decides which values are dropped; a function of (run seed, step).
        dropout_seed: u64,
        /// Where given, each layer keeps its input alone and is computed again in the backward pass, which is
        /// [`Tape::backward`].
        tape: Option<&'a Tape>,
        /// Of the products, forward and backward; [`Precision`] says of which.
        precision: Precision,
    },
}

impl Mode<'_> {
    /// The same pass with every layer kept.
    pub(crate) fn without_tape(self) -> Mode<'static> {
        match self {
            Mode::Eval(precision) => Mode::Eval(precision),
            Mode::Train { dropout_seed, precision, .. } => Mode::Train { dropout_seed, tape: None, precision },
        }
    }

    /// The same pass in `f32`.
    pub(crate) fn exact(self) -> Self {
        match self {
            Mode::Eval(_) => Mode::Eval(Precision::F32),
            Mode::Train { dropout_seed, tape, .. } => Mode::Train { dropout_seed, tape, precision: Precision::F32 },
        }
    }

    /// The pass of the tokens whose queries a layer is computed for: in `f32` where only some are read. A loss on scores
    /// lives on small differences between tokens that are nearly equal, which rounding would drown, and these are few.
    /// Language-model losses, which read more, take the same way, and their last layer gains less from bf16.
    pub(crate) fn reading(self, attention: &Attention) -> Self {
        if attention.queries.is_some() { self.exact() } else { self }
    }

    pub(crate) fn precision(self) -> Precision {
        match self {
            Mode::Eval(precision) | Mode::Train { precision, .. } => precision,
        }
    }
}

/// Runs a layer of a model; where the pass has a tape, the layer is computed again in the backward pass.
pub(crate) fn layer<M: Clone + Send + Sync + 'static>(
    model: &M,
    x: &Tensor,
    mode: Mode<'_>,
    run: impl Fn(&M, &Tensor, Mode<'_>) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    let Mode::Train { tape: Some(tape), .. } = mode else { return run(model, x, mode) };
    let (model, mode) = (model.clone(), mode.without_tape());
    tape.block(x, move |x| run(&model, x, mode))
}

/// A model that gives one raw logit per sequence.
#[derive(Debug, Clone)]
pub enum Ranker {
    /// A decoder scored at its last token.
    Llama(Llama),
    /// A cross-encoder scored at its first token.
    Bert(Bert),
}

impl Ranker {
    /// Loads a ranker from the parsed config.json and the weights' files.
    pub fn load<P: AsRef<Path>>(config: &Value, files: &[P]) -> Result<Self> {
        match Architecture::of(config)? {
            Architecture::Llama => Llama::load(LlamaConfig::from_json(config)?, Head::Score, files).map(Self::Llama),
            Architecture::Bert => Bert::load(BertConfig::from_json(config)?, files).map(Self::Bert),
        }
    }

    /// Loads the body of a base model, whatever its head; the scoring head starts from the seed where it is missing.
    pub fn load_base<P: AsRef<Path>>(config: &Value, files: &[P], seed: u64) -> Result<Self> {
        match Architecture::of(config)? {
            Architecture::Llama => {
                Llama::load_base(LlamaConfig::from_json(config)?, Head::Score, files, seed).map(Self::Llama)
            }
            Architecture::Bert => Bert::load_base(BertConfig::from_json(config)?, files, seed).map(Self::Bert),
        }
    }

    /// The raw logit of each sequence.
    ///
    /// # Shapes
    /// `packed` of `n` sequences -> `[n]`.
    pub fn score(&self, packed: &Packed, mode: Mode<'_>) -> Result<Tensor> {
        match self {
            Self::Llama(model) => model.score(packed, mode),
            Self::Bert(model) => model.score(packed, mode),
        }
    }

    /// The weights.
    pub fn params(&self) -> &Params {
        match self {
            Self::Llama(model) => model.params(),
            Self::Bert(model) => model.params(),
        }
    }

    /// This model with its weights frozen and updates of low rank beside them; the scoring head is trained as it is.
    ///
    /// # Errors
    /// As [`Params::with_lora`].
    pub fn with_lora(&self, lora: &LoraConfig, seed: u64) -> Result<Self> {
        Ok(match self {
            Self::Llama(model) => Self::Llama(model.with_lora(lora, seed)?),
            Self::Bert(model) => Self::Bert(model.with_lora(lora, seed)?),
        })
    }

    /// This model with the updates of low rank added to its weights, all of which can be trained again.
    pub fn merged(&self) -> Result<Self> {
        Ok(match self {
            Self::Llama(model) => Self::Llama(model.merged()?),
            Self::Bert(model) => Self::Bert(model.merged()?),
        })
    }

    /// config.json as Hugging Face transformers reads it.
    pub fn config_json(&self) -> Result<Value> {
        match self {
            Self::Llama(model) => model.config_json(),
            Self::Bert(model) => model.config().to_json(),
        }
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::Llama(_) => Architecture::Llama,
            Self::Bert(_) => Architecture::Bert,
        }
    }

    /// The number of token ids the model knows.
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Llama(model) => model.config().vocab_size,
            Self::Bert(model) => model.config().vocab_size,
        }
    }

    /// The longest sequence the model takes, in tokens.
    pub fn max_tokens(&self) -> usize {
        match self {
            Self::Llama(model) => model.config().max_position_embeddings,
            Self::Bert(model) => model.config().max_position_embeddings,
        }
    }
}
