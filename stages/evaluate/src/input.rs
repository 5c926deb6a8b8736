//! What is evaluated.

use collection::{CandidateList, Corpus};

/// A test query: the documents every system ranks, and what was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct TestQuery {
    /// The query.
    pub query_id: String,
    /// Its text.
    pub query: String,
    /// How often it was searched; the log's head is what lies above the median.
    pub searches: i64,
    /// The candidates: what every system ranks.
    pub doc_ids: Vec<String>,
    /// Grade of each candidate; `None` where nobody judged it.
    pub grades: Vec<Option<u8>>,
    /// Grades of every judged document of the query, candidate or not: what the ideal ranking is made of.
    pub all_grades: Vec<u8>,
    /// The teacher's score of each candidate, where nobody judged and its order takes the place of judgments; else empty.
    pub teacher: Vec<f64>,
}

impl TestQuery {
    /// A judged query of the corpus with its candidates.
    pub(crate) fn of(corpus: &Corpus, list: &CandidateList) -> TestQuery {
        let query = &corpus.queries[list.query];
        TestQuery {
            query_id: query.query_id.clone(),
            query: query.text.clone(),
            searches: query.searches,
            doc_ids: list.documents.iter().map(|&document| corpus.doc_id(document).to_string()).collect(),
            grades: list.grades.clone(),
            all_grades: list.all_grades.clone(),
            teacher: Vec::new(),
        }
    }
}

/// A system's answers to the test queries.
#[derive(Debug, Clone, PartialEq)]
pub struct SystemRun {
    /// Who ranked.
    pub system: String,
    /// For each test query, the score of each of its candidates, higher is better.
    pub scores: Vec<Vec<f64>>,
    /// Weight of the model in a system that interpolates it with BM25: one, or one for each fold. Empty in others.
    pub weights: Vec<f64>,
}
