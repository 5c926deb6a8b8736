//! The teacher's scores as lists to learn from (section 3.3 of arXiv 2411.04539).

use collection::Corpus;
use nn::folder::Standardisation;
use pipeline::{BadInput, ConfigError};
use ranking::loss::{Loss, MAX_GRADE};
use tables::StageDir;
use training::LabelledList;

/// The training table.
#[derive(Debug)]
pub(crate) struct TeacherTable {
    pub(crate) lists: Vec<LabelledList>,
    pub(crate) standardisation: Option<Standardisation>,
    /// What each document of each list counts, where `distill.spread_weight` says that they differ.
    pub(crate) weights: Option<Vec<Vec<f32>>>,
}

impl TeacherTable {
    /// Reads the teacher's scores, standardised over the table if asked, as labels of `loss`.
    pub(crate) fn read(
        score: &StageDir,
        corpus: &Corpus,
        standardise: bool,
        loss: &Loss,
    ) -> anyhow::Result<TeacherTable> {
        let table = score.table("teacher_scores")?;
        let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
        let scores = table.float32s("score")?;
        let fitted = if standardise {
            let fitted = ranking::standardisation::Standardisation::fit(scores.values()).map_err(|error| {
                BadInput(format!(
                    "{}: {error}; re-run teacher and score",
                    score.path().join("teacher_scores").display()
                ))
            })?;
            Some(fitted)
        } else {
            None
        };
        let mut lists: Vec<LabelledList> = Vec::new();
        for row in 0..table.rows() {
            let query = corpus.query(query_ids.value(row))?;
            let document = corpus.document(doc_ids.value(row)).ok_or_else(|| {
                BadInput(format!(
                    "document `{}` was scored but is not in ingest's table; re-run score",
                    doc_ids.value(row)
                ))
            })?;
            let label = fitted.map_or(scores.value(row), |fitted| fitted.apply(scores.value(row)));
            if !loss.labels().contain(label) {
                Err(BadInput(format!(
                    "{}: expected scores from 0 to {MAX_GRADE} for distill.loss = \"{}\", found {label}; choose a loss \
                     that is defined on any scores, such as hybrid",
                    score.path().join("teacher_scores").display(),
                    loss.name()
                )))?;
            }
            match lists.last_mut().filter(|list| list.query == query) {
                Some(list) => {
                    list.documents.push(document);
                    list.labels.push(label);
                }
                None => lists.push(LabelledList {
                    query,
                    documents: vec![document],
                    labels: vec![label],
                    negatives: Vec::new(),
                }),
            }
        }
        let standardisation = fitted.map(|fitted| Standardisation { mean: fitted.mean, std: fitted.std });
        Ok(TeacherTable { lists, standardisation, weights: None })
    }
}

impl TeacherTable {
    /// The table with documents that count less where its teachers disagree: `1 / (1 + strength * spread^2)`.
    pub(crate) fn weighted_by_spread(self, score: &StageDir, strength: f64) -> anyhow::Result<TeacherTable> {
        let table = score.table("teacher_scores")?;
        let spreads = table.float32s("spread")?;
        let weights = spreads.iter().map(|spread| Some(weight_of(spread?, strength)));
        let Some(mut weights) = weights.collect::<Option<Vec<f32>>>() else {
            return Err(ConfigError::Unusable(format!(
                "distill.spread_weight: expected the scores of several teachers in {}, found those of one, which has no \
                 spread; remove the key, or name teachers in [[score.teacher]]",
                score.path().join("teacher_scores").display()
            )))?;
        };
        let mut weights = weights.drain(..);
        let of_lists = self.lists.iter().map(|list| weights.by_ref().take(list.documents.len()).collect());
        Ok(TeacherTable { weights: Some(of_lists.collect()), ..self })
    }
}

fn weight_of(spread: f32, strength: f64) -> f32 {
    (1.0 / (1.0 + strength * f64::from(spread).powi(2))) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_counts_less_the_more_the_teachers_disagree() {
        assert_eq!([0.0, 1.0, 2.0].map(|spread| weight_of(spread, 0.5)), [1.0, 1.0 / 1.5, 1.0 / 3.0]);
        assert_eq!(weight_of(7.0, 0.0), 1.0);
    }
}
