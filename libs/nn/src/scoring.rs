//! Scores of many sequences.

use crate::error::{Error, Result};
use crate::model::{Mode, Ranker};
use crate::packed::Packed;
use crate::precision::Precision;
use crate::shards::in_parallel;
use crate::text::Sequence;

/// The raw logit of each sequence, in their order, without dropout.
///
/// Batches take sequences as they come up to `token_budget` tokens, at least one each, and are scored in parallel. Nothing
/// is padded, so that sorting by length would save nothing.
///
/// # Errors
/// A sequence the model refuses; a score that is not finite.
pub fn score_sequences(
    ranker: &Ranker,
    sequences: &[Sequence],
    token_budget: usize,
    precision: Precision,
) -> Result<Vec<f32>> {
    let mut batches = Vec::new();
    let mut rest = sequences;
    while !rest.is_empty() {
        let (batch, later) = rest.split_at(batch_size(rest, token_budget));
        batches.push(batch);
        rest = later;
    }
    let score = |batch: usize| {
        let logits = ranker.score(&Packed::of(batches[batch])?, Mode::Eval(precision))?;
        Ok(logits.to_vec1::<f32>()?)
    };
    let scores = in_parallel(batches.len(), score)?.concat();
    match scores.iter().position(|score| !score.is_finite()) {
        None => Ok(scores),
        Some(row) => {
            Err(Error::NonFinite { what: format!("the score of sequence {row}"), value: f64::from(scores[row]) })
        }
    }
}

/// How many of the first sequences fit into the budget.
fn batch_size(sequences: &[Sequence], token_budget: usize) -> usize {
    let mut tokens = 0;
    let fitting = sequences.iter().take_while(|sequence| {
        tokens += sequence.ids.len();
        tokens <= token_budget
    });
    fitting.count().max(1)
}
