//! The texts of a run, and what finds them.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::Arc;

use analysis::{Analyzer, AnalyzerName};
use anyhow::{Context, ensure};
use pipeline::config::{RetrievalConfig, Retriever};
use pipeline::{BadInput, Input};
use rayon::prelude::*;
use search::Index;
use tables::StageDir;

use crate::dense::Dense;
use crate::{Asked, Corpus, GradedList, Query};

/// Documents of each list that are fused.
const FUSED_DEPTH: usize = 1000;

/// Added to a rank before its reciprocal is taken (Cormack, Clarke and Büttcher, SIGIR 2009).
const RANK_OFFSET: f64 = 60.0;

/// Documents that were found, with their scores, best first.
pub(crate) type Found = Vec<(usize, f64)>;

/// Queries and documents, BM25 over title and summary of all documents, and, where the run has them, their vectors.
#[derive(Debug, Clone)]
pub struct Collection {
    /// The texts.
    pub corpus: Corpus,
    analyzer: Analyzer,
    index: Arc<Index>,
    dense: Option<Dense>,
    /// By what documents that nobody judged are found.
    lists: Retriever,
}

/// What a stage that opens the collection reads.
#[must_use]
pub fn inputs(config: &RetrievalConfig) -> Vec<Input> {
    let mut inputs = vec![
        Input::Table { stage: "ingest", table: "queries" },
        Input::Folder { stage: "ingest", folder: search::FOLDER },
    ];
    if config.dense.is_some() {
        inputs.push(Input::Folder { stage: crate::EMBED, folder: crate::VECTORS });
    }
    inputs
}

impl Collection {
    /// Opens the collection of a run whose stages `open` opens.
    ///
    /// # Errors
    /// [`tables::Error`]; an index of another analyzer or of other documents; vectors of another model or of other texts.
    pub fn read(
        open: impl Fn(&str) -> tables::Result<StageDir>,
        config: &RetrievalConfig,
    ) -> anyhow::Result<Collection> {
        let ingest = open("ingest")?;
        let corpus = Corpus::read(&ingest)?;
        let fact = ingest.manifest().facts.get(search::ANALYZER_FACT).cloned().unwrap_or_default();
        let name = serde_json::from_value(fact.clone()).map_err(|_| {
            let path = ingest.path().display();
            BadInput(format!(
                "{path}: expected the name of an analyzer in the manifest, found {fact}; re-run ingest with --force"
            ))
        })?;
        let analyzer = Analyzer::new(name);
        let index = search::open_index(&ingest.path().join(search::FOLDER), &analyzer, corpus.documents())
            .map_err(|error| BadInput(error.to_string()))?;
        let dense = match &config.dense {
            Some(model) => Some(Dense::open(&open(crate::EMBED)?, &corpus, model)?),
            None => None,
        };
        Ok(Collection { corpus, analyzer, index: Arc::new(index), dense, lists: config.lists })
    }

    /// A collection in memory, without vectors.
    ///
    /// # Errors
    /// Where the index cannot be made.
    pub fn new(corpus: Corpus, analyzer: AnalyzerName) -> search::Result<Collection> {
        let analyzer = Analyzer::new(analyzer);
        let texts = (0..corpus.documents().len()).map(|document| [corpus.title(document), corpus.summary(document)]);
        let index = search::index_in_memory(&analyzer, corpus.documents().digest(), texts)?;
        Ok(Collection { corpus, analyzer, index: Arc::new(index), dense: None, lists: Retriever::Bm25 })
    }

    /// The same documents without the part that is asked; those of `documents` are the queries. BM25 still sees all of a document,
    /// and it alone finds documents, as such queries have no vectors.
    #[must_use]
    pub fn asked_by(&self, documents: &[usize], asked: Asked) -> Collection {
        let corpus = self.corpus.asked_by(documents, asked);
        Collection { corpus, dense: None, lists: Retriever::Bm25, ..self.clone() }
    }

