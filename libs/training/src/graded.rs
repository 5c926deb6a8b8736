//! Judged lists: the documents of one query with their grades.

use std::num::NonZeroUsize;

use anyhow::Context;
use ranking::metrics::{Conventions, Document as Ranked, JudgedList, Mean, ndcg};
use tables::StageDir;

use crate::Corpus;

/// Name of the training split.
pub const TRAIN: &str = "train";
/// Name of the validation split.
pub const VALIDATION: &str = "validation";
/// Name of the test split.
pub const TEST: &str = "test";

/// The judged documents of one query.
#[derive(Debug, Clone, PartialEq)]
pub struct GradedList {
    /// Index of the query in the corpus.
    pub query: usize,
    /// Indices of the documents in the corpus, by id.
    pub documents: Vec<usize>,
    /// Their grades, 0..=4.
    pub grades: Vec<u8>,
}

/// The judged lists of a split, by query id. Judged documents without a text cannot be ranked and are left out; their
/// number is the second value.
///
/// # Errors
/// [`tables::Error`], or a judgment whose query is unknown.
pub fn graded_lists(ingest: &StageDir, corpus: &Corpus, split: &str) -> anyhow::Result<(Vec<GradedList>, usize)> {
    let table = ingest.table("judgments")?;
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let (grades, splits) = (table.int32s("grade")?, table.strings("split")?);
    let mut lists: Vec<GradedList> = Vec::new();
    let mut without_text = 0;
    for row in (0..table.rows()).filter(|&row| splits.value(row) == split) {
        let query = corpus.query(query_ids.value(row))?;
        let Some(document) = corpus.document(doc_ids.value(row)) else {
            without_text += 1;
            continue;
        };
        let grade = u8::try_from(grades.value(row)).context("a negative grade")?;
        match lists.last_mut().filter(|list| list.query == query) {
            Some(list) => {
                list.documents.push(document);
                list.grades.push(grade);
            }
            None => lists.push(GradedList { query, documents: vec![document], grades: vec![grade] }),
        }
    }
    Ok((lists, without_text))
}

/// Mean NDCG@10 (exponential gain) of `scores`, one per document of every list; `None` where no list counts.
///
/// # Errors
/// A score that is not a number.
pub(crate) fn mean_ndcg(corpus: &Corpus, lists: &[GradedList], scores: &[Vec<f32>]) -> anyhow::Result<Option<f64>> {
    let ten = NonZeroUsize::new(10).context("ten is not zero")?;
    let values = lists.iter().zip(scores).map(|(list, scores)| {
        let documents = list.documents.iter().zip(scores).zip(&list.grades);
        let documents = documents.map(|((&document, &score), &grade)| Ranked {
            doc_id: &corpus.documents[document].doc_id,
            score: f64::from(score),
            grade: Some(grade),
        });
        let judged = JudgedList::new(&corpus.queries[list.query].query_id, documents.collect(), &list.grades)?;
        Ok(ndcg(&judged, ten, &Conventions::default()))
    });
    Ok(Mean::of(&values.collect::<anyhow::Result<Vec<_>>>()?).value)
}
