//! The negatives of phase `mined`: unjudged documents that the ranker of phase `rank` scores highest, as the ranker of ANCE finds
//! its own (Xiong et al., arXiv 2007.00808).

use std::path::PathBuf;

use collection::GradedList;
use nn::cross_encoder::CrossEncoder;
use nn::models::Model;
use pipeline::config::MinedConfig;
use pipeline::{BadInput, StageContext};
use ranking::false_negatives::NegativeBounds;
use ranking::sample::epoch_order;
use tables::{Parts, Rows};

use crate::rank::Judged;

/// The phase.
pub(crate) const MINED: &str = "mined";

/// The table of a part.
const TABLE: &str = "pair_scores";

/// Lists of a part.
const LISTS_PER_PART: usize = 16;

/// The judged lists, those that the phase's steps read with the negatives that `ranker` finds hardest. Its scores are kept in
/// parts until the stage is finished, so that an interrupted run goes on.
pub(crate) fn lists(
    context: &mut StageContext,
    (config, seed): (&MinedConfig, u64),
    judged: &Judged<'_>,
    ranker: &Model,
) -> anyhow::Result<Vec<GradedList>> {
    let mut all = judged.lists.clone();
    let numbers = read_by_steps(config, seed, all.len());
    let mut lists: Vec<GradedList> = numbers.iter().map(|&number| all[number].clone()).collect();
    judged.collection.add_negatives(&mut lists, &(1..=config.candidates))?;
    let scores = scores(context, judged, (&lists, &numbers), ranker)?;
    let left_out =
        lists.iter_mut().zip(&scores).map(|(list, scores)| keep_hardest(list, scores, config)).sum::<usize>();
    let mined: usize = lists.iter().map(|list| list.negatives.len()).sum();
    let per_list = mined as f64 / lists.len() as f64;
    tracing::info!(
        "mined: {per_list:.1} negatives for each of {} judged lists that the steps read; documents whose scores say that they may be \
         relevant: {left_out}",
        lists.len()
    );
    if mined == 0 {
        Err(BadInput(
            "teacher.mined: expected unjudged documents as negatives of the lists that its steps read, found none; widen candidates, \
             negatives_from_rank, negatives_max_score or negatives_relative_margin"
                .into(),
        ))?;
    }
    context.fact("mined_lists", lists.len());
    context.fact("mined_negatives", mined);
    context.fact("mined_left_out", left_out);
    numbers.into_iter().zip(lists).for_each(|(number, list)| all[number] = list);
    Ok(all)
}

/// The numbers of the lists that the phase's steps read, of `n_lists`: few steps do not reach all, and the others need no scores.
fn read_by_steps(config: &MinedConfig, seed: u64, n_lists: usize) -> Vec<usize> {
    let reads = config.steps.saturating_mul(config.accumulation_steps).saturating_mul(config.lists_per_step);
    let mut numbers: Vec<usize> = epoch_order(seed, MINED, 0, n_lists).into_iter().take(reads).collect();
    numbers.sort_unstable();
    numbers
}

/// The ranker's scores of the documents of each list, then of its negatives. The lists have these numbers among all.
fn scores(
    context: &StageContext,
    judged: &Judged<'_>,
    (lists, numbers): (&[GradedList], &[usize]),
    ranker: &Model,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let corpus = &judged.collection.corpus;
    let encoder = CrossEncoder::new(ranker, &judged.pairs, judged.execution());
    let made_from = files::sha256(&serde_json::to_vec(&(context.fingerprint(), numbers))?);
    let parts = Parts::open_anew(&folder(context), TABLE, &made_from)?;
    let mut progress = context.progress("mining", lists.len() as u64);
    let mut all = Vec::with_capacity(lists.len());
    for (number, lists) in lists.chunks(LISTS_PER_PART).enumerate() {
        let documents = |list: &GradedList| [&list.documents[..], &list.negatives].concat();
        if !group::first_decides(|| parts.is_finished(number))? {
            let pairs = lists.iter().flat_map(|list| documents(list).into_iter().map(|it| (list.query, it)));
            let texts: Vec<_> = pairs.map(|(query, document)| corpus.texts(query, document)).collect();
            let scores = encoder.score(&texts)?;
            if group::is_first() {
                parts.write(number, Rows::of(&scores).float32s("score", |&score| score))?;
            }
        }
        let part = group::values_of_first(|| {
            Ok::<_, tables::Error>(parts.read(number)?.float32s("score")?.values().to_vec())
        })?;
        let mut rest = part.into_iter();
        all.extend(lists.iter().map(|list| rest.by_ref().take(documents(list).len()).collect::<Vec<f32>>()));
        progress.add(lists.len() as u64);
    }
    Ok(all)
}

