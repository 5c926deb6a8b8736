//! Architectures of models that start from random weights.

use std::sync::Arc;

use super::backbone::Backbone;
use super::bert::Bert;
use super::llama::Llama;
use crate::Result;
use crate::text::{BEGIN, END, Kind, PAD, Tokenizer};

/// The sizes of a model that starts from random weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sizes {
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width inside the feed-forward block.
    pub intermediate_size: usize,
    /// Layers.
    pub num_hidden_layers: usize,
    /// Attention heads.
    pub num_attention_heads: usize,
    /// Key and value heads of a decoder, each shared by a group of query heads; as many as query heads where absent.
    pub num_key_value_heads: Option<usize>,
    /// Longest sequence in tokens.
    pub max_tokens: usize,
    /// Share of values dropped while training.
    pub dropout: f64,
}

/// The architecture of a model that starts from random weights: BERT for an encoder, Llama with tied embeddings for a
/// decoder.
///
/// # Errors
/// A tokenizer without the special tokens of such a model.
pub fn from_sizes(kind: Kind, sizes: &Sizes, tokenizer: &Tokenizer) -> Result<Arc<dyn Backbone>> {
    let &Sizes { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, max_tokens, dropout, .. } =
        sizes;
    Ok(match kind {
        Kind::Encoder => Arc::new(Bert {
            vocab_size: tokenizer.vocabulary_size(),
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            max_position_embeddings: max_tokens,
            hidden_dropout_prob: dropout,
            attention_probs_dropout_prob: dropout,
            pad_token_id: Some(tokenizer.id("[PAD]")?),
            ..Bert::default()
        }),
        Kind::Decoder => Arc::new(Llama {
            vocab_size: tokenizer.vocabulary_size(),
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: Some(sizes.num_key_value_heads.unwrap_or(num_attention_heads)),
            max_position_embeddings: max_tokens,
            attention_dropout: dropout,
            tie_word_embeddings: true,
            pad_token_id: Some(tokenizer.id(PAD)?),
            bos_token_id: Some(tokenizer.id(BEGIN)?),
            eos_token_id: Some(tokenizer.id(END)?.into()),
            ..Llama::default()
        }),
    })
}
