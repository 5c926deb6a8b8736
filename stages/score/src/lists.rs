//! Which documents are scored for which query.

use std::cmp::Reverse;
use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use collection::{Collection, Corpus, TRAIN};
use pipeline::config::ScoreConfig;
use rand::RngExt;
use ranking::rng::stream;
use tables::{Columns, StageDir};

use crate::scores_file::FileScores;

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
    /// no log, all of them.
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
        } else {
            queries.extend((0..corpus.queries.len()).filter(|&query| wanted.are_of(&corpus.queries[query].split)));
        }
        if config.max_queries > 0 {
            let (mut train, held_out): (Vec<usize>, Vec<usize>) =
                queries.into_iter().partition(|&query| corpus.queries[query].split == TRAIN);
            train.sort_by_key(|&query| (Reverse(corpus.queries[query].searches), query));
            train.truncate(config.max_queries);
            queries = [train, held_out].concat();
            queries.sort_unstable();
        }
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

    /// The lists of `queries`, which follow those asked for before, each of at least two documents. Without a log, the first
    /// documents found for a query take the place of shown ones.
    pub(crate) fn of(&mut self, queries: &[usize]) -> anyhow::Result<Vec<UnlabelledList>> {
        let list_of = |&query: &usize| UnlabelledList { query, documents: Vec::new() };
        let (mut lists, unseen) = match &mut self.source {
            Source::Log(shown) => (shown.lists(queries, self.config.list_size)?, self.config.unseen_documents),
            Source::Retrieval => {
                (queries.iter().map(list_of).collect(), self.config.list_size + self.config.unseen_documents)
            }
            Source::File(given) => {
                let mut lists: Vec<UnlabelledList> = queries.iter().map(list_of).collect();
                lists.iter_mut().for_each(|list| list.documents = given.documents(list.query));
                lists.retain(|list| list.documents.len() >= 2);
                return Ok(lists);
            }
        };
        add_unseen(&mut lists, self.collection, unseen)?;
        lists.iter_mut().for_each(|list| self.add_random(list));
        lists.retain(|list| list.documents.len() >= 2);
        Ok(lists)
    }

    fn add_random(&self, list: &mut UnlabelledList) {
        let corpus = &self.collection.corpus;
        let query_id = &corpus.queries[list.query].query_id;
        let mut rng = stream(self.seed, &format!("score/{query_id}"), 0);
        let known: HashSet<usize> = list.documents.iter().copied().collect();
        let drawn = (0..self.config.random_documents).map(|_| rng.random_range(0..corpus.documents().len()));
        let mut new = HashSet::new();
        list.documents.extend(drawn.filter(|document| !known.contains(document) && new.insert(*document)));
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
        for &query in queries {
            let mut shown = Vec::new();
            while let Some(row) = self.next_up_to(query)? {
                if row.query == query {
                    shown.push((Reverse(row.impressions), row.document));
                }
            }
            shown.sort_unstable();
            shown.truncate(list_size);
            if !shown.is_empty() {
                lists.push(UnlabelledList {
                    query,
                    documents: shown.into_iter().map(|(_, document)| document).collect(),
                });
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

/// Adds to each list the first `count` documents found for its query that it does not hold.
fn add_unseen(lists: &mut [UnlabelledList], collection: &Collection, count: usize) -> anyhow::Result<()> {
    let longest = lists.iter().map(|list| list.documents.len()).max().unwrap_or_default();
    if count == 0 {
        return Ok(());
    }
    let queries: Vec<usize> = lists.iter().map(|list| list.query).collect();
    for (list, best) in lists.iter_mut().zip(collection.best_unjudged(&queries, count + longest)?) {
        let known: HashSet<usize> = list.documents.iter().copied().collect();
        list.documents.extend(best.into_iter().filter(|document| !known.contains(document)).take(count));
    }
    Ok(())
}
