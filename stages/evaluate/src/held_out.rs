//! The test queries of a run where nobody judged: the documents that the teacher scored, with its scores.

use collection::{CandidateList, Corpus, TEST};
use pipeline::BadInput;
use tables::StageDir;

use crate::TestQuery;

/// The table of stage `score`.
pub(crate) const TABLE: &str = "held_out_scores";

/// The test queries in the order of their ids, and their documents as what every system ranks.
///
/// # Errors
/// [`BadInput`] for a document that the collection does not have, and where no test query has scores.
pub(crate) fn read(score: &StageDir, corpus: &Corpus) -> anyhow::Result<(Vec<TestQuery>, Vec<CandidateList>)> {
    let table = score.table(TABLE)?;
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let (splits, scores) = (table.strings("split")?, table.float32s("score")?);
    let mut scored: Vec<(usize, usize, f64)> = Vec::new();
    for row in (0..table.rows()).filter(|&row| splits.value(row) == TEST) {
        let doc_id = doc_ids.value(row);
        let document = corpus.document(doc_id).ok_or_else(|| {
            BadInput(format!("document `{doc_id}` was scored but is not in ingest's table; re-run score"))
        })?;
        scored.push((corpus.query(query_ids.value(row))?, document, f64::from(scores.value(row))));
    }
    if scored.is_empty() {
        Err(BadInput(format!(
            "{}: expected the teacher's scores of at least two documents of a test query, found none; score queries of the split \
             `test`, which the table ingest/queries names, or lower ingest.split.train",
            score.path().join(TABLE).display()
        )))?;
    }
    scored.sort_unstable_by_key(|&(query, document, _)| (query, document));
    let lists = scored.chunk_by(|a, b| a.0 == b.0).map(|list| {
        let documents: Vec<usize> = list.iter().map(|&(_, document, _)| document).collect();
        let grades = vec![None; documents.len()];
        let candidates = CandidateList { query: list[0].0, documents, grades, all_grades: Vec::new(), missing: 0 };
        let teacher = list.iter().map(|&(.., score)| score).collect();
        (TestQuery { teacher, ..TestQuery::of(corpus, &candidates) }, candidates)
    });
    Ok(lists.unzip())
}
