//! The teacher's scores as lists to learn from (section 3.3 of arXiv 2411.04539).

use std::path::PathBuf;

use collection::Corpus;
use nn::folder::Standardisation;
use pipeline::{BadInput, ConfigError};
use ranking::loss::{Loss, MAX_GRADE};
use tables::StageDir;
use training::LabelledList;

/// The training table.
#[derive(Debug)]
pub(crate) struct TeacherTable {
    /// Each list by falling score.
    pub(crate) lists: Vec<LabelledList>,
    pub(crate) standardisation: Option<Standardisation>,
    /// What each document of each list counts, where `distill.spread_weight` says that they differ.
    pub(crate) weights: Option<Vec<Vec<f32>>>,
    path: PathBuf,
}

impl TeacherTable {
    /// Reads the teacher's scores as labels, standardised over the table if asked.
    ///
    /// # Errors
    /// [`BadInput`] where the scores of every list are all the same; [`tables::Error`].
    pub(crate) fn read(score: &StageDir, corpus: &Corpus, standardise: bool) -> anyhow::Result<TeacherTable> {
        let path = score.path().join("teacher_scores");
        let table = score.table("teacher_scores")?;
        let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
        let (scores, teachers) = (table.float32s("score")?, table.strings("teacher")?);
        let without_order = |found: &str| {
            let teacher = if table.rows() > 0 { teachers.value(0) } else { "" };
            BadInput(format!(
                "{}: {found}: the teacher `{teacher}` puts no documents in order; train it, or look at its scores, and run \
                 score again",
                path.display()
            ))
        };
        let fitted = if standardise {
            let fitted = ranking::standardisation::Standardisation::fit(scores.values());
            Some(fitted.map_err(|error| without_order(&error.to_string()))?)
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
        if lists.iter().all(is_flat) {
            Err(without_order("expected scores that differ within a list, found the same for all documents of each"))?;
        }
        let standardisation = fitted.map(|fitted| Standardisation { mean: fitted.mean, std: fitted.std });
        Ok(TeacherTable { lists, standardisation, weights: None, path })
    }

    /// Refuses labels that the loss of a table of the configuration is not defined on.
    ///
    /// # Errors
    /// [`BadInput`].
    pub(crate) fn check(&self, table: &str, loss: &Loss) -> anyhow::Result<()> {
        let labels = loss.labels();
        let Some(found) = self.lists.iter().flat_map(|list| &list.labels).find(|&&label| !labels.contain(label)) else {
            return Ok(());
        };
        Err(BadInput(format!(
            "{}: expected scores from 0 to {MAX_GRADE} for {table}.loss = \"{}\", found {found}; choose a loss that is defined \
             on any scores, such as hybrid",
            self.path.display(),
            loss.name()
        )))?
    }

    /// The table with documents that count less where its teachers disagree: `1 / (1 + strength * spread^2)`.
    pub(crate) fn weighted_by_spread(self, score: &StageDir, strength: f64) -> anyhow::Result<TeacherTable> {
        let table = score.table("teacher_scores")?;
        let spreads = table.float32s("spread")?;
        let weights = spreads.iter().map(|spread| Some(weight_of(spread?, strength)));
        let Some(mut weights) = weights.collect::<Option<Vec<f32>>>() else {
            return Err(ConfigError::Unusable(format!(
                "distill.spread_weight: expected the scores of several teachers in {}, found those of one, which has no \
                 spread; remove the key, or name teachers in [[score.teacher]]",
                self.path.display()
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

/// True if all documents have the same label.
pub(crate) fn is_flat(list: &LabelledList) -> bool {
    list.labels.windows(2).all(|pair| pair[0] == pair[1])
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
