//! BM25 as the plain sum over all documents: what the pruned search must equal.

use std::collections::HashMap;

use crate::Bm25;

/// Token counts of every document.
pub(crate) struct Exhaustive {
    config: Bm25,
    counts: Vec<HashMap<String, f64>>,
    lengths: Vec<f64>,
    mean: f64,
    frequencies: HashMap<String, f64>,
}

impl Exhaustive {
    pub(crate) fn build(config: Bm25, documents: &[Vec<String>]) -> Exhaustive {
        let mut frequencies: HashMap<String, f64> = HashMap::new();
        let mut counts: Vec<HashMap<String, f64>> = Vec::new();
        for tokens in documents {
            let mut own: HashMap<String, f64> = HashMap::new();
            tokens.iter().for_each(|token| *own.entry(token.clone()).or_default() += 1.0);
            own.keys().for_each(|token| *frequencies.entry(token.clone()).or_default() += 1.0);
            counts.push(own);
        }
        let lengths: Vec<f64> = documents.iter().map(|tokens| tokens.len() as f64).collect();
        let mean = lengths.iter().sum::<f64>() / lengths.len() as f64;
        Exhaustive { config, counts, lengths, mean, frequencies }
    }

    pub(crate) fn score(&self, query: &[String], document: usize) -> f64 {
        let Some(counts) = self.counts.get(document) else { return 0.0 };
        let Bm25 { k1, b } = self.config;
        let documents = self.lengths.len() as f64;
        let weight = |token: &String| {
            let Some(&tf) = counts.get(token) else { return 0.0 };
            let df = self.frequencies[token];
            let idf = (1.0 + (documents - df + 0.5) / (df + 0.5)).ln();
            idf * tf / (tf + k1 * (1.0 - b + b * self.lengths[document] / self.mean))
        };
        query.iter().map(weight).sum()
    }

    pub(crate) fn top_k(&self, query: &[String], k: usize) -> Vec<(usize, f64)> {
        let all = (0..self.counts.len()).map(|document| (document, self.score(query, document)));
        let mut matches: Vec<(usize, f64)> = all.filter(|&(_, score)| score > 0.0).collect();
        matches.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        matches.truncate(k);
        matches
    }
}
