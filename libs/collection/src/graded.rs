//! Judged lists: the documents of one query with their grades.

use anyhow::Context;
use tables::StageDir;

use crate::Corpus;

/// Name of the training split.
pub const TRAIN: &str = "train";
/// Name of the validation split.
pub const VALIDATION: &str = "validation";
/// Name of the test split.
pub const TEST: &str = "test";

/// The judged documents of one query.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GradedList {
    /// Index of the query in the corpus.
    pub query: usize,
    /// Indices of the documents in the corpus, by id.
    pub documents: Vec<usize>,
    /// Their grades, 0..=4.
    pub grades: Vec<u8>,
    /// Indices of documents that nobody judged and a training takes for grade 0; see
    /// [`Collection::add_negatives`](crate::Collection::add_negatives).
    pub negatives: Vec<usize>,
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
            None => {
                lists.push(GradedList { query, documents: vec![document], grades: vec![grade], negatives: Vec::new() })
            }
        }
    }
    Ok((lists, without_text))
}
