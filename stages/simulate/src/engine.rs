//! The search engine behind the log: BM25 results, mixed with relevant documents from a second, semantic channel.
//!
//! Without the second channel no page would show a relevant document that shares no word with its query, and clicks could
//! carry no information beyond BM25.

use analysis::Analyzer;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::collection::{Collection, Query};
use crate::lexicon::pick;

/// Draws from a channel for one position of a page before it counts as exhausted: drawn documents may be on the page already.
const ATTEMPTS: usize = 20;

/// A search engine over a collection.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    collection: &'a Collection,
    /// By query: the best documents of BM25, best first.
    lexical: Vec<Vec<usize>>,
    page_size: usize,
    semantic_share: f64,
}

impl<'a> Engine<'a> {
    /// Indexes a collection for pages of `page_size` results, of which `semantic_share` come from the second channel.
    /// `depth` is how many BM25 results are kept for each query.
    ///
    /// # Errors
    /// Where the index cannot be made.
    pub(crate) fn new(
        collection: &'a Collection,
        analyzer: &Analyzer,
        page_size: usize,
        semantic_share: f64,
        depth: usize,
    ) -> search::Result<Engine<'a>> {
        let texts = collection.documents.iter().map(|document| [document.title.as_str(), document.summary.as_str()]);
        let index = search::index_in_memory(analyzer, "simulated", texts)?;
        let best = |query: &Query| {
            let best = index.top_k(&analyzer.tokens(&query.text), depth);
            best.into_iter().map(|(document, _)| document).collect()
        };
        Ok(Engine {
            collection,
            lexical: collection.queries.iter().map(best).collect(),
            page_size: page_size.min(collection.documents.len()),
            semantic_share,
        })
    }

    /// The collection.
    pub(crate) fn collection(&self) -> &'a Collection {
        self.collection
    }

    /// Number of results of a page; less than configured if the collection is smaller.
    pub(crate) fn page_size(&self) -> usize {
        self.page_size
    }

    /// The best documents of BM25 for `query`, best first.
    pub(crate) fn lexical(&self, query: usize) -> &[usize] {
        &self.lexical[query]
    }

    /// The documents shown for `query`, best position first.
    pub(crate) fn page(&self, query: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
        let mut page = Vec::with_capacity(self.page_size);
        let mut lexical = self.lexical[query].iter().copied();
        while page.len() < self.page_size {
            let semantic = rng.random_bool(self.semantic_share);
            let by_words = (!semantic).then(|| lexical.find(|document| !page.contains(document))).flatten();
            let found = by_words
                .or_else(|| self.by_meaning(query, &page, rng))
                .or_else(|| lexical.find(|document| !page.contains(document)));
            page.push(found.unwrap_or_else(|| self.any(&page, rng)));
        }
        page
    }

    /// A relevant document of `query` that is not `taken`; `None` after some draws. The grade is drawn first, each with the
    /// same probability, then one of its documents: a document of a rare high grade is drawn more often than one of a
    /// frequent low grade.
    pub(crate) fn by_meaning(&self, query: usize, taken: &[usize], rng: &mut ChaCha8Rng) -> Option<usize> {
        let relevant = &self.collection.queries[query].relevant;
        let grades: Vec<&[usize]> = relevant.iter().map(Vec::as_slice).filter(|grade| !grade.is_empty()).collect();
        if grades.is_empty() {
            return None;
        }
        (0..ATTEMPTS)
            .map(|_| {
                let documents = *pick(&grades, rng);
                *pick(documents, rng)
            })
            .find(|document| !taken.contains(document))
    }

    /// A random document that is not `taken`. At least one must not be.
    pub(crate) fn any(&self, taken: &[usize], rng: &mut ChaCha8Rng) -> usize {
        loop {
            let document = rng.random_range(0..self.collection.documents.len());
            if !taken.contains(&document) {
                return document;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use analysis::AnalyzerName;
    use ranking::rng::stream;

    use super::*;
    use crate::collection::Document;

    fn collection() -> Collection {
        let document = |number: usize| Document {
            doc_id: format!("d{number}"),
            title: String::new(),
            summary: if number < 4 { "red" } else { "blue" }.into(),
        };
        let query = |text: &str, relevant: [Vec<usize>; 4]| Query { id: text.into(), text: text.into(), relevant };
        Collection {
            documents: (0..12).map(document).collect(),
            queries: vec![
                query("red", [(4..11).collect(), vec![], vec![], vec![11]]),
                query("unknown", Default::default()),
            ],
        }
    }

    fn pages(query: usize, semantic_share: f64, page_size: usize) -> Vec<Vec<usize>> {
        let collection = collection();
        let engine =
            Engine::new(&collection, &Analyzer::new(AnalyzerName::Unicode), page_size, semantic_share, 10).unwrap();
        (0..200).map(|search| engine.page(query, &mut stream(1, "test", search))).collect()
    }

    #[test]
    fn words_alone_give_the_same_page_each_time() {
        assert!(pages(0, 0.0, 4).iter().all(|page| page == &[0, 1, 2, 3]));
    }

    #[test]
    fn meaning_finds_each_grade_equally_often() {
        let first = |document| {
            let pages = pages(0, 1.0, 4);
            pages.iter().filter(|page| page[0] == document).count()
        };
        assert_eq!(first(11) + (4..11).map(first).sum::<usize>(), 200);
        assert!((60..140).contains(&first(11)), "{}", first(11));
    }

    #[test]
    fn pages_are_full_and_hold_no_document_twice() {
        for (query, share, size) in [(0, 0.5, 5), (1, 0.5, 5), (1, 0.0, 12), (0, 1.0, 50)] {
            for mut page in pages(query, share, size) {
                page.sort_unstable();
                page.dedup();
                assert_eq!(page.len(), size.min(12));
            }
        }
    }
}
