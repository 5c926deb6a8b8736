//! Which documents are scored for which query.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use collection::{Collection, Corpus, TRAIN};
use pipeline::config::ScoreConfig;
use rand::{Rng, RngExt};
use ranking::rng::stream;
use tables::{Columns, StageDir};

use crate::scores_file::FileScores;
use crate::sources::DocumentSource;

/// Pairs of a part, about: a list is in one part as a whole.
const PAIRS_PER_PART: usize = 4096;

const PAIRS: &str = "pairs";

/// Which queries are scored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Queries {
    /// Those of all splits, not of the training split alone.
    pub(crate) held_out: bool,
}

impl Queries {
    /// True if queries of the split are scored.
    pub(crate) fn are_of(self, split: &str) -> bool {
        self.held_out || split == TRAIN
    }
}

/// Documents of one query, to be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnlabelledList {
    pub(crate) query: usize,
    /// Each once: shown ones by impressions, then others that were found, then random ones.
    pub(crate) documents: Vec<usize>,
    /// Where each of them comes from.
    pub(crate) sources: Vec<DocumentSource>,
}

impl UnlabelledList {
    pub(crate) fn new(query: usize) -> UnlabelledList {
        UnlabelledList { query, documents: Vec::new(), sources: Vec::new() }
    }

    /// The list with `documents` of one source added.
    pub(crate) fn with(mut self, source: DocumentSource, documents: impl IntoIterator<Item = usize>) -> UnlabelledList {
        self.add(source, documents);
        self
    }

    /// Adds those of `documents` that it does not hold.
    fn add(&mut self, source: DocumentSource, documents: impl IntoIterator<Item = usize>) {
        let mut known: HashSet<usize> = self.documents.iter().copied().collect();
        self.documents.extend(documents.into_iter().filter(|&document| known.insert(document)));
        self.sources.resize(self.documents.len(), source);
    }
}

/// The pairs of query and document of `lists`, one list after the other.
pub(crate) fn pairs(lists: &[UnlabelledList]) -> impl Iterator<Item = (usize, usize)> + Clone {
    lists.iter().flat_map(|list| list.documents.iter().map(|&document| (list.query, document)))
}

/// The queries that are scored, cut into parts. The cut depends on the input alone.
#[derive(Debug)]
pub(crate) struct Plan {
    /// In the order of their ids.
    queries: Vec<usize>,
    lists_per_part: usize,
}

impl Plan {
    /// The queries of `given` lists, else the queries of `wanted` for which documents were shown; where nothing was shown, as there is
    /// no log, all of them. Generated queries too.
    pub(crate) fn new(
        ingest: &StageDir,
        (corpus, wanted): (&Corpus, Queries),
        config: &ScoreConfig,
        given: Option<&FileScores>,
    ) -> anyhow::Result<Plan> {
        let mut queries = Vec::new();
        if let Some(given) = given {
            queries.extend(given.queries());
        } else if has_log(ingest) {
            for batch in ingest.batches(PAIRS)? {
                let batch = batch?;
                let (query_ids, splits) = (batch.strings("query_id")?, batch.strings("split")?);
                for row in (0..batch.rows()).filter(|&row| wanted.are_of(splits.value(row))) {
                    let same = |&last: &usize| corpus.queries[last].query_id == query_ids.value(row);
                    if !queries.last().is_some_and(same) {
                        queries.push(corpus.query(query_ids.value(row))?);
                    }
                }
            }
            queries.extend(corpus.generated());
        } else {
            queries.extend((0..corpus.queries.len()).filter(|&query| wanted.are_of(&corpus.queries[query].split)));
        }
        if config.max_queries > 0 {
            let (mut train, held_out): (Vec<usize>, Vec<usize>) =
                queries.into_iter().partition(|&query| corpus.queries[query].split == TRAIN);
            train.sort_by_key(|&query| (Reverse(corpus.queries[query].searches), query));
            train.truncate(config.max_queries);
            queries = [train, held_out].concat();
        }
        queries.sort_by(|&a, &b| corpus.queries[a].query_id.cmp(&corpus.queries[b].query_id));
        let wanted = config.list_size + config.unseen_documents + config.random_documents;
        let list_size = given.map_or(wanted, FileScores::longest).max(1);
        Ok(Plan { queries, lists_per_part: (PAIRS_PER_PART / list_size).max(1) })
    }

