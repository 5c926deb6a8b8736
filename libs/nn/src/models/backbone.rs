//! What an architecture has to say about itself.

use std::fmt;
use std::sync::Arc;

use candle_core::Tensor;
use serde_json::Value;

use super::encoder::Encoder;
use crate::text::{Kind, Packed, Pooling};
use crate::weights::{Mode, ParamSpec, Params};
use crate::{Error, Result};

/// What a model ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// Logits over the vocabulary for the next token, which a decoder alone can predict: `...ForCausalLM`.
    LanguageModel,
    /// One raw logit per sequence: `...ForSequenceClassification` with one label.
    Score,
    /// A logit for each grade from 0, this many: `...ForSequenceClassification` with as many labels. The score is the grade
    /// that is expected under their softmax.
    Grades(usize),
}

impl Head {
    /// The name in errors.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::LanguageModel => "LanguageModel",
            Self::Score => "Score",
            Self::Grades(_) => "Grades",
        }
    }

    /// How the class of transformers that has this head ends.
    pub(super) fn class(self) -> &'static str {
        match self {
            Self::LanguageModel => "ForCausalLM",
            Self::Score | Self::Grades(_) => "ForSequenceClassification",
        }
    }

    /// The head that gives a loss its outputs: this many logits per sequence.
    pub fn of_outputs(outputs: usize) -> Self {
        if outputs == 1 { Self::Score } else { Self::Grades(outputs) }
    }

    /// Logits of a sequence that a head which scores gives.
    pub fn outputs(self) -> usize {
        match self {
            Self::Grades(grades) => grades,
            Self::Score | Self::LanguageModel => 1,
        }
    }
}

/// An architecture with its sizes, as config.json gives them: the weights it has and what it computes with them. The
/// values of the weights belong to a [`Model`](super::Model).
///
/// Weights have the names that Hugging Face transformers gives them.
pub trait Backbone: fmt::Debug + Send + Sync {
    /// How the names of its transformers classes begin: `Bert` of `BertForSequenceClassification`.
    fn name(&self) -> &'static str;

    /// Encoder or decoder.
    fn kind(&self) -> Kind;

    /// What the score is read from.
    fn pooling(&self) -> Pooling {
        self.kind().pooling()
    }

    /// What the body computes, where it is that of BERT or a descendant's: all that another runtime needs to know beside the
    /// weights.
    fn body(&self) -> Option<Encoder> {
        None
    }

    /// Refuses sizes that do not fit together.
    ///
    /// # Errors
    /// The field that does not fit.
    fn check(&self) -> Result<()>;

    /// Rows of the token embedding.
    fn vocab_size(&self) -> usize;

    /// The longest sequence it takes, in tokens.
    fn max_tokens(&self) -> usize;

    /// The padding token, which transformers passes over where it looks for the last token of a decoder's sequence.
    fn pad_id(&self) -> Option<u32> {
        None
    }

    /// config.json as transformers reads it.
    ///
    /// # Errors
    /// A field that JSON cannot hold.
    fn config_json(&self, head: Head) -> Result<Value>;

    /// The fields of config.json that hold a share of values to drop while training.
    fn dropout_fields(&self) -> &'static [&'static str];

    /// Every weight, that of the head included.
    fn weights(&self, head: Head) -> Vec<ParamSpec>;

    /// The weight that a file stores under the name `stored`, where files of other tools or versions name it differently;
    /// `None` where the tensor is no weight.
    fn weight_name(&self, stored: &str) -> Option<String>;

    /// The modules that are no part of the body: those of the scoring head in the order of their names, then heads of other
    /// tasks that a base model's files may hold.
    fn heads(&self) -> &'static [&'static str];

    /// The output of the last layer for the tokens `rows` of the batch, in increasing order, or for all. The last layer
    /// computes nothing that only other tokens depend on.
    ///
    /// # Shapes
    /// `packed` of `t` tokens -> `[rows, d]`, or `[t, d]`.
    ///
    /// # Errors
    /// Tokens outside the vocabulary; a sequence that is too long.
    fn hidden(&self, params: &Params, packed: &Packed, rows: Option<&[u32]>, mode: Mode<'_>) -> Result<Tensor>;

    /// The logits of each sequence, one sequence's after the other's, from the last layer's output for what the score is read
    /// from: one of [`Head::Score`].
    ///
    /// # Shapes
    /// `read` `[n, d]` -> `[n * outputs]`.
    ///
    /// # Errors
    /// A failed tensor operation.
    fn score(&self, params: &Params, read: &Tensor, mode: Mode<'_>) -> Result<Tensor>;

    /// The weight `[vocab_size, d]` that turns the last layer's output into logits over the vocabulary, to predict masked
    /// words (encoders) or the next token (decoders).
    fn token_predictor(&self) -> String;

    /// The bound of these logits, where they have one, as [`cross_entropy`](crate::ops::cross_entropy) applies it.
    fn logit_cap(&self) -> Option<f32> {
        None
    }

    /// The weight `[d, e]` that makes embeddings of width `e` as wide as the layers, where they are narrower. Its transpose
    /// leads from the last layer's output back to them, before [`Self::token_predictor`].
    fn embedding_projection(&self) -> Option<String> {
        None
    }

    /// What the names of the layers' weights begin with, before the layer's number, and the number of layers.
    fn layers(&self) -> (String, usize);

    /// The same architecture with the layers `keep` alone, which are some of its own in increasing order; `None` where no
    /// model may be made of chosen layers of a deeper one.
    ///
    /// # Errors
    /// Layers that do not make a model of this architecture.
    fn with_layers(&self, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
        let _ = keep;
        Ok(None)
    }
}

/// The architecture of the layers `keep` alone; `None` where the architecture does not allow it.
///
/// # Errors
/// Layers that are not there, or not in increasing order.
pub(crate) fn keeping(backbone: &dyn Backbone, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
    let (_, layers) = backbone.layers();
    if keep.is_empty() || !keep.is_sorted_by(|a, b| a < b) || keep.iter().any(|&layer| layer >= layers) {
        return Err(Error::Config {
            field: "keep_layers",
            found: format!("{keep:?}"),
            expected: format!("layers below {layers} of the base model, in increasing order"),
        });
    }
    backbone.with_layers(keep)
}

/// True if a weight belongs to a head, of whatever task.
pub(crate) fn is_head(backbone: &dyn Backbone, weight: &str) -> bool {
    backbone.heads().iter().any(|head| weight.strip_prefix(head).is_some_and(|rest| rest.starts_with('.')))
}
