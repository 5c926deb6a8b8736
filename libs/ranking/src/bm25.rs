//! BM25 over an inverted index: the lexical baseline.
//!
//! The variant is Lucene's since version 8 (Kamphuis et al., "Which BM25 Do You Mean? A Large-Scale Reproducibility
//! Study of Scoring Variants", ECIR 2020), which `bm25s` calls `lucene`:
//!
//! ```text
//! score(q, d) = sum over the tokens t of q of idf(t) * tf(t, d) / (tf(t, d) + k1 * (1 - b + b * |d| / mean |d|))
//! idf(t)      = ln(1 + (N - df(t) + 0.5) / (df(t) + 0.5))
//! ```
//!
//! A token that the query repeats counts each time. Document lengths are exact, not rounded to a byte.

use std::collections::HashMap;

/// The two parameters of BM25.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bm25Config {
    /// How slowly repeated tokens saturate: at least 0, default 1.5.
    pub k1: f64,
    /// How much long documents are discounted: 0 (not) to 1 (in full), default 0.75.
    pub b: f64,
}

impl Default for Bm25Config {
    fn default() -> Self {
        Self { k1: 1.5, b: 0.75 }
    }
}

/// A parameter that BM25 refuses.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Bm25Error {
    /// `k1` is negative, NaN or infinite.
    #[error("expected a finite k1 of at least 0, found {0}")]
    K1(f64),
    /// `b` is not in \[0, 1\].
    #[error("expected b from 0 to 1, found {0}")]
    B(f64),
}

/// The lowercased runs of letters and digits of `text`, in order, as Unicode classifies them.
///
/// Scripts written without spaces come out as whole runs: segment such text first.
pub fn tokenize(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|run| !run.is_empty()).map(str::to_lowercase).collect()
}

/// What one token adds to the score of one document.
#[derive(Debug, Clone)]
struct Posting {
    document: usize,
    weight: f64,
}

/// An inverted index with the weights worked out at build time, so that a query is a sum of postings.
#[derive(Debug, Clone)]
pub struct Index {
    terms: HashMap<String, usize>,
    /// By term; each in rising order of document.
    postings: Vec<Vec<Posting>>,
    documents: usize,
}

impl Index {
    /// Indexes `documents`, each a sequence of tokens; a document is named by its place in the sequence, from 0.
    ///
    /// # Errors
    /// [`Bm25Error`] on parameters out of range.
    pub fn build<D>(config: Bm25Config, documents: impl IntoIterator<Item = D>) -> Result<Self, Bm25Error>
    where
        D: IntoIterator,
        D::Item: AsRef<str>,
    {
        if !(config.k1.is_finite() && config.k1 >= 0.0) {
            return Err(Bm25Error::K1(config.k1));
        }
        if !(0.0..=1.0).contains(&config.b) {
            return Err(Bm25Error::B(config.b));
        }
        let mut index = Self { terms: HashMap::new(), postings: Vec::new(), documents: 0 };
        let lengths: Vec<f64> = documents.into_iter().map(|tokens| index.count(tokens)).collect();
        index.weigh(config, &lengths);
        Ok(index)
    }

    /// Adds a document with the frequency of each of its tokens as weight; returns its length in tokens.
    fn count<D>(&mut self, tokens: D) -> f64
    where
        D: IntoIterator,
        D::Item: AsRef<str>,
    {
        let document = self.documents;
        self.documents += 1;
        let mut length = 0.0;
        for token in tokens {
            length += 1.0;
            let term = self.term(token.as_ref());
            match self.postings[term].last_mut() {
                Some(last) if last.document == document => last.weight += 1.0,
                _ => self.postings[term].push(Posting { document, weight: 1.0 }),
            }
        }
        length
    }

    /// The number of `token`, given to it now if it is new.
    fn term(&mut self, token: &str) -> usize {
        if let Some(&term) = self.terms.get(token) {
            return term;
        }
        let term = self.postings.len();
        self.terms.insert(token.to_owned(), term);
        self.postings.push(Vec::new());
        term
    }

    /// Turns frequencies into weights, now that document frequencies and the mean length are known.
    fn weigh(&mut self, Bm25Config { k1, b }: Bm25Config, lengths: &[f64]) {
        let documents = lengths.len() as f64;
        let mean_length = lengths.iter().sum::<f64>() / documents;
        for postings in &mut self.postings {
            let df = postings.len() as f64;
            let idf = (1.0 + (documents - df + 0.5) / (df + 0.5)).ln();
            for posting in postings {
                let tf = posting.weight;
                let saturation = k1 * (1.0 - b + b * lengths[posting.document] / mean_length);
                posting.weight = idf * tf / (tf + saturation);
            }
        }
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.documents
    }

