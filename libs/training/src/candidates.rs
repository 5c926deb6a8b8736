//! Which documents every system ranks for a judged query.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use anyhow::Context;
use pipeline::config::{Candidates, EvaluateConfig};
use ranking::metrics::{Conventions, Document as Ranked, JudgedList, Mean, ndcg};
use tables::StageDir;

use crate::{Collection, Corpus, GradedList, graded_lists};

/// Keys of `[evaluate]` that decide the candidates; stages that validate on them run again when one changes.
pub const CANDIDATE_KEYS: [&str; 2] = ["evaluate.candidates", "evaluate.depth"];

/// A judged query with its candidates: what every system ranks, in validation as in the evaluation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CandidateList {
    /// Index of the query in the corpus.
    pub query: usize,
    /// Indices of the candidates in the corpus, in the order of their ids.
    pub documents: Vec<usize>,
    /// Grade of each candidate, 0 where nobody judged it.
    pub grades: Vec<u8>,
    /// Grades of every judged document of the query, candidate or not, those without a text included: what the ideal
    /// ranking is made of.
    pub all_grades: Vec<u8>,
}

/// The judged queries of a split with their candidates, by query id.
///
/// # Errors
/// As [`graded_lists`].
pub fn candidate_lists(
    ingest: &StageDir,
    collection: &Collection,
    split: &str,
    config: &EvaluateConfig,
) -> anyhow::Result<Vec<CandidateList>> {
    let mut all_grades = grades_by_query(ingest, split)?;
    let (lists, _) = graded_lists(ingest, &collection.corpus, split)?;
    let candidates = lists.into_iter().map(|list| {
        let all_grades = all_grades.remove(&collection.corpus.queries[list.query].query_id).unwrap_or_default();
        let GradedList { query, documents, grades, .. } = list;
        if config.candidates == Candidates::Judged {
            return Ok(CandidateList { query, documents, grades, all_grades });
        }
        let judged: HashMap<usize, u8> = documents.into_iter().zip(grades).collect();
        let mut documents = collection.best(query, config.depth)?;
        documents.sort_unstable();
        let grades = documents.iter().map(|document| judged.get(document).copied().unwrap_or(0)).collect();
        Ok(CandidateList { query, documents, grades, all_grades })
    });
    candidates.collect()
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

/// Mean NDCG@10 (exponential gain) of `scores`, one per document of every list; `None` where no list counts.
///
/// # Errors
/// A score that is not a number.
pub(crate) fn mean_ndcg(corpus: &Corpus, lists: &[CandidateList], scores: &[Vec<f32>]) -> anyhow::Result<Option<f64>> {
    let ten = NonZeroUsize::new(10).context("ten is not zero")?;
    let values = lists.iter().zip(scores).map(|(list, scores)| {
        let documents = list.documents.iter().zip(scores).zip(&list.grades);
        let documents = documents.map(|((&document, &score), &grade)| Ranked {
            doc_id: &corpus.documents[document].doc_id,
            score: f64::from(score),
            grade: Some(grade),
        });
        // The ideal ranking gains nothing from the zeros of candidates that nobody judged.
        let unjudged = list.grades.iter().copied().filter(|&grade| grade == 0);
        let judged: Vec<u8> = list.all_grades.iter().copied().chain(unjudged).collect();
        let judged = JudgedList::new(&corpus.queries[list.query].query_id, documents.collect(), &judged)?;
        Ok(ndcg(&judged, ten, &Conventions::default()))
    });
    Ok(Mean::of(&values.collect::<anyhow::Result<Vec<_>>>()?).value)
}
