//! What a request asks the worker for, and what it answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::ranker::Ranker;
use crate::speed::Cost;

/// The texts of a pair.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    pub(crate) query: Arc<str>,
    pub(crate) document: String,
}

/// How a request wants its texts read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reading {
    /// Pairs that are longer than the model's window are cut; else they are refused.
    pub(crate) truncate: bool,
    /// Texts lose their first tokens, or their last; without it, as the model's folder says.
    pub(crate) cut_left: Option<bool>,
    /// Most tokens of a document.
    pub(crate) max_document_tokens: Option<usize>,
    /// Most passages of a document, where the model reads documents in passages.
    pub(crate) max_passages: Option<usize>,
}

impl Default for Reading {
    fn default() -> Self {
        Self { truncate: true, cut_left: None, max_document_tokens: None, max_passages: None }
    }
}

/// What the worker made of the pairs of a request.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scored {
    /// The logit of each pair, in their order.
    pub(crate) logits: Vec<f32>,
    /// Tokens that went through the model.
    pub(crate) tokens: usize,
    /// Time until the first pair was taken.
    pub(crate) queue: Duration,
    /// Time of the batches that its pairs were in.
    pub(crate) tokenization: Duration,
    pub(crate) inference: Duration,
}

/// Why pairs got no score.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Failure {
    #[error("`inputs` must have at most {most} tokens. Given: {found}")]
    TooLong { most: usize, found: usize },
    #[error("{message}")]
    Overloaded { message: String, retry_after: Duration },
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    #[error("{0}")]
    Backend(String),
}

/// The pairs of a request in the queue.
#[derive(Debug)]
pub(crate) struct Job {
    /// The model that was served when the request came.
    pub(crate) ranker: Arc<Ranker>,
    pub(crate) pairs: Vec<Pair>,
    pub(crate) reading: Reading,
    /// What each pair is expected to cost.
    pub(crate) costs: Vec<Cost>,
    pub(crate) entered: Instant,
    /// What is known so far; pairs are scored in their order.
    pub(crate) scored: Scored,
    pub(crate) reply: oneshot::Sender<Result<Scored, Failure>>,
}

impl Job {
    /// The costs of the pairs that are not scored yet.
    pub(crate) fn rest(&self) -> &[Cost] {
        &self.costs[self.scored.logits.len()..]
    }
}
