//! The written models beside the one here, on pairs of texts: scores, their order by NDCG@10, and speed.
//!
//! The runtimes are those that serve such models, started in Python: the crate `ort` has had no stable release yet, and a Rust runtime
//! of its own would tell nothing of the speed of ONNX Runtime or OpenVINO.

mod ranked;
mod runtimes;
mod table;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use nn::cross_encoder::{Execution, score_sequences};
use nn::folder::SavedRanker;
use nn::models::Head;
use nn::text::{PairTokenizer, Texts};
use pipeline::BadInput;
use score_pairs::{JudgedPair, read_judged};

use crate::graph::Precision;
use table::Line;

/// Pairs that are scored at once: about as many as a server ranks for a query.
const BATCH: usize = 32;

/// The rows of all files.
///
/// # Errors
/// As [`read_judged`]; files without a row.
pub(crate) fn read_pairs(files: &[PathBuf]) -> anyhow::Result<Vec<JudgedPair>> {
    let mut pairs = Vec::new();
    for file in files {
        let rows = read_judged(file)?;
        if rows.is_empty() {
            Err(BadInput(format!("{}: expected rows to compare scores of, found none", file.display())))?;
        }
        pairs.extend(rows);
    }
    Ok(pairs)
}

/// Scores `pairs` by the model and by each file that was written of it, and prints what differs.
///
/// # Errors
/// A Python without ONNX Runtime; a runtime that fails.
pub(crate) fn compare(
    saved: &SavedRanker,
    (out, precisions): (&Path, &[Precision]),
    pairs: &[JudgedPair],
    python: &Path,
) -> anyhow::Result<()> {
    let tokenizer = PairTokenizer::new(&saved.tokenizer, &saved.settings.scoring)?;
    let texts: Vec<Texts<'_>> = pairs.iter().map(JudgedPair::texts).collect();
    let encoded = tokenizer.encode_passages(&texts)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut own = Vec::new();
    let mut seconds = Vec::new();
    // As for the runtimes, the first batch warms up.
    for batch in encoded.sequences.chunks(BATCH).take(1).chain(encoded.sequences.chunks(BATCH)) {
        // As many parts as there are threads, each of which scores one.
        let tokens: usize = batch.iter().map(|sequence| sequence.ids.len()).sum();
        let execution = Execution { batch_tokens: tokens.div_ceil(threads), ..Execution::default() };
        let started = Instant::now();
        own.push(score_sequences(&saved.ranker, batch, execution)?);
        seconds.push(started.elapsed().as_secs_f64());
    }
    let own = own[1..].concat();
    let highest =
        |scores: &[f32]| -> Vec<f32> { encoded.highest(scores).into_iter().map(|place| scores[place]).collect() };
    let exact = highest(&own);
    let ndcg = |scores: &[f32]| ranked::ndcg(pairs, scores);
    let mut lines = vec![Line {
        runtime: "disranker".into(),
        precision: Precision::F32,
        difference: None,
        ndcg: ndcg(&exact)?,
        seconds: seconds.split_off(1),
    }];
    let padding = saved.tokenizer.pad_id().unwrap_or_default();
    for run in runtimes::run(python, (out, precisions), &encoded.sequences, (padding, BATCH))? {
        let scores = run.logits.chunks(saved.ranker.head().outputs()).map(|logits| score(saved.ranker.head(), logits));
        let scores: Vec<f32> = scores.collect();
        anyhow::ensure!(scores.len() == own.len(), "{}: {} scores of {}", run.runtime, scores.len(), own.len());
        let scores = highest(&scores);
        let differences = scores.iter().zip(&exact).map(|(a, b)| (a - b).abs());
        lines.push(Line {
            precision: precisions.get(run.model).copied().context("a model that was not written")?,
            difference: Some(differences.fold(0.0, f32::max)),
            ndcg: ndcg(&scores)?,
            seconds: run.seconds,
            runtime: run.runtime,
        });
    }
    table::print(&lines, pairs.len(), (encoded.sequences.len(), BATCH))
}

/// The score that a model's logits of a sequence make.
fn score(head: Head, logits: &[f32]) -> f32 {
    let Head::Grades(_) = head else { return logits.first().copied().unwrap_or(f32::NAN) };
    let most = logits.iter().copied().fold(f32::MIN, f32::max);
    let shares: Vec<f32> = logits.iter().map(|logit| (logit - most).exp()).collect();
    let weighted: f32 = (0u8..).zip(&shares).map(|(grade, share)| f32::from(grade) * share).sum();
    weighted / shares.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_of_grades_is_the_one_expected() {
        assert_eq!(score(Head::Score, &[1.5]), 1.5);
        assert!((score(Head::Grades(3), &[0.0, 0.0, 2f32.ln()]) - 1.25).abs() < 1e-6);
    }
}