    /// The queries of each part.
    pub(crate) fn parts(&self) -> impl ExactSizeIterator<Item = &[usize]> {
        self.queries.chunks(self.lists_per_part)
    }

    /// Lists of all parts, at most.
    pub(crate) fn lists(&self) -> usize {
        self.queries.len()
    }
}

/// Makes the lists of parts, in the order of the parts, from one pass over what was shown.
#[derive(Debug)]
pub(crate) struct Lists<'a> {
    collection: &'a Collection,
    config: &'a ScoreConfig,
    seed: u64,
    source: Source<'a>,
}

/// Where lists come from.
#[derive(Debug)]
enum Source<'a> {
    /// From what was shown.
    Log(Shown<'a>),
    /// From what is found, as there is no log.
    Retrieval,
    /// From a file of scores, as they are.
    File(Arc<FileScores>),
}

impl<'a> Lists<'a> {
    pub(crate) fn new(
        ingest: &StageDir,
        (collection, wanted): (&'a Collection, Queries),
        config: &'a ScoreConfig,
        (seed, given): (u64, Option<Arc<FileScores>>),
    ) -> anyhow::Result<Lists<'a>> {
        let source = match given {
            Some(given) => Source::File(given),
            None if has_log(ingest) => Source::Log(Shown::new(ingest, &collection.corpus, wanted)?),
            None => Source::Retrieval,
        };
        Ok(Lists { collection, config, seed, source })
    }

    /// The lists of `queries`, which follow those asked for before, each of at least two documents. Without a log, and for generated
    /// queries, the first documents found for a query take the place of shown ones.
    pub(crate) fn of(&mut self, queries: &[usize]) -> anyhow::Result<Vec<UnlabelledList>> {
        let corpus = &self.collection.corpus;
        let empty = queries.iter().map(|&query| UnlabelledList::new(query));
        let mut lists = match &mut self.source {
            Source::Log(shown) => {
                let mut lists = shown.lists(queries, self.config.list_size)?;
                self.add_found(&mut lists, 0)?;
                let mut of_generated: Vec<UnlabelledList> =
                    empty.filter(|list| corpus.generated().contains(&list.query)).collect();
                self.add_found(&mut of_generated, self.config.list_size)?;
                lists.extend(of_generated);
                lists.sort_by(|a, b| corpus.queries[a.query].query_id.cmp(&corpus.queries[b.query].query_id));
                lists
            }
            Source::Retrieval => {
                let mut lists: Vec<UnlabelledList> = empty.collect();
                self.add_found(&mut lists, self.config.list_size)?;
                lists
            }
            Source::File(given) => {
                let lists = empty.map(|list| {
                    let documents = given.documents(list.query);
                    list.with(DocumentSource::File, documents)
                });
                return Ok(lists.filter(|list| list.documents.len() >= 2).collect());
            }
        };
        lists.iter_mut().for_each(|list| self.add_random(list));
        lists.retain(|list| list.documents.len() >= 2);
        Ok(lists)
    }

    /// Adds to each list the `first` documents found for its query, and unseen ones of those found.
    fn add_found(&self, lists: &mut [UnlabelledList], first: usize) -> anyhow::Result<()> {
        let ScoreConfig { unseen_documents, unseen_from_rank, unseen_sampler, unseen_depth, .. } = *self.config;
        if first + unseen_documents == 0 {
            return Ok(());
        }
        let longest = lists.iter().map(|list| list.documents.len()).max().unwrap_or_default();
        // So deep that enough of them are not in the list yet.
        let needed = unseen_from_rank - 1 + longest + first + unseen_documents;
        let depth = unseen_depth.unwrap_or(needed).max(first);
        let queries: Vec<usize> = lists.iter().map(|list| list.query).collect();
        for (list, found) in lists.iter_mut().zip(self.collection.best_unjudged(&queries, depth)?) {
            list.add(DocumentSource::Found, found.iter().copied().take(first));
            let known: HashSet<usize> = list.documents.iter().copied().collect();
            let in_range = found.into_iter().take(unseen_depth.unwrap_or(depth)).skip(unseen_from_rank - 1);
            let unseen: Vec<usize> = in_range.filter(|document| !known.contains(document)).collect();
            let mut rng = self.stream("score/unseen", list.query);
            let drawn = unseen_sampler.draw(&mut rng, unseen.len(), unseen_documents);
            list.add(DocumentSource::Found, drawn.into_iter().map(|place| unseen[place]));
        }
        Ok(())
    }

