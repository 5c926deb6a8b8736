//! Which queries and documents are graded: the same for the same run, seed and table `[grade]`.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use collection::{Collection, Corpus, GradedList, graded_lists};
use pipeline::config::{GradedSource, GradingConfig, RetrievalConfig, Retriever};
use pipeline::{BadInput, Pipeline};
use ranking::rng::{permutation, stream};
use tables::StageDir;

/// The sampled documents of each query.
#[derive(Debug)]
pub(crate) struct Sample {
    collection: Collection,
    /// In the order of their ids.
    lists: Vec<SampledList>,
}

/// The sampled documents of one query.
#[derive(Debug)]
struct SampledList {
    query: usize,
    /// In the order of their ids, with the grade of those that are judged.
    documents: Vec<(usize, Option<u8>)>,
}

impl Sample {
    /// Draws the sample of a run whose stage `ingest` is done.
    ///
    /// # Errors
    /// [`tables::Error`], [`BadInput`] where the split has no documents to grade.
    pub(crate) fn draw(pipeline: &Pipeline, config: &GradingConfig) -> anyhow::Result<Sample> {
        let root = pipeline.paths().run_dir();
        let ingest = StageDir::open(&root, "ingest")?;
        // BM25 needs no vectors.
        let collection = Collection::read(|stage| StageDir::open(&root, stage), &RetrievalConfig::default())?;
        let (judged, _) = graded_lists(&ingest, &collection.corpus, &config.split)?;
        let judged: HashMap<usize, GradedList> = judged.into_iter().map(|list| (list.query, list)).collect();
        let queries = draw_queries(&collection.corpus, &judged, config, pipeline.run.seed);
        let sources = config.from.iter().map(|source| match source {
            GradedSource::Judged => Ok(judged_documents(&queries, &judged, pipeline.run.seed)),
            GradedSource::Shown => shown_documents(&ingest, &collection.corpus, &queries),
            GradedSource::Bm25 => collection.best(Retriever::Bm25, &queries, config.documents),
        });
        let sources = sources.collect::<anyhow::Result<Vec<_>>>()?;
        let lists = queries.iter().enumerate().map(|(place, &query)| {
            let sources: Vec<&[usize]> = sources.iter().map(|source| source[place].as_slice()).collect();
            let mut documents = in_turn(&sources, config.documents);
            documents.sort_unstable();
            let grade = |document: usize| {
                let list = judged.get(&query)?;
                list.documents.iter().position(|&known| known == document).map(|at| list.grades[at])
            };
            SampledList {
                query,
                documents: documents.into_iter().map(|document| (document, grade(document))).collect(),
            }
        });
        let sample = Sample { lists: lists.collect(), collection };
        if sample.pairs().next().is_none() {
            let found = format!("{} queries without any", sample.lists.len());
            Err(BadInput(format!(
                "{}: expected documents to grade for queries of the split {}, found {found}; correct grade.split or grade.from",
                ingest.path().display(),
                config.split
            )))?;
        }
        Ok(sample)
    }

    pub(crate) fn corpus(&self) -> &Corpus {
        &self.collection.corpus
    }

    /// Query and document of each pair, one query after the other.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        self.judged_pairs().map(|(query, document, _)| (query, document))
    }

    /// The same, with the grades of the run's judgments.
    pub(crate) fn judged_pairs(&self) -> impl Iterator<Item = (usize, usize, Option<u8>)> {
        let pairs = |list: &SampledList| {
            let query = list.query;
            list.documents.clone().into_iter().map(move |(document, judged)| (query, document, judged))
        };
        self.lists.iter().flat_map(pairs)
    }
}

/// Queries of the split, in the order of their ids; with judged documents alone to grade, those that have some.
fn draw_queries(corpus: &Corpus, judged: &HashMap<usize, GradedList>, config: &GradingConfig, seed: u64) -> Vec<usize> {
    let judged_alone = config.from == [GradedSource::Judged];
    let can_be_graded =
        |&query: &usize| corpus.queries[query].split == config.split && (!judged_alone || judged.contains_key(&query));
    let all: Vec<usize> = (0..corpus.queries.len()).filter(can_be_graded).collect();
    let order = permutation(&mut stream(seed, "grade queries", 0), all.len());
    let mut queries: Vec<usize> = order.into_iter().take(config.queries).map(|place| all[place]).collect();
    queries.sort_unstable();
    queries
}

/// The judged documents of each query in random order.
fn judged_documents(queries: &[usize], judged: &HashMap<usize, GradedList>, seed: u64) -> Vec<Vec<usize>> {
    let of = |query: &usize| {
        let documents = judged.get(query).map_or(&[][..], |list| &list.documents);
        let order = permutation(&mut stream(seed, "grade documents", *query as u64), documents.len());
        order.into_iter().map(|place| documents[place]).collect()
    };
    queries.iter().map(of).collect()
}

/// The documents that were shown for each query, most shown first.
fn shown_documents(ingest: &StageDir, corpus: &Corpus, queries: &[usize]) -> anyhow::Result<Vec<Vec<usize>>> {
    let places: HashMap<&str, usize> =
        queries.iter().enumerate().map(|(place, &query)| (corpus.queries[query].query_id.as_str(), place)).collect();
    let mut shown: Vec<Vec<(Reverse<i64>, usize)>> = vec![Vec::new(); queries.len()];
    for batch in ingest.batches("pairs")? {
        let batch = batch?;
        let (query_ids, doc_ids) = (batch.strings("query_id")?, batch.strings("doc_id")?);
        let impressions = batch.int64s("impressions")?;
        for row in 0..batch.rows() {
            let Some(&place) = places.get(query_ids.value(row)) else { continue };
            let document = corpus.document(doc_ids.value(row));
            shown[place].extend(document.map(|document| (Reverse(impressions.value(row)), document)));
        }
    }
    shown.iter_mut().for_each(|documents| documents.sort_unstable());
    Ok(shown.into_iter().map(|documents| documents.into_iter().map(|(_, document)| document).collect()).collect())
}

/// At most `most` documents, the first of each source, then the second of each, and so on, each document once.
fn in_turn(sources: &[&[usize]], most: usize) -> Vec<usize> {
    let longest = sources.iter().map(|source| source.len()).max().unwrap_or_default();
    let in_turn = (0..longest).flat_map(|place| sources.iter().filter_map(move |source| source.get(place)));
    let mut seen = HashSet::new();
    in_turn.copied().filter(|&document| seen.insert(document)).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_take_turns() {
        let sources: [&[usize]; 3] = [&[5, 6, 7], &[6, 8], &[]];
        assert_eq!(in_turn(&sources, 9), [5, 6, 8, 7]);
        assert_eq!(in_turn(&sources, 2), [5, 6]);
    }
}