    /// True if no document is indexed.
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    fn postings(&self, token: &str) -> &[Posting] {
        self.terms.get(token).map_or(&[], |&term| &self.postings[term])
    }

    /// The documents that hold a token of `query`, in rising order, with their scores, all above 0.
    pub fn score_all(&self, query: &[impl AsRef<str>]) -> Vec<(usize, f64)> {
        let mut scores = vec![0.0; self.documents];
        for posting in query.iter().flat_map(|token| self.postings(token.as_ref())) {
            scores[posting.document] += posting.weight;
        }
        scores.into_iter().enumerate().filter(|&(_, score)| score > 0.0).collect()
    }

    /// The `k` best documents of [`Index::score_all`], highest score first, ties by rising document.
    pub fn top_k(&self, query: &[impl AsRef<str>], k: usize) -> Vec<(usize, f64)> {
        let best_first = |a: &(usize, f64), b: &(usize, f64)| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0));
        let mut matches = self.score_all(query);
        if k < matches.len() {
            matches.select_nth_unstable_by(k, best_first);
            matches.truncate(k);
        }
        matches.sort_unstable_by(best_first);
        matches
    }

    /// The score of one document: 0 if it holds no token of `query` or is not in the index.
    pub fn score(&self, query: &[impl AsRef<str>], document: usize) -> f64 {
        let weight = |token: &str| {
            let postings = self.postings(token);
            postings.binary_search_by_key(&document, |posting| posting.document).map_or(0.0, |at| postings[at].weight)
        };
        query.iter().map(|token| weight(token.as_ref())).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn index(documents: &[&str]) -> Index {
        Index::build(Bm25Config::default(), documents.iter().map(|text| tokenize(text))).unwrap()
    }

    #[test]
    fn tokens_are_lowercased_runs_of_letters_and_digits() {
        assert_eq!(tokenize("  Wi-Fi 6E, ÉCOLE_straße\t№7!"), ["wi", "fi", "6e", "école", "straße", "7"]);
        assert_eq!(tokenize("北京 天气"), ["北京", "天气"]);
        assert!(tokenize("--\u{0}--").is_empty());
    }

    #[test]
    fn one_document_scores_by_hand() {
        let index = index(&["a b", "c c c d"]);
        let idf = (1.0_f64 + 1.5 / 1.5).ln();
        let expected = idf * 3.0 / (3.0 + 1.5 * (0.25 + 0.75 * 4.0 / 3.0));
        assert!((index.score(&["c"], 1) - expected).abs() < 1e-12);
        assert_eq!(index.score(&["c", "c"], 1), 2.0 * index.score(&["c"], 1));
        assert_eq!(index.score(&["c"], 0), 0.0);
        assert_eq!(index.score(&["c"], 9), 0.0);
    }

    #[test]
    fn ties_come_in_document_order_and_k_cuts_them() {
        let index = index(&["x", "y", "x", "x"]);
        let documents = |k| index.top_k(&["x", "unseen"], k).into_iter().map(|(d, _)| d).collect::<Vec<_>>();
        assert_eq!(documents(0), [0; 0]);
        assert_eq!(documents(2), [0, 2]);
        assert_eq!(documents(9), [0, 2, 3]);
    }

    #[test]
    fn nothing_matches_in_an_empty_index_or_for_an_empty_query() {
        assert!(index(&[]).is_empty());
        assert!(index(&[]).score_all(&["x"]).is_empty());
        assert!(index(&["", ""]).score_all(&["x"]).is_empty());
        assert!(index(&["x"]).top_k(&[""; 0], 3).is_empty());
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        let build = |k1, b| Index::build(Bm25Config { k1, b }, [["x"]]).map(|_| ()).unwrap_err().to_string();
        assert_eq!(build(-1.0, 0.5), "expected a finite k1 of at least 0, found -1");
        assert_eq!(build(1.0, f64::NAN), "expected b from 0 to 1, found NaN");
    }

    proptest! {
        #[test]
        fn the_three_ways_to_score_agree(
            documents in prop::collection::vec(prop::collection::vec("[a-f]", 0..9), 0..20),
            query in prop::collection::vec("[a-h]", 0..5),
            k in 0_usize..25,
        ) {
            let index = Index::build(Bm25Config::default(), &documents).unwrap();
            let mut all = index.score_all(&query);
            for (document, tokens) in documents.iter().enumerate() {
                let listed = all.iter().find(|entry| entry.0 == document).map_or(0.0, |entry| entry.1);
                prop_assert_eq!(index.score(&query, document), listed);
                prop_assert_eq!(listed > 0.0, query.iter().any(|token| tokens.contains(token)));
            }
            all.sort_by(|a, b| b.1.total_cmp(&a.1));
            all.truncate(k);
            prop_assert_eq!(index.top_k(&query, k), all);
        }
    }
}
