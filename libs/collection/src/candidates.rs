//! Which documents every system ranks for a judged query.

use std::collections::HashMap;

use anyhow::Context;
use pipeline::config::Validation;
use ranking::metrics::{Document as Ranked, Grade, JudgedList, MetricError};
use tables::StageDir;

use crate::{Collection, Corpus, GradedList, graded_lists};

/// A judged query with its candidates: what every system ranks, in validation as in the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateList {
    /// Index of the query in the corpus.
    pub query: usize,
    /// Indices of the candidates in the corpus, in the order of their ids.
    pub documents: Vec<usize>,
    /// Grade of each candidate; `None` where nobody judged it.
    pub grades: Vec<Option<u8>>,
    /// Grades of every judged document of the query, candidate or not, those without a text included: what the ideal
    /// ranking is made of.
    pub all_grades: Vec<u8>,
    /// Judged documents of the query that the table `documents` does not have.
    pub missing: usize,
}

impl CandidateList {
    /// The candidates with their judgments and `scores`, one for each of them.
    ///
    /// # Errors
    /// [`MetricError`] for a score that is not a number.
    pub fn scored<'a>(&self, corpus: &'a Corpus, scores: &[f32]) -> Result<JudgedList<'a>, MetricError> {
        let documents = self.documents.iter().zip(scores).zip(&self.grades);
        let documents = documents.map(|((&document, &score), &grade)| Ranked {
            doc_id: corpus.doc_id(document),
            score: f64::from(score),
            grade: grade.map(Grade::from),
        });
        let all_grades: Vec<Grade> = self.all_grades.iter().copied().map(Grade::from).collect();
        JudgedList::new(&corpus.queries[self.query].query_id, documents.collect(), &all_grades)
    }
}

/// The judged queries of a split with their candidates, by query id.
///
/// # Errors
/// As [`graded_lists`].
pub fn candidate_lists(
    ingest: &StageDir,
    collection: &Collection,
    split: &str,
    config: &Validation,
) -> anyhow::Result<Vec<CandidateList>> {
    let mut all_grades = grades_by_query(ingest, split)?;
    let (lists, _) = graded_lists(ingest, &collection.corpus, split)?;
    let found = match config.candidates.retriever() {
        Some(by) => {
            let queries: Vec<usize> = lists.iter().map(|list| list.query).collect();
            collection.best(by, &queries, config.depth)?.into_iter().map(Some).collect()
        }
        None => vec![None; lists.len()],
    };
    let list = |(GradedList { query, documents, grades, .. }, found): (GradedList, Option<Vec<usize>>)| {
        let all_grades = all_grades.remove(&collection.corpus.queries[query].query_id).unwrap_or_default();
        let missing = all_grades.len().saturating_sub(documents.len());
        let Some(mut found) = found else {
            let grades = grades.into_iter().map(Some).collect();
            return CandidateList { query, documents, grades, all_grades, missing };
        };
        let judged: HashMap<usize, u8> = documents.into_iter().zip(grades).collect();
        found.sort_unstable();
        let grades = found.iter().map(|document| judged.get(document).copied()).collect();
        CandidateList { query, documents: found, grades, all_grades, missing }
    };
    let lists = lists.into_iter().zip(found).map(list).collect();
    if !all_grades.is_empty() {
        tracing::warn!(
            "{} judged queries of the split `{split}` have no judged document in the table documents, and are left out",
            all_grades.len()
        );
    }
    Ok(lists)
}

/// Every judged grade of every query of a split, documents without a text included.
fn grades_by_query(ingest: &StageDir, split: &str) -> anyhow::Result<HashMap<String, Vec<u8>>> {
    let table = ingest.table("judgments")?;
    let (query_ids, grades, splits) = (table.strings("query_id")?, table.int32s("grade")?, table.strings("split")?);
    let mut all: HashMap<String, Vec<u8>> = HashMap::new();
    for row in (0..table.rows()).filter(|&row| splits.value(row) == split) {
        let grade = u8::try_from(grades.value(row)).context("a negative grade")?;
        all.entry(query_ids.value(row).into()).or_default().push(grade);
    }
    Ok(all)
}
