//! The weights of several teachers, chosen on the judged queries of the validation split.

use collection::{CandidateList, Collection, VALIDATION, candidate_lists};
use pipeline::config::Validation;
use pipeline::{BadInput, Progress, StageContext};
use ranking::interpolation::best_weights;
use ranking::metrics::MetricError;
use rayon::prelude::*;
use serde_json::json;

use crate::lists::UnlabelledList;
use crate::parts::standardised_list;
use crate::sources::DocumentSource;
use crate::teachers::Teacher;

/// Gives the teachers the weights whose mean of scores, standardised over each list, is best on the validation queries; of equal
/// ones, those with the largest of the first teacher, then of the second, and so on.
///
/// # Errors
/// [`BadInput`] without judged validation queries; what a teacher's scoring returns.
pub(crate) fn choose(
    context: &mut StageContext,
    teachers: &mut [Teacher<'_>],
    collection: &Collection,
    validation: &Validation,
) -> anyhow::Result<()> {
    let ingest = context.input("ingest")?;
    let lists = candidate_lists(&ingest, collection, VALIDATION, validation)?;
    let asked: Vec<UnlabelledList> = lists.iter().map(unlabelled).collect();
    let mut progress = context.progress("scores of validation queries", (teachers.len() * asked.len()) as u64);
    let scores = teachers.iter_mut().map(|teacher| standardised(teacher, collection, &asked, &mut progress));
    let scores = scores.collect::<anyhow::Result<Vec<_>>>()?;
    drop(progress);
    let best = best_weights(scores.len(), |weights| {
        let mean = |list: usize| mean(scores.iter().map(|scores| &scores[list][..]), weights);
        let rankings = lists
            .par_iter()
            .enumerate()
            .map(|(number, list)| Ok(list.scored(&collection.corpus, &mean(number))?.ranking(&validation.conventions)));
        let rankings = rankings.collect::<Result<Vec<_>, MetricError>>()?;
        Ok::<_, MetricError>(validation.metric.measure(&rankings).value())
    });
    let Some((weights, value)) = best? else {
        return Err(BadInput(format!(
            "{}: expected judged queries of the split `validation` for score.choose_weights, found none; judge more queries or raise \
             ingest.split.validation, then re-run stage `ingest`",
            ingest.path().join("judgments").display()
        )))?;
    };
    for (teacher, &weight) in teachers.iter_mut().zip(&weights) {
        teacher.weight = weight;
        tracing::info!("score: weight {weight:.2} of {}, by {} {value:.4}", teacher.name, validation.metric);
    }
    context.fact("weights", json!(weights));
    Ok(())
}

fn unlabelled(list: &CandidateList) -> UnlabelledList {
    UnlabelledList::new(list.query).with(DocumentSource::Found, list.documents.iter().copied())
}

/// The standardised scores of each list.
fn standardised(
    teacher: &mut Teacher<'_>,
    collection: &Collection,
    lists: &[UnlabelledList],
    progress: &mut Progress,
) -> anyhow::Result<Vec<Vec<f32>>> {
    let mut of_lists = Vec::with_capacity(lists.len());
    for lists in lists.chunks(teacher.lists_at_once()) {
        let scores = teacher.score(&collection.corpus, lists)?.scores;
        let mut rest = &scores[..];
        of_lists.extend(lists.iter().map(|list| {
            let (own, later) = rest.split_at(list.documents.len());
            rest = later;
            standardised_list(own)
        }));
        progress.add(lists.len() as u64);
    }
    Ok(of_lists)
}

/// The weighted mean of the scores that each teacher gives the documents of a list.
fn mean<'a>(teachers: impl Iterator<Item = &'a [f32]>, weights: &[f64]) -> Vec<f32> {
    let mut sums = Vec::new();
    for (scores, weight) in teachers.zip(weights) {
        sums.resize(scores.len(), 0.0);
        sums.iter_mut().zip(scores).for_each(|(sum, &score)| *sum += weight * f64::from(score));
    }
    sums.into_iter().map(|sum| sum as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_teacher_has_its_weight() {
        let mean = |teachers: &[&[f32]], weights: &[f64]| mean(teachers.iter().copied(), weights);
        assert_eq!(mean(&[&[1.0, -1.0], &[3.0, 5.0]], &[0.75, 0.25]), [1.5, 0.5]);
        assert_eq!(mean(&[&[1.0], &[3.0], &[-2.0]], &[0.5, 0.25, 0.25]), [0.75]);
    }
}
