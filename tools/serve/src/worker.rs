//! The thread that scores.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::Context;
use nn::text::Sequence;
use rayon::prelude::*;

use crate::job::{Failure, Job, Scored};
use crate::queue::{Part, Queue};
use crate::ranker::Ranker;
use crate::speed::{Cost, Took};

/// What became of a batch.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) took: Took,
    /// The logits and the number of tokens of each part's pairs.
    pub(crate) found: Vec<Result<Found, Failure>>,
}

/// The scores of the pairs of a part.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) logits: Vec<f32>,
    pub(crate) tokens: usize,
}

/// The sequences of each pair of a part.
type Encoded = Result<Vec<Vec<Sequence>>, Failure>;

/// Starts the thread; it ends when the queue is closed and empty.
pub(crate) fn start(queue: Arc<Queue>, batch_tokens: usize) -> anyhow::Result<JoinHandle<()>> {
    let work = move || {
        while let Some(parts) = queue.take(batch_tokens) {
            answer(&queue, parts);
        }
    };
    std::thread::Builder::new().name("worker".into()).spawn(work).context("starting the worker failed")
}

/// Scores a batch and answers the jobs that are finished by it.
fn answer(queue: &Queue, parts: Vec<Part>) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| score(&parts))).unwrap_or_else(|panic| {
        let panic = panic_text(panic.as_ref());
        tracing::error!("internal error while scoring: {panic}; please report it");
        let failed = || Err(Failure::Backend("internal error while scoring".into()));
        Outcome { took: Took::default(), found: parts.iter().map(|_| failed()).collect() }
    });
    let is_whole = outcome.found.iter().all(Result::is_ok);
    let took = outcome.took;
    queue.observe(&took);
    let mut unfinished = None;
    for (Part { mut job, pairs }, found) in parts.into_iter().zip(outcome.found) {
        match found {
            Ok(found) => {
                add(&mut job.scored, job.entered, begun, found, &took);
                if job.rest().is_empty() {
                    // A client that is gone needs no answer.
                    let _ = job.reply.send(Ok(job.scored));
                } else {
                    unfinished = Some(job);
                }
            }
            Err(failure) => {
                queue.forget(&job, pairs);
                let _ = job.reply.send(Err(failure));
            }
        }
    }
    queue.finished(unfinished, is_whole.then_some(&took));
}

/// Adds what a batch gave a job.
fn add(scored: &mut Scored, entered: Instant, begun: Instant, found: Found, took: &Took) {
    if scored.logits.is_empty() {
        scored.queue = begun.saturating_duration_since(entered);
    }
    scored.logits.extend(found.logits);
    scored.tokens += found.tokens;
    scored.tokenization += took.tokenization;
    scored.inference += took.inference;
}

/// Tokenizes and scores the pairs of parts of one model.
pub(crate) fn score(parts: &[Part]) -> Outcome {
    let Some(first) = parts.first() else { return Outcome { took: Took::default(), found: Vec::new() } };
    let ranker = &first.job.ranker;
    let begun = Instant::now();
    let encoded: Vec<Encoded> = parts.par_iter().map(encode).collect();
    let tokenization = begun.elapsed();
    let begun = Instant::now();
    let found = score_encoded(ranker, &encoded);
    let inference = begun.elapsed();
    let took = took(parts, &encoded, ranker.max_tokens(), tokenization, inference);
    Outcome { took, found }
}

fn encode(part: &Part) -> Encoded {
    let Job { ranker, pairs, reading, scored, .. } = &part.job;
    let pairs = &pairs[scored.logits.len()..][..part.pairs];
    pairs.par_iter().map(|pair| ranker.encode(pair, reading)).collect()
}

/// All sequences go through the model together; where that fails, each part goes alone, so that it fails alone.
fn score_encoded(ranker: &Ranker, encoded: &[Encoded]) -> Vec<Result<Found, Failure>> {
    let sequences: Vec<Sequence> = encoded.iter().flatten().flatten().flatten().cloned().collect();
    let together = ranker.score(&sequences);
    let mut scores = together.as_deref().unwrap_or_default();
    let found = |pairs: &Encoded| {
        let pairs = pairs.as_ref().map_err(Clone::clone)?;
        let count = pairs.iter().map(Vec::len).sum();
        if together.is_ok() {
            let (own, later) = scores.split_at(count);
            scores = later;
            return Ok(highest(pairs, own));
        }
        Ok(highest(pairs, &ranker.score(&pairs.concat())?))
    };
    encoded.iter().map(found).collect()
}

/// The score of a pair is the highest one of its sequences.
fn highest(pairs: &[Vec<Sequence>], mut scores: &[f32]) -> Found {
    let mut found = Found::default();
    for sequences in pairs {
        let (own, later) = scores.split_at(sequences.len());
        scores = later;
        found.logits.push(own.iter().copied().fold(f32::NEG_INFINITY, f32::max));
        found.tokens += sequences.iter().map(|sequence| sequence.ids.len()).sum::<usize>();
    }
    found
}

fn took(parts: &[Part], encoded: &[Encoded], window: usize, tokenization: Duration, inference: Duration) -> Took {
    let mut took = Took { tokenization, inference, ..Took::default() };
    for (part, encoded) in parts.iter().zip(encoded) {
        let texts = part.job.pairs[part.job.scored.logits.len()..].iter();
        for (pair, sequences) in texts.zip(encoded.iter().flatten()) {
            let bytes = pair.query.len() + pair.document.len();
            let tokens = sequences.iter().map(|sequence| sequence.ids.len()).sum();
            took.bytes += bytes;
            took.tokens += tokens;
            if tokens < window {
                took.whole += Cost { bytes, tokens };
            }
        }
    }
    took
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic without a message")
}
