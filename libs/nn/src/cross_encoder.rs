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
/// A batch takes sequences as they come, up to `batch_tokens` tokens or the share of a thread, and batches are scored in parallel, by all
/// ranks of the group. Nothing is padded, so that sorting by length would save nothing.
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

/// Sequences in batches of at most `batch_tokens` tokens, but at least one sequence each. Few sequences are shared evenly by the threads,
/// one batch each, where that keeps every thread busy for three quarters of the time at least.
pub(crate) fn batches<S>(sequences: &[S], batch_tokens: usize, tokens_of: impl Fn(&S) -> usize) -> Vec<&[S]> {
    // The ranks of a group form the same batches, whatever threads each has.
    let threads = if group::size() > 1 { 1 } else { rayon::current_num_threads() };
    let total = sequences.iter().map(&tokens_of).sum();
    let shares = shares(sequences, threads, total, &tokens_of);
    let largest = shares.iter().map(|share| share.iter().map(&tokens_of).sum()).max().unwrap_or(0);
    if largest <= batch_tokens && 3 * threads * largest <= 4 * total {
        return shares;
    }
    let mut rest = sequences;
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

/// Sequences, of `total` tokens, in at most `count` parts of about as many tokens each.
fn shares<S>(sequences: &[S], count: usize, total: usize, tokens_of: impl Fn(&S) -> usize) -> Vec<&[S]> {
    let mut before = 0;
    // A sequence belongs to the share in which its middle lies.
    let share_of = |sequence: &S| {
        let tokens = tokens_of(sequence);
        before += tokens;
        ((2 * before - tokens) * count / (2 * total).max(1)).min(count - 1)
    };
    let shares: Vec<usize> = sequences.iter().map(share_of).collect();
    let mut rest = sequences;
    shares.chunk_by(|a, b| a == b).filter_map(|share| rest.split_off(..share.len())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lengths of the batches of sequences of these lengths.
    fn lengths(sequences: &[usize], batch_tokens: usize, threads: usize) -> Vec<Vec<usize>> {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| batches(sequences, batch_tokens, |&length| length).into_iter().map(<[usize]>::to_vec).collect())
    }

    #[test]
    fn threads_share_few_sequences_evenly() {
        assert_eq!(lengths(&[128; 10], 4096, 2), [[128; 5]; 2]);
        assert_eq!(lengths(&[128; 10], 4096, 1), [[128; 10]]);
        assert_eq!(lengths(&[100, 100, 300, 100], 4096, 2), [vec![100, 100], vec![300, 100]]);
        // Threads would wait for more than a quarter of the time: all share each operation.
        assert_eq!(lengths(&[128; 2], 4096, 4), [[128; 2]]);
        assert_eq!(lengths(&[10, 500], 4096, 2), [[10, 500]]);
        // More than a batch each.
        assert_eq!(lengths(&[128; 5], 256, 2), [vec![128; 2], vec![128; 2], vec![128]]);
        assert!(lengths(&[], 256, 2).is_empty());
    }

    proptest! {
        #[test]
        fn batches_have_every_sequence_in_order(
            sequences in prop::collection::vec(1usize..300, 0..40),
            batch_tokens in 1usize..2000,
            threads in 1usize..9,
        ) {
            let found = lengths(&sequences, batch_tokens, threads);
            prop_assert_eq!(found.concat(), sequences);
            let fits = |batch: &Vec<usize>| batch.len() == 1 || batch.iter().sum::<usize>() <= batch_tokens;
            prop_assert!(found.iter().all(fits));
        }
    }
}
