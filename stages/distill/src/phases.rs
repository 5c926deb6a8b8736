//! The phases before the training of `[distill]`: each goes on from the student that the one before left. A contrastive
//! phase before that on the teacher's lists is the recipe of Rank-DistiLLM (Schlatt et al., arXiv 2405.07920).

use std::collections::HashMap;

use collection::{Collection, TRAIN, graded_lists};
use nn::models::Model;
use pipeline::config::{PhaseConfig, PhaseLabels};
use pipeline::{BadInput, StageContext};
use ranking::false_negatives::NegativeBounds;
use serde_json::{Value, json};
use training::{LabelledList, Objective, TrainingLog};

use crate::Parts;
use crate::teacher_table::{TeacherTable, is_flat};

/// Trains the student in every phase of the configuration. `table` is that of the last training.
pub(crate) fn train(
    context: &mut StageContext,
    log: &mut TrainingLog,
    parts: &Parts<'_>,
    (student, collection, table): (&Model, &Collection, &TeacherTable),
) -> anyhow::Result<()> {
    let mut facts = Vec::new();
    for (index, phase) in parts.config.distill.phases.iter().enumerate() {
        let (name, key) = (&phase.name, format!("distill.phases[{index}]"));
        let own;
        let lists = if phase.labels == PhaseLabels::Teacher {
            table.check(&key, &phase.list_training().loss)?;
            &table.lists
        } else {
            own = lists_with_negatives(context, collection, (phase, &key))?;
            &own
        };
        tracing::info!("distill: phase {name}: {} lists", lists.len());
        let stream = format!("phase/{name}");
        let trained = (student, &lists[..], &phase.list_training());
        let summary = parts.train(context, log, trained, (name, &key, &stream), Objective::default())?;
        facts.push(json!({
            "name": name,
            "lists": lists.len(),
            "steps": summary.steps,
            "examples": summary.examples,
            "best_validation": summary.best.map(|best| best.value),
            "collapsed": summary.collapsed,
        }));
    }
    if !facts.is_empty() {
        context.fact("phases", Value::Array(facts));
    }
    Ok(())
}

/// The phases in words, for the model card.
pub(crate) fn told(phases: &[PhaseConfig]) -> String {
    let told = phases.iter().map(|phase| {
        let learnt = match phase.labels {
            PhaseLabels::Teacher => "the teacher's scores",
            PhaseLabels::Best => "the teacher's best document of each list against others",
            PhaseLabels::Judgments => "judged lists",
        };
        format!(" Phase `{}` before: {learnt}, loss {}.", phase.name, phase.list_training().loss.name())
    });
    told.collect()
}

/// The lists of a phase whose labels are not the teacher's scores, without negatives that these scores take for relevant.
fn lists_with_negatives(
    context: &StageContext,
    collection: &Collection,
    (phase, key): (&PhaseConfig, &str),
) -> anyhow::Result<Vec<LabelledList>> {
    let bounds = phase.negative_bounds();
    let scored = || TeacherTable::read(&context.input("score")?, &collection.corpus, false);
    let (lists, left_out) = match phase.labels {
        PhaseLabels::Judgments => {
            let mut graded = graded_lists(&context.input("ingest")?, &collection.corpus, TRAIN)?.0;
            collection.add_negatives(&mut graded, &phase.negative_ranks())?;
            let mut lists: Vec<LabelledList> = graded.into_iter().map(LabelledList::from).collect();
            let left_out = if bounds.is_empty() { 0 } else { guard(&mut lists, &scored()?.lists, bounds) };
            (lists, left_out)
        }
        _ => best_against_others(scored()?.lists, phase.negatives_from_rank, bounds),
    };
    if left_out > 0 {
        tracing::info!("distill: phase {}: {left_out} documents are no negatives by the teacher's scores", phase.name);
    }
    if lists.is_empty() {
        let (found, remedy) = match phase.labels {
            PhaseLabels::Judgments => ("judged queries in the training split", "judge queries, or remove the phase"),
            _ => (
                "lists with a negative",
                "widen its negatives_from_rank, negatives_max_score or negatives_relative_margin",
            ),
        };
        Err(BadInput(format!("{key}: expected {found}, found none; {remedy}")))?;
    }
    Ok(lists)
}

