//! What is evaluated.

use collection::{CandidateList, Corpus};
use ranking::metrics::Grade;

use crate::cost::Cost;

/// A test query: the documents every system ranks, and what was judged.
#[derive(Debug, Clone, PartialEq)]
pub struct TestQuery {
    /// The query.
    pub query_id: String,
    /// Its text.
    pub query: String,
    /// Its value of each of `evaluate.slices`.
    pub attributes: Vec<Attribute>,
    /// The candidates: what every system ranks. Empty where the systems are runs that are read from files.
    pub doc_ids: Vec<String>,
    /// Grade of each candidate; `None` where nobody judged it.
    pub grades: Vec<Option<Grade>>,
    /// Grades of every judged document of the query, candidate or not: what the ideal ranking is made of.
    pub all_grades: Vec<Grade>,
    /// Judged documents that the table `documents` does not have, so that no system can rank them.
    pub missing: usize,
    /// The teacher's score of each candidate, where nobody judged and its order takes the place of judgments; else empty.
    pub teacher: Vec<f64>,
}

/// What queries are parted by: a value of a column.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A number, which is above the median or not.
    Number(f64),
    /// A text, of which each value is a slice.
    Text(String),
}

impl TestQuery {
    /// A judged query of the corpus with its candidates, without attributes.
    pub(crate) fn of(corpus: &Corpus, list: &CandidateList) -> TestQuery {
        let query = &corpus.queries[list.query];
        TestQuery {
            query_id: query.query_id.clone(),
            query: query.text.clone(),
            attributes: Vec::new(),
            doc_ids: list.documents.iter().map(|&document| corpus.doc_id(document).to_string()).collect(),
            grades: list.grades.iter().map(|grade| grade.map(Grade::from)).collect(),
            all_grades: list.all_grades.iter().copied().map(Grade::from).collect(),
            missing: list.missing,
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

/// What the report shows beside figures.
#[derive(Debug, Default)]
pub(crate) struct Background {
    /// Texts of the documents, of each run that was merged.
    pub(crate) corpora: Vec<Corpus>,
    /// Of the models that ranked.
    pub(crate) costs: Vec<Cost>,
}

/// Test queries with the answers to them.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) queries: Vec<TestQuery>,
    pub(crate) runs: Vec<SystemRun>,
    pub(crate) background: Background,
}
