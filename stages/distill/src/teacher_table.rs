//! The teacher's scores as lists to learn from (section 3.3 of arXiv 2411.04539).

use std::path::PathBuf;

use collection::Corpus;
use nn::folder::Standardisation;
use pipeline::BadInput;
use ranking::loss::{Loss, MAX_GRADE};
use tables::StageDir;
use training::LabelledList;

/// The training table.
#[derive(Debug)]
pub(crate) struct TeacherTable {
    /// Each list by falling score.
    pub(crate) lists: Vec<LabelledList>,
    pub(crate) standardisation: Option<Standardisation>,
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
        Ok(TeacherTable { lists, standardisation, path })
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
}

/// True if all documents have the same label.
pub(crate) fn is_flat(list: &LabelledList) -> bool {
    list.labels.windows(2).all(|pair| pair[0] == pair[1])
}
