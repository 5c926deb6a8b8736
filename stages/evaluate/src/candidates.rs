//! Which documents every system ranks for a test query.

use std::collections::HashMap;

use pipeline::config::{Candidates, EvaluateConfig};
use ranking::bm25::{Bm25Config, Index, tokenize};
use tables::StageDir;
use training::{Corpus, GradedList, TEST, graded_lists};

use crate::TestQuery;

/// The texts of the run and BM25 over all its documents.
#[derive(Debug)]
pub(crate) struct Collection {
    pub(crate) corpus: Corpus,
    pub(crate) index: Index,
}

/// A test query with the candidates' places in the corpus.
#[derive(Debug)]
pub(crate) struct CandidateList {
    /// Index of the query in the corpus.
    pub(crate) query: usize,
    /// Indices of the candidates in the corpus, in the order of their ids.
    pub(crate) documents: Vec<usize>,
}

impl Collection {
    /// Reads queries and documents and indexes title and summary.
    pub(crate) fn read(ingest: &StageDir) -> anyhow::Result<Collection> {
        let corpus = Corpus::read(ingest)?;
        let texts = corpus.documents.iter().map(|d| tokenize(&format!("{} {}", d.title, d.summary)));
        let index = Index::build(Bm25Config::default(), texts)?;
        Ok(Collection { corpus, index })
    }

    /// BM25's score of every matching document for a query of the corpus, best first, at most `k`.
    pub(crate) fn bm25(&self, query: usize, k: usize) -> Vec<(usize, f64)> {
        self.index.top_k(&tokenize(&self.corpus.queries[query].text), k)
    }
}

/// The judged queries of the test split with their candidates, by query id.
pub(crate) fn test_queries(
    ingest: &StageDir,
    collection: &Collection,
    config: &EvaluateConfig,
) -> anyhow::Result<Vec<(CandidateList, TestQuery)>> {
    let mut all_grades = grades_by_query(ingest)?;
    let (lists, _) = graded_lists(ingest, &collection.corpus, TEST)?;
    let queries = lists.into_iter().map(|list| {
        let query = &collection.corpus.queries[list.query];
        let documents = candidates(collection, config, &list);
        let grades: HashMap<usize, u8> = list.documents.iter().copied().zip(list.grades.iter().copied()).collect();
        let test = TestQuery {
            query_id: query.query_id.clone(),
            query: query.text.clone(),
            searches: query.searches,
            doc_ids: documents.iter().map(|&d| collection.corpus.documents[d].doc_id.clone()).collect(),
            grades: documents.iter().map(|document| grades.get(document).copied().unwrap_or(0)).collect(),
            all_grades: all_grades.remove(&query.query_id).unwrap_or_default(),
        };
        (CandidateList { query: list.query, documents }, test)
    });
    Ok(queries.collect())
}

fn candidates(collection: &Collection, config: &EvaluateConfig, list: &GradedList) -> Vec<usize> {
    match config.candidates {
        Candidates::Judged => list.documents.clone(),
        Candidates::Bm25 => {
            let mut documents: Vec<usize> =
                collection.bm25(list.query, config.depth).into_iter().map(|(document, _)| document).collect();
            documents.sort_unstable();
            documents
        }
    }
}

/// Every judged grade of every test query, documents without a text included: the ideal ranking knows them all.
fn grades_by_query(ingest: &StageDir) -> anyhow::Result<HashMap<String, Vec<u8>>> {
    let table = ingest.table("judgments")?;
    let (query_ids, grades, splits) = (table.strings("query_id")?, table.int32s("grade")?, table.strings("split")?);
    let mut all: HashMap<String, Vec<u8>> = HashMap::new();
    for row in (0..table.rows()).filter(|&row| splits.value(row) == TEST) {
        all.entry(query_ids.value(row).into()).or_default().push(u8::try_from(grades.value(row))?);
    }
    Ok(all)
}
