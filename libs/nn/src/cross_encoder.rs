//! Scores of pairs of a query and a document.

use std::path::Path;

use crate::error::{Error, Result};
use crate::folder::{InputChoice, SavedRanker, load_scorer};
use crate::models::Model;
use crate::ops::Precision;
use crate::parallel::share_in_parallel;
use crate::text::{Packed, PairTokenizer, Sequence, Texts};
use crate::weights::Mode;

/// How scores are computed; it decides speed and memory, and the scores up to rounding alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// Precision of the matrix products that [`Precision`] lists.
    pub precision: Precision,
    /// Most tokens of a batch, but a batch has at least one sequence.
    pub batch_tokens: usize,
}

impl Default for Execution {
    fn default() -> Self {
        Self { precision: Precision::F32, batch_tokens: 4096 }
    }
}

/// A ranker that scores texts: it tokenizes a query and a document by the template of its folder, and gives the pair one
/// raw logit.
///
/// ```
/// use nn::cross_encoder::{CrossEncoder, Execution};
/// use nn::folder::{Settings, save_ranker};
/// use nn::models::{Head, Model, Sizes, from_sizes};
/// use nn::text::{Kind, Scoring, Texts, Tokenizer, Window};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // A tiny BERT with random weights, saved as a Hugging Face folder.
/// let tokenizer = Tokenizer::train_word_piece(["red shoes", "blue lamp"].iter(), 60)?;
/// let scoring = Scoring::of(Kind::Encoder, Window::LongestFirst { max_length: 32 });
/// let sizes = Sizes {
///     hidden_size: 16,
///     intermediate_size: 32,
///     num_hidden_layers: 2,
///     num_attention_heads: 2,
///     num_key_value_heads: None,
///     max_tokens: 32,
///     dropout: 0.1,
/// };
/// let model = Model::new(from_sizes(Kind::Encoder, &sizes, &tokenizer)?, Head::Score, 42)?;
/// let folder = tempfile::tempdir()?;
/// save_ranker(folder.path(), &model, &tokenizer, &Settings { scoring, standardisation: None }, "# A ranker")?;
///
/// // Any such folder, also one that transformers or sentence-transformers saved.
/// let cross_encoder = CrossEncoder::open(folder.path(), Execution::default())?;
/// let scores = cross_encoder.score(&[
///     Texts { query: "red shoes", title: "Red shoes", summary: "cheap" },
///     Texts { query: "red shoes", title: "A blue lamp", summary: "" },
/// ])?;
/// assert_eq!(scores.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct CrossEncoder {
    model: Model,
    pairs: PairTokenizer,
    execution: Execution,
}

impl CrossEncoder {
    /// The ranker of a folder that says how its texts are read.
    ///
    /// # Errors
    /// As [`load_scorer`].
    pub fn open(folder: &Path, execution: Execution) -> Result<Self> {
        Self::of_saved(&load_scorer(folder, None, &InputChoice::default(), execution.precision)?, execution)
    }

    /// The ranker of a folder that was read before.
    ///
    /// # Errors
    /// A tokenizer without what the ranker's template needs.
    pub fn of_saved(saved: &SavedRanker, execution: Execution) -> Result<Self> {
        let pairs = PairTokenizer::new(&saved.tokenizer, &saved.settings.scoring)?;
        Ok(Self::new(&saved.ranker, &pairs, execution))
    }

    /// A model in memory, such as one that is being trained: its weights are shared, not copied, but rounded once where they are
    /// multiplied in int8.
    pub fn new(model: &Model, pairs: &PairTokenizer, execution: Execution) -> Self {
        Self { model: model.for_scoring(), pairs: pairs.clone(), execution }
    }

    /// The raw logit of each pair, in their order, without dropout; of a document that is read in passages, the highest one of
    /// its passages.
    ///
    /// # Errors
    /// A failure inside the tokenizer; a score that is not finite.
    pub fn score(&self, texts: &[Texts<'_>]) -> Result<Vec<f32>> {
        let pairs = self.pairs.encode_passages(texts)?;
        let scores = self.score_sequences(&pairs.sequences)?;
        Ok(pairs.highest(&scores).into_iter().map(|place| scores[place]).collect())
    }

    /// The raw logit of each sequence of [`Self::pairs`], in their order, without dropout.
    ///
    /// # Errors
    /// As [`score_sequences`].
    pub fn score_sequences(&self, sequences: &[Sequence]) -> Result<Vec<f32>> {
        score_sequences(&self.model, sequences, self.execution)
    }

    /// What turns texts into sequences.
    pub fn pairs(&self) -> &PairTokenizer {
        &self.pairs
    }
}

/// The raw logit of each sequence, in their order, without dropout.
///
/// A batch takes sequences as they come, up to `batch_tokens` tokens, and batches are scored in parallel, by all ranks of the
/// group. Nothing is padded, so that sorting by length would save nothing.
///
/// # Errors
/// A sequence that the model cannot take; a score that is not finite.
pub fn score_sequences(model: &Model, sequences: &[Sequence], execution: Execution) -> Result<Vec<f32>> {
    let batches = batches(sequences, execution.batch_tokens, |sequence| sequence.ids.len());
    let score = |batch: usize| {
        let logits = model.score(&Packed::of(batches[batch])?, Mode::Eval(execution.precision))?;
        Ok(logits.to_vec1::<f32>()?)
    };
    let own = share_in_parallel(group::share(batches.len()), batches.len(), score)?.concat();
    let scores = group::gather(own);
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(scores),
        Some(row) => {
            Err(Error::NonFinite { what: format!("the score of sequence {row}"), value: f64::from(scores[row]) })
        }
    }
}

/// Sequences in batches of at most `batch_tokens` tokens, but at least one sequence each.
pub(crate) fn batches<S>(mut rest: &[S], batch_tokens: usize, tokens_of: impl Fn(&S) -> usize) -> Vec<&[S]> {
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let mut tokens = 0;
        let fitting = rest.iter().take_while(|sequence| {
            tokens += tokens_of(sequence);
            tokens <= batch_tokens
        });
        let (batch, later) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = later;
    }
    batches
}