    /// This one with generated queries behind the run's own, and their vectors in the same order, or none where nothing is found
    /// by vectors.
    ///
    /// # Errors
    /// As [`Corpus::with_generated`]; another number of vectors than of queries.
    pub fn with_generated(self, queries: Vec<Query>, vectors: Vec<Vec<f32>>) -> anyhow::Result<Collection> {
        let (count, found) = (queries.len(), vectors.len());
        ensure!(found == 0 || found == count, "expected vectors of {count} generated queries, found {found}");
        let corpus = self.corpus.with_generated(queries)?;
        let dense = self.dense.map(|dense| dense.with_generated(vectors)).transpose()?;
        Ok(Collection { corpus, dense, ..self })
    }

    /// True if documents have vectors.
    #[must_use]
    pub fn is_dense(&self) -> bool {
        self.dense.is_some()
    }

    /// The documents that are found for each of `queries`, best first, at most `k` each, as indices into the corpus.
    ///
    /// # Errors
    /// Where vectors cannot be read.
    pub fn best(&self, by: Retriever, queries: &[usize], k: usize) -> anyhow::Result<Vec<Vec<usize>>> {
        let documents = |found: Found| found.into_iter().map(|(document, _)| document).collect();
        let found = match by {
            Retriever::Bm25 => self.by_words(queries, k),
            Retriever::Dense => self.dense()?.best(queries, k)?,
            Retriever::Fused => {
                let mut fused = self.fused(queries, FUSED_DEPTH.max(k))?;
                fused.iter_mut().for_each(|found| found.truncate(k));
                fused
            }
        };
        Ok(found.into_iter().map(documents).collect())
    }

    /// As [`Collection::best`], by what finds documents that nobody judged.
    ///
    /// # Errors
    /// As there.
    pub fn best_unjudged(&self, queries: &[usize], k: usize) -> anyhow::Result<Vec<Vec<usize>>> {
        self.best(self.lists, queries, k)
    }

    /// What `by` scores `documents` for each query; 0 where fusion does not have one.
    ///
    /// # Errors
    /// As [`Collection::best`].
    pub fn scores(&self, by: Retriever, lists: &[(usize, &[usize])]) -> anyhow::Result<Vec<Vec<f64>>> {
        match by {
            Retriever::Bm25 => Ok(lists.iter().map(|&(query, documents)| self.words_of(query, documents)).collect()),
            Retriever::Dense => {
                let dense = self.dense()?;
                lists.iter().map(|&(query, documents)| dense.scores(query, documents)).collect()
            }
            Retriever::Fused => {
                let queries: Vec<usize> = lists.iter().map(|&(query, _)| query).collect();
                let fused = self.fused(&queries, FUSED_DEPTH)?.into_iter().zip(lists);
                let scores = fused.map(|(found, &(_, documents))| {
                    let found: HashMap<usize, f64> = found.into_iter().collect();
                    documents.iter().map(|document| found.get(document).copied().unwrap_or(0.0)).collect()
                });
                Ok(scores.collect())
            }
        }
    }

    /// Gives every list, as negatives, those of the documents found at `ranks`, from 1, that nobody judged for its query and
    /// that have a text.
    ///
    /// # Errors
    /// As [`Collection::best`].
    pub fn add_negatives(&self, lists: &mut [GradedList], ranks: &RangeInclusive<usize>) -> anyhow::Result<()> {
        if ranks.is_empty() {
            return Ok(());
        }
        let before = ranks.start().saturating_sub(1);
        let blank = |document: usize| {
            self.corpus.title(document).trim().is_empty() && self.corpus.summary(document).trim().is_empty()
        };
        let queries: Vec<usize> = lists.iter().map(|list| list.query).collect();
        for (list, best) in lists.iter_mut().zip(self.best_unjudged(&queries, *ranks.end())?) {
            let judged: HashSet<usize> = list.documents.iter().copied().collect();
            list.negatives = best.into_iter().skip(before).collect();
            list.negatives.retain(|&document| !judged.contains(&document) && !blank(document));
        }
        Ok(())
    }

