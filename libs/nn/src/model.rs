//! A ranker of any architecture.

use std::path::Path;

use candle_core::Tensor;
use serde_json::Value;

use crate::Result;
use crate::bert::Bert;
use crate::config::{Architecture, BertConfig, Head, LlamaConfig};
use crate::llama::Llama;
use crate::packed::Packed;
use crate::params::Params;

/// What a forward pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Scores only: no dropout, and no graph is kept, so no gradient can be asked for.
    Eval,
    /// A training step: the graph is kept, and dropout drops what this seed says.
    Train {
        /// Decides which values are dropped; a function of (run seed, step).
        dropout_seed: u64,
    },
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
    pub fn score(&self, packed: &Packed, mode: Mode) -> Result<Tensor> {
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
