//! The texts of a run with BM25 over them.

use std::collections::HashSet;
use std::sync::OnceLock;

use ranking::bm25::{Bm25Config, Bm25Error, Index, tokenize};
use tables::StageDir;

use crate::{Corpus, GradedList};

/// Queries and documents, and BM25 over title and summary of all documents.
#[derive(Debug)]
pub struct Collection {
    /// The texts.
    pub corpus: Corpus,
    /// Made when it is first asked.
    index: OnceLock<Index>,
}

impl Collection {
    /// A collection of these texts.
    #[must_use]
    pub fn new(corpus: Corpus) -> Collection {
        Collection { corpus, index: OnceLock::new() }
    }

    /// Reads the tables `queries` and `documents` of ingest.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn read(ingest: &StageDir) -> tables::Result<Collection> {
        Ok(Collection::new(Corpus::read(ingest)?))
    }

    /// The documents that BM25 finds for a query, best first, at most `k`, as indices into the corpus.
    ///
    /// # Errors
    /// As [`Collection::scores`].
    pub fn best(&self, query: usize, k: usize) -> Result<Vec<usize>, Bm25Error> {
        let found = self.index()?.top_k(&tokenize(&self.corpus.queries[query].text), k);
        Ok(found.into_iter().map(|(document, _)| document).collect())
    }

    /// BM25's scores of `documents` for a query.
    ///
    /// # Errors
    /// [`Bm25Error`], which BM25's default parameters rule out.
    pub fn scores(&self, query: usize, documents: &[usize]) -> Result<Vec<f64>, Bm25Error> {
        let (index, tokens) = (self.index()?, tokenize(&self.corpus.queries[query].text));
        Ok(documents.iter().map(|&document| index.score(&tokens, document)).collect())
    }

    /// Gives every list, as negatives, those of BM25's first `depth` documents that nobody judged for its query.
    ///
    /// # Errors
    /// As [`Collection::scores`].
    pub fn add_negatives(&self, lists: &mut [GradedList], depth: usize) -> Result<(), Bm25Error> {
        if depth == 0 {
            return Ok(());
        }
        for list in lists {
            let judged: HashSet<usize> = list.documents.iter().copied().collect();
            list.negatives = self.best(list.query, depth)?;
            list.negatives.retain(|document| !judged.contains(document));
        }
        Ok(())
    }

    fn index(&self) -> Result<&Index, Bm25Error> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let texts = self.corpus.documents.iter().map(|d| tokenize(&format!("{} {}", d.title, d.summary)));
        let built = Index::build(Bm25Config::default(), texts)?;
        Ok(self.index.get_or_init(|| built))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Document, Query};

    fn collection(query: &str, titles: &[&str]) -> Collection {
        let query = Query { query_id: "q".into(), text: query.into(), searches: 1, split: "train".into() };
        let document = |(number, title): (usize, &&str)| Document {
            doc_id: format!("d{number}"),
            title: title.to_string(),
            summary: "of glass".into(),
        };
        Collection::new(Corpus::new(vec![query], titles.iter().enumerate().map(document).collect()))
    }

    #[test]
    fn negatives_are_the_first_documents_that_nobody_judged() {
        let collection = collection("red bowl", &["blue bowl", "red bowl", "cup", "red cup", "red red bowl"]);
        let best = collection.best(0, 9).unwrap();
        assert_eq!(best.len(), 4);
        let judged = GradedList { query: 0, documents: vec![best[1], 2], grades: vec![3, 0], negatives: Vec::new() };
        let negatives = |depth| {
            let mut lists = [judged.clone()];
            collection.add_negatives(&mut lists, depth).unwrap();
            lists[0].negatives.clone()
        };
        assert_eq!(negatives(0), [0; 0]);
        assert_eq!(negatives(2), [best[0]]);
        assert_eq!(negatives(50), [best[0], best[2], best[3]]);
        let scores = collection.scores(0, &[best[0], 2]).unwrap();
        assert!(scores[0] > 0.0 && scores[1] == 0.0, "{scores:?}");
    }
}
