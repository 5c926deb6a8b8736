//! The weights of two teachers, chosen on the judged queries of the validation split.

use anyhow::ensure;
use collection::{CandidateList, Collection, VALIDATION, candidate_lists};
use pipeline::config::Validation;
use pipeline::{BadInput, StageContext};
use ranking::interpolation::best_weight;
use ranking::metrics::MetricError;
use serde_json::json;

use crate::lists::UnlabelledList;
use crate::parts::standardised_list;
use crate::sources::DocumentSource;
use crate::teachers::Teacher;

/// Gives the two teachers the weights whose mean of scores, standardised over each list, is best on the validation queries; of equal
/// ones, those with the largest of the first teacher.
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
    let scores = teachers.iter_mut().map(|teacher| standardised(teacher, collection, &asked));
    let scores = scores.collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(scores.len() == 2, "expected two teachers to weigh, found {}", scores.len());
    let best = best_weight(|weight| {
        let mean = |list: usize| mean(&scores[0][list], &scores[1][list], weight);
        let rankings = lists
            .iter()
            .enumerate()
            .map(|(number, list)| Ok(list.scored(&collection.corpus, &mean(number))?.ranking(&validation.conventions)));
        let rankings = rankings.collect::<Result<Vec<_>, MetricError>>()?;
        Ok::<_, MetricError>(validation.metric.measure(&rankings).value())
    });
    let Some((weight, value)) = best? else {
        return Err(BadInput(format!(
            "{}: expected judged queries of the split `validation` for score.choose_weights, found none; judge more queries or raise \
             ingest.split.validation, then re-run stage `ingest`",
            ingest.path().join("judgments").display()
        )))?;
    };
    for (teacher, weight) in teachers.iter_mut().zip([weight, 1.0 - weight]) {
        teacher.weight = weight;
        tracing::info!("score: weight {weight:.2} of {}, by {} {value:.4}", teacher.name, validation.metric);
    }
    context.fact("weights", json!([weight, 1.0 - weight]));
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
) -> anyhow::Result<Vec<Vec<f32>>> {
    let scores = teacher.score(&collection.corpus, lists)?.scores;
    let mut rest = &scores[..];
    let of_lists = lists.iter().map(|list| {
        let (own, later) = rest.split_at(list.documents.len());
        rest = later;
        standardised_list(own)
    });
    Ok(of_lists.collect())
}

fn mean(first: &[f32], second: &[f32], weight: f64) -> Vec<f32> {
    let both = first.iter().zip(second);
    both.map(|(&first, &second)| (weight * f64::from(first) + (1.0 - weight) * f64::from(second)) as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weight_is_that_of_the_first() {
        assert_eq!(mean(&[1.0, -1.0], &[3.0, 5.0], 0.75), [1.5, 0.5]);
        assert_eq!(mean(&[1.0], &[3.0], 1.0), [1.0]);
    }
}
