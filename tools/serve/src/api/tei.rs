//! The API of Hugging Face's text-embeddings-inference.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ErrorType, Refusal, ranked, sigmoid};
use crate::job::{Pair, Reading};

/// Which tokens a text that is too long loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
pub(crate) enum TruncationDirection {
    /// The first ones.
    #[serde(alias = "left")]
    Left,
    /// The last ones.
    #[serde(alias = "right")]
    Right,
}

/// What `POST /rerank` reads.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct RerankRequest {
    /// The query.
    pub(crate) query: String,
    /// The documents.
    pub(crate) texts: Vec<String>,
    /// Cuts texts that are longer than the model's window, which is the default; `false` refuses them.
    pub(crate) truncate: Option<bool>,
    /// Which tokens texts that are too long lose; by default, those that the model's folder says.
    pub(crate) truncation_direction: Option<TruncationDirection>,
    /// Answers the logits, not their sigmoids.
    #[serde(default)]
    pub(crate) raw_scores: bool,
    /// Repeats the documents in the answer.
    #[serde(default)]
    pub(crate) return_text: bool,
}

/// A document of the answer of `POST /rerank`, the best one first.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Rank {
    /// The document's place in the request, from 0.
    pub(crate) index: usize,
    /// The document, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    /// The sigmoid of the logit, or the logit.
    pub(crate) score: f32,
}

/// What `POST /predict` reads.
#[derive(Debug, Deserialize, JsonSchema)]
pub(crate) struct PredictRequest {
    /// One pair of texts, or a batch of them.
    pub(crate) inputs: PredictInput,
    /// As of `POST /rerank`.
    pub(crate) truncate: Option<bool>,
    /// As of `POST /rerank`.
    pub(crate) truncation_direction: Option<TruncationDirection>,
    /// As of `POST /rerank`.
    #[serde(default)]
    pub(crate) raw_scores: bool,
}

/// Texts of `POST /predict`: `[query, document]`, or `[[query, document], ...]`. A single text is refused, as a cross-encoder
/// reads two.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a pair of strings [string, string], or a batch of pairs [[string, string], ...]"
)]
pub(crate) enum PredictInput {
    /// One pair.
    Sequence(Vec<String>),
    /// Some pairs.
    Batch(Vec<Vec<String>>),
}

/// A label and how far it holds.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Prediction {
    /// The sigmoid of the logit, or the logit.
    pub(crate) score: f32,
    /// What a high score says, by the model's config.json.
    pub(crate) label: String,
}

/// What `POST /predict` answers: the labels of the pair, or of each pair of the batch.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum PredictResponse {
    /// Of one pair.
    Single(Vec<Prediction>),
    /// Of each pair.
    Batch(Vec<Vec<Prediction>>),
}

/// An error.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ErrorResponse {
    /// One line.
    pub(crate) error: String,
    /// Its kind.
    pub(crate) error_type: ErrorType,
}

/// What the model is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ModelType {
    /// A cross-encoder.
    Reranker(Labels),
}

/// The labels of a model.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Labels {
    /// By number.
    pub(crate) id2label: BTreeMap<String, String>,
    /// By name.
    pub(crate) label2id: BTreeMap<String, usize>,
}

/// What `GET /info` answers.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Info {
    /// The folder that `--model` names.
    pub(crate) model_id: String,
    /// SHA-256 of all that decides the model's scores.
    pub(crate) model_sha: String,
    /// Precision of matrix products.
    pub(crate) model_dtype: String,
    /// The folder's name.
    pub(crate) served_model_name: String,
    /// What the model is.
    pub(crate) model_type: ModelType,
    /// Most connections at once.
    pub(crate) max_concurrent_requests: usize,
    /// Most tokens of a query and a document together.
    pub(crate) max_input_length: usize,
    /// Most tokens that go through the model at once.
    pub(crate) max_batch_tokens: usize,
    /// There is no limit but that of tokens.
    pub(crate) max_batch_requests: Option<usize>,
    /// Most documents of a request.
    pub(crate) max_client_batch_size: usize,
    /// Texts that are too long are cut unless a request says otherwise.
    pub(crate) auto_truncate: bool,
    /// Threads that tokenize.
    pub(crate) tokenization_workers: usize,
    /// The server's version.
    pub(crate) version: &'static str,
    /// There is none.
    pub(crate) sha: Option<&'static str>,
    /// There is none.
    pub(crate) docker_label: Option<&'static str>,
}

impl RerankRequest {
    /// The pairs to score.
    pub(crate) fn pairs(&self) -> Result<Vec<Pair>, Refusal> {
        if self.texts.is_empty() {
            return Err(Refusal::empty("`texts` cannot be empty"));
        }
        let query: Arc<str> = self.query.as_str().into();
        let pair = |text: &String| pair(Arc::clone(&query), text.clone());
        self.texts.iter().map(pair).collect()
    }

    pub(crate) fn reading(&self) -> Reading {
        reading(self.truncate, self.truncation_direction)
    }

    /// The answer.
    pub(crate) fn ranks(mut self, logits: &[f32]) -> Vec<Rank> {
        let rank = |index: usize| {
            let text = self.return_text.then(|| std::mem::take(&mut self.texts[index]));
            Rank { index, text, score: score(logits[index], self.raw_scores) }
        };
        ranked(logits).into_iter().map(rank).collect()
    }
}

impl PredictRequest {
    /// The pairs to score.
    pub(crate) fn pairs(&self) -> Result<Vec<Pair>, Refusal> {
        let of_texts = |texts: &Vec<String>| match texts.as_slice() {
            [query, document] => pair(query.as_str().into(), document.clone()),
            texts => Err(Refusal::validation(format!(
                "`inputs`: expected pairs of 2 strings, found {} string(s)",
                texts.len()
            ))),
        };
        match &self.inputs {
            PredictInput::Sequence(texts) => Ok(vec![of_texts(texts)?]),
            PredictInput::Batch(batch) => batch.iter().map(of_texts).collect(),
        }
    }

    pub(crate) fn reading(&self) -> Reading {
        reading(self.truncate, self.truncation_direction)
    }

    /// The answer.
    pub(crate) fn predictions(&self, logits: &[f32], label: &str) -> PredictResponse {
        let prediction =
            |&logit: &f32| vec![Prediction { score: score(logit, self.raw_scores), label: label.to_owned() }];
        let mut predictions: Vec<_> = logits.iter().map(prediction).collect();
        match self.inputs {
            PredictInput::Batch(_) => PredictResponse::Batch(predictions),
            PredictInput::Sequence(_) => PredictResponse::Single(predictions.pop().unwrap_or_default()),
        }
    }
}

impl Labels {
    /// Those of a ranker.
    pub(crate) fn of(label: &str) -> Labels {
        Labels { id2label: [("0".to_owned(), label.to_owned())].into(), label2id: [(label.to_owned(), 0)].into() }
    }
}

fn pair(query: Arc<str>, document: String) -> Result<Pair, Refusal> {
    if query.is_empty() && document.is_empty() {
        return Err(Refusal::empty("`inputs` cannot be empty"));
    }
    Ok(Pair { query, document })
}

fn reading(truncate: Option<bool>, direction: Option<TruncationDirection>) -> Reading {
    let cut_left = direction.map(|direction| direction == TruncationDirection::Left);
    Reading { truncate: truncate.unwrap_or(true), cut_left, ..Reading::default() }
}

fn score(logit: f32, raw: bool) -> f32 {
    if raw { logit } else { sigmoid(logit) }
}