/// From the teacher's lists, by falling score: the first document against those from `from_rank` on that the bounds allow.
/// A list without negatives, or without an order, is left out. Returns also the number of documents that the bounds excluded.
fn best_against_others(
    lists: Vec<LabelledList>,
    from_rank: usize,
    bounds: NegativeBounds,
) -> (Vec<LabelledList>, usize) {
    let mut left_out = 0;
    let contrast = |list: LabelledList| {
        let LabelledList { query, documents, labels, .. } = list;
        let others = documents.iter().zip(&labels).skip(from_rank.saturating_sub(1).max(1));
        let candidates = others.len();
        let negatives = others.filter(|&(_, &score)| bounds.allow(score, labels.first().copied()));
        let negatives: Vec<usize> = negatives.map(|(&document, _)| document).collect();
        left_out += candidates - negatives.len();
        let best = *documents.first()?;
        let list = LabelledList { query, documents: vec![best], labels: vec![1.0], negatives };
        Some(list).filter(|list| !list.negatives.is_empty())
    };
    let contrasted = lists.into_iter().filter(|list| !is_flat(list)).filter_map(contrast).collect();
    (contrasted, left_out)
}

/// Takes from judged lists the negatives that the scores of the teacher, where it scored them, do not allow beside the judged
/// document above grade 0 that it scores highest. Returns their number.
fn guard(lists: &mut [LabelledList], scored: &[LabelledList], bounds: NegativeBounds) -> usize {
    let scores = scored.iter().flat_map(|list| {
        list.documents.iter().zip(&list.labels).map(|(&document, &score)| ((list.query, document), score))
    });
    let scores: HashMap<(usize, usize), f32> = scores.collect();
    let mut left_out = 0;
    for list in lists {
        let score = |document: usize| scores.get(&(list.query, document)).copied();
        let relevant = list.documents.iter().zip(&list.labels).filter(|(_, label)| **label > 0.0);
        let positive = relevant.filter_map(|(&document, _)| score(document)).max_by(f32::total_cmp);
        let before = list.negatives.len();
        list.negatives.retain(|&document| score(document).is_none_or(|score| bounds.allow(score, positive)));
        left_out += before - list.negatives.len();
    }
    left_out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(query: usize, documents: &[usize], labels: &[f32]) -> LabelledList {
        LabelledList { query, documents: documents.to_vec(), labels: labels.to_vec(), negatives: Vec::new() }
    }

    fn bounds(max_score: Option<f64>, relative_margin: Option<f64>) -> NegativeBounds {
        NegativeBounds { max_score, relative_margin }
    }

    #[test]
    fn the_best_document_stands_against_the_allowed_others() {
        let lists = || vec![list(0, &[7, 3, 5, 1], &[2.0, 1.5, -1.0, -3.0]), list(1, &[2, 4], &[0.5, 0.5])];
        let negatives = |from_rank, bounds| {
            let (lists, left_out) = best_against_others(lists(), from_rank, bounds);
            assert!(lists.iter().all(|list| (&list.documents[..], &list.labels[..]) == (&[7], &[1.0])), "{lists:?}");
            (lists.into_iter().flat_map(|list| list.negatives).collect::<Vec<_>>(), left_out)
        };
        // The list of equal scores has no best document.
        assert_eq!(negatives(1, bounds(None, None)), (vec![3, 5, 1], 0));
        assert_eq!(negatives(2, bounds(None, None)), (vec![3, 5, 1], 0));
        assert_eq!(negatives(3, bounds(None, None)), (vec![5, 1], 0));
        assert_eq!(negatives(9, bounds(None, None)), (vec![], 0));
        assert_eq!(negatives(1, bounds(Some(-1.0), None)), (vec![5, 1], 1));
        // The sigmoids are 0.88, 0.82, 0.27, 0.05.
        assert_eq!(negatives(1, bounds(None, Some(0.05))), (vec![3, 5, 1], 0));
        assert_eq!(negatives(1, bounds(None, Some(0.1))), (vec![5, 1], 1));
        assert_eq!(negatives(1, bounds(None, Some(0.8))), (vec![1], 2));
        assert_eq!(negatives(1, bounds(None, Some(0.99))), (vec![], 3));
    }

    #[test]
    fn negatives_of_judged_lists_are_guarded_where_the_teacher_scored_them() {
        let judged = |labels: &[f32]| LabelledList { negatives: vec![4, 5, 6], ..list(3, &[1, 2], labels) };
        let scored = [list(3, &[4, 1, 2, 5], &[1.0, 0.5, 0.0, -4.0]), list(2, &[6], &[9.0])];
        let kept = |labels: &[f32], bounds| {
            let mut lists = [judged(labels)];
            let left_out = guard(&mut lists, &scored, bounds);
            assert_eq!(left_out + lists[0].negatives.len(), 3);
            lists[0].negatives.clone()
        };
        assert_eq!(kept(&[2.0, 0.0], bounds(None, Some(0.2))), [5, 6]);
        assert_eq!(kept(&[2.0, 0.0], bounds(Some(-5.0), None)), [6]);
        // No relevant document: the margin has nothing to be measured from.
        assert_eq!(kept(&[0.0, 0.0], bounds(None, Some(0.2))), [4, 5, 6]);
        assert_eq!(kept(&[0.0, 0.0], bounds(Some(0.0), Some(0.2))), [5, 6]);
    }
}