    fn by_words(&self, queries: &[usize], k: usize) -> Vec<Found> {
        queries.par_iter().map(|&query| self.index.top_k(&self.tokens(query), k)).collect()
    }

    fn words_of(&self, query: usize, documents: &[usize]) -> Vec<f64> {
        let tokens = self.tokens(query);
        documents.iter().map(|&document| self.index.score(&tokens, document)).collect()
    }

    fn tokens(&self, query: usize) -> Vec<String> {
        self.analyzer.tokens(&self.corpus.queries[query].text)
    }

    fn dense(&self) -> anyhow::Result<&Dense> {
        self.dense.as_ref().context("retrieval.dense: expected vectors, found none")
    }

    /// Documents of the first `depth` of both, by the sum of their reciprocal ranks; ties by number.
    fn fused(&self, queries: &[usize], depth: usize) -> anyhow::Result<Vec<Found>> {
        let dense = self.dense()?.best(queries, depth)?;
        let fuse = |(words, dense): (Found, Found)| {
            let mut scores: HashMap<usize, f64> = HashMap::new();
            for found in [words, dense] {
                for (rank, (document, _)) in found.into_iter().enumerate() {
                    *scores.entry(document).or_default() += 1.0 / (RANK_OFFSET + 1.0 + rank as f64);
                }
            }
            let mut fused: Found = scores.into_iter().collect();
            fused.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            fused
        };
        Ok(self.by_words(queries, depth).into_iter().zip(dense).map(fuse).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Query;

    fn query(text: &str) -> Query {
        Query { query_id: "q".into(), text: text.into(), searches: 1, split: "train".into() }
    }

    #[test]
    fn negatives_are_the_first_documents_that_nobody_judged() {
        let titles = ["blue bowl", "red bowl", "cup", "red cup", "red red bowl"];
        let ids = ["d0", "d1", "d2", "d3", "d4"];
        let documents = ids.into_iter().zip(titles).map(|(id, title)| (id, title, "of glass"));
        let corpus = Corpus::new(vec![query("red bowl")], documents).unwrap();
        let collection = Collection::new(corpus, AnalyzerName::Unicode).unwrap();
        let best = collection.best_unjudged(&[0], 9).unwrap().remove(0);
        assert_eq!(best.len(), 4);
        let judged = GradedList { query: 0, documents: vec![best[1], 2], grades: vec![3, 0], negatives: Vec::new() };
        let negatives = |ranks| {
            let mut lists = [judged.clone()];
            collection.add_negatives(&mut lists, &ranks).unwrap();
            lists[0].negatives.clone()
        };
        assert_eq!(negatives(RangeInclusive::new(1, 0)), [0; 0]);
        assert_eq!(negatives(1..=2), [best[0]]);
        assert_eq!(negatives(1..=50), [best[0], best[2], best[3]]);
        assert_eq!(negatives(4..=50), [best[3]]);
        assert_eq!(negatives(3..=3), [best[2]]);
        let scores = collection.scores(Retriever::Bm25, &[(0, &[best[0], 2])]).unwrap().remove(0);
        assert!(scores[0] > 0.0 && scores[1] == 0.0, "{scores:?}");
        assert!(collection.best(Retriever::Fused, &[0], 9).is_err());
    }

    #[test]
    fn titles_that_are_asked_find_other_texts() {
        let documents = [("a", "red bowl", "of glass"), ("b", "red cup", "of red tin"), ("c", "bowl", " ")];
        let corpus = Corpus::new(Vec::new(), documents).unwrap();
        let collection = Collection::new(corpus, AnalyzerName::Unicode).unwrap().asked_by(&[0], Asked::Title);
        let mut lists = [GradedList { documents: vec![0], grades: vec![1], ..GradedList::default() }];
        collection.add_negatives(&mut lists, &(1..=9)).unwrap();
        // The third one has no text but its title.
        assert_eq!(lists[0].negatives, [1]);
    }
}