fn folder(context: &StageContext) -> PathBuf {
    context.out().join("mined.parts")
}

/// Removes the scores; nothing where there are none.
pub(crate) fn clean_up(context: &StageContext) -> anyhow::Result<()> {
    Ok(Parts::remove(&folder(context))?)
}

/// Leaves a list the negatives at the configuration's ranks by falling `scores`, those of its documents and then of its
/// negatives, ties as they were. Returns how many the bounds excluded.
fn keep_hardest(list: &mut GradedList, scores: &[f32], config: &MinedConfig) -> usize {
    let (judged, found) = scores.split_at(list.documents.len());
    let relevant = judged.iter().zip(&list.grades).filter(|(_, grade)| **grade > 0);
    let positive = relevant.map(|(&score, _)| score).max_by(f32::total_cmp);
    let bounds: NegativeBounds = config.negative_bounds();
    let mut ranked: Vec<(usize, f32)> = list.negatives.iter().copied().zip(found.iter().copied()).collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut left_out = 0;
    let places = ranked.into_iter().take(config.negatives_depth).skip(config.negatives_from_rank.saturating_sub(1));
    list.negatives.clear();
    for (document, score) in places {
        if bounds.allow(score, positive) {
            list.negatives.push(document);
        } else {
            left_out += 1;
        }
    }
    left_out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ranking::sample::lists_at_step;
    use serde_json::{Value, json};

    use super::*;

    fn kept(keys: Value) -> (Vec<usize>, usize) {
        let common = json!({
            "loss": "hinge", "steps": 1, "learning_rate": 1, "lists_per_step": 1, "list_size": 2, "candidates": 5,
        });
        let (Value::Object(mut table), Value::Object(keys)) = (common, keys) else { panic!("two tables") };
        table.extend(keys);
        let config: MinedConfig = serde_json::from_value(Value::Object(table)).unwrap();
        let mut list =
            GradedList { query: 0, documents: vec![1, 2], grades: vec![0, 2], negatives: vec![3, 4, 5, 6, 7] };
        let left_out = keep_hardest(&mut list, &[9.0, 2.0, -4.0, 1.9, 0.0, 3.0, -1.0], &config);
        assert_eq!((list.documents, list.grades), (vec![1, 2], vec![0, 2]));
        (list.negatives, left_out)
    }

    #[test]
    fn the_lists_that_no_step_reads_are_left_out() {
        for (n_lists, steps, accumulation_steps) in [(50, 3, 2), (50, 4, 1), (7, 5, 1), (7, 1, 1), (1, 1, 3)] {
            let config: MinedConfig = serde_json::from_value(json!({
                "loss": "hinge", "steps": steps, "accumulation_steps": accumulation_steps, "learning_rate": 1,
                "lists_per_step": 3, "list_size": 2, "candidates": 5, "negatives_depth": 5,
            }))
            .unwrap();
            let batches = 0..(steps * accumulation_steps) as u64;
            let read: BTreeSet<usize> = batches.flat_map(|batch| lists_at_step(9, MINED, n_lists, 3, batch)).collect();
            assert_eq!(read_by_steps(&config, 9, n_lists), read.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_hardest_negatives_are_those_of_the_highest_scores() {
        assert_eq!(kept(json!({ "negatives_depth": 5 })), (vec![6, 4, 5, 7, 3], 0));
        assert_eq!(kept(json!({ "negatives_depth": 3 })), (vec![6, 4, 5], 0));
        assert_eq!(kept(json!({ "negatives_depth": 3, "negatives_from_rank": 2 })), (vec![4, 5], 0));
        assert_eq!(kept(json!({ "negatives_depth": 3, "negatives_max_score": 1.9 })), (vec![4, 5], 1));
        // The relevant document has the score 2: a sigmoid of 0.88; 1.9 has 0.87, 0 has 0.5.
        assert_eq!(kept(json!({ "negatives_depth": 5, "negatives_relative_margin": 0.1 })), (vec![5, 7, 3], 2));
    }
}