    fn add_random(&self, list: &mut UnlabelledList) {
        let mut rng = self.stream("score", list.query);
        let documents = self.collection.corpus.documents().len();
        let drawn = (0..self.config.random_documents).map(|_| rng.random_range(0..documents));
        list.add(DocumentSource::Random, drawn);
    }

    /// The random stream of a purpose that belongs to a query, whichever part it is in.
    fn stream(&self, purpose: &str, query: usize) -> impl Rng + use<'a> {
        let query_id = &self.collection.corpus.queries[query].query_id;
        stream(self.seed, &format!("{purpose}/{query_id}"), 0)
    }
}

/// The documents shown for the queries, read from the table `pairs`, which is in the order of the queries.
struct Shown<'a> {
    corpus: &'a Corpus,
    wanted: Queries,
    batches: Box<dyn Iterator<Item = tables::Result<Columns>>>,
    /// Rows that were read but not taken.
    rows: VecDeque<ShownDocument>,
}

#[derive(Debug, Clone, Copy)]
struct ShownDocument {
    query: usize,
    document: usize,
    impressions: i64,
}

impl<'a> Shown<'a> {
    fn new(ingest: &StageDir, corpus: &'a Corpus, wanted: Queries) -> anyhow::Result<Shown<'a>> {
        Ok(Shown { corpus, wanted, batches: Box::new(ingest.batches(PAIRS)?), rows: VecDeque::new() })
    }

    /// The most shown documents of each of `queries`, at most `list_size`; no list where the collection has none of them.
    fn lists(&mut self, queries: &[usize], list_size: usize) -> anyhow::Result<Vec<UnlabelledList>> {
        let mut lists = Vec::with_capacity(queries.len());
        for &query in queries.iter().filter(|query| !self.corpus.generated().contains(query)) {
            let mut shown = Vec::new();
            while let Some(row) = self.next_up_to(query)? {
                if row.query == query {
                    shown.push((Reverse(row.impressions), row.document));
                }
            }
            shown.sort_unstable();
            shown.truncate(list_size);
            if !shown.is_empty() {
                let documents = shown.into_iter().map(|(_, document)| document);
                lists.push(UnlabelledList::new(query).with(DocumentSource::Shown, documents));
            }
        }
        Ok(lists)
    }

    /// The next row, unless it is of a later query.
    fn next_up_to(&mut self, query: usize) -> anyhow::Result<Option<ShownDocument>> {
        while self.rows.is_empty() {
            let Some(batch) = self.batches.next() else { return Ok(None) };
            self.read(&batch?)?;
        }
        let is_due = self.rows.front().is_some_and(|row| row.query <= query);
        Ok(if is_due { self.rows.pop_front() } else { None })
    }

    fn read(&mut self, batch: &Columns) -> anyhow::Result<()> {
        let (query_ids, doc_ids) = (batch.strings("query_id")?, batch.strings("doc_id")?);
        let (impressions, splits) = (batch.int64s("impressions")?, batch.strings("split")?);
        for row in (0..batch.rows()).filter(|&row| self.wanted.are_of(splits.value(row))) {
            if let Some(document) = self.corpus.document(doc_ids.value(row)) {
                let query = self.corpus.query(query_ids.value(row))?;
                self.rows.push_back(ShownDocument { query, document, impressions: impressions.value(row) });
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shown").field("rows", &self.rows.len()).finish_non_exhaustive()
    }
}

/// True if documents were shown: a run without a log has an empty table.
fn has_log(ingest: &StageDir) -> bool {
    ingest.manifest().tables.get(PAIRS).is_none_or(|table| table.rows > 0)
}

#[cfg(test)]
mod tests {
    use analysis::AnalyzerName;
    use collection::Query;
    use ranking::sampler::Sampler;

    use super::*;

    const DOCUMENTS: usize = 40;

    /// Documents that are found in the order of their numbers, as they hold the asked word among more and more others; the last
    /// half holds another word.
    fn collection() -> Collection {
        let query =
            |id: &str, text: &str| Query { query_id: id.into(), text: text.into(), searches: 1, split: TRAIN.into() };
        let queries = vec![query("q0", "red"), query("q1", "unheard"), query("q2", "red")];
        let text = |number: usize| match number {
            0..20 => format!("red{}", " filler".repeat(number)),
            _ => format!("blue{}", " filler".repeat(number)),
        };
        let texts: Vec<(String, String)> =
            (0..DOCUMENTS).map(|number| (format!("d{number:02}"), text(number))).collect();
        let documents = texts.iter().map(|(id, text)| (id.as_str(), "", text.as_str()));
        Collection::new(Corpus::new(queries, documents).unwrap(), AnalyzerName::Unicode).unwrap()
    }

    /// The lists of `queries` where nothing was shown.
    fn found(config: &ScoreConfig, queries: &[usize]) -> Vec<UnlabelledList> {
        let collection = collection();
        Lists { collection: &collection, config, seed: 3, source: Source::Retrieval }.of(queries).unwrap()
    }

    fn config(unseen: usize, from_rank: usize, (sampler, depth): (Sampler, Option<usize>)) -> ScoreConfig {
        ScoreConfig {
            list_size: 2,
            unseen_documents: unseen,
            unseen_from_rank: from_rank,
            unseen_sampler: sampler,
            unseen_depth: depth,
            ..ScoreConfig::default()
        }
    }

    #[test]
    fn unseen_documents_are_taken_from_their_ranks() {
        let documents = |config: &ScoreConfig| found(config, &[0]).remove(0).documents;
        let top = (Sampler::Top, None);
        assert_eq!(documents(&config(3, 1, top)), [0, 1, 2, 3, 4]);
        assert_eq!(documents(&config(3, 2, top)), [0, 1, 2, 3, 4]);
        assert_eq!(documents(&config(3, 8, top)), [0, 1, 7, 8, 9]);
        // Twenty documents are found.
        assert_eq!(documents(&config(9, 19, top)), [0, 1, 18, 19]);
        for sampler in [Sampler::Random, Sampler::LogRandom, Sampler::TopAndRandom] {
            let drawn = documents(&config(4, 5, (sampler, Some(15)))).split_off(2);
            assert!(
                drawn.len() == 4 && drawn.iter().all(|document| (4..15).contains(document)),
                "{sampler:?} {drawn:?}"
            );
            assert_ne!(drawn, [4, 5, 6, 7], "{sampler:?}");
        }
        assert_eq!(documents(&config(4, 5, (Sampler::Random, Some(7)))), [0, 1, 4, 5, 6]);
    }

    #[test]
    fn what_is_drawn_for_a_query_does_not_depend_on_the_others() {
        let config = ScoreConfig { random_documents: 3, ..config(4, 1, (Sampler::Random, Some(20))) };
        let together = found(&config, &[0, 2]);
        assert_eq!([found(&config, &[0]), found(&config, &[2])].concat(), together);
        assert_ne!(together[0].documents, together[1].documents);
    }

    #[test]
    fn each_document_has_its_source_and_a_query_without_candidates_has_no_list() {
        use DocumentSource::{Found, Random};
        let config = ScoreConfig { random_documents: 3, ..config(1, 1, (Sampler::Top, None)) };
        let lists = found(&config, &[0, 1]);
        assert_eq!(lists[0].sources[..4], [Found, Found, Found, Random]);
        assert!(lists.iter().all(|list| list.sources.len() == list.documents.len()));
        assert_eq!((lists[1].query, lists[1].sources[0]), (1, Random));
        let without_random = ScoreConfig { random_documents: 0, ..config };
        assert_eq!(found(&without_random, &[0, 1]).len(), 1);
    }
}
