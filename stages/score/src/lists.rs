//! Which documents are scored for which query.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};

use collection::{Collection, Corpus, TRAIN};
use pipeline::config::ScoreConfig;
use rand::RngExt;
use ranking::rng::stream;
use tables::{Columns, StageDir};

/// Lists whose documents are looked for at a time.
const LISTS: usize = 1024;

/// Documents of one query, to be scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnlabelledList {
    pub(crate) query: usize,
    /// Each once: shown ones by impressions, then others that were found, then random ones.
    pub(crate) documents: Vec<usize>,
}

/// The lists of the training split, by query id, each of at least two documents. Where nothing was shown, as there is no
/// log, the first documents found for each training query take the place of shown ones.
pub(crate) fn unlabelled_lists(
    ingest: &StageDir,
    collection: &Collection,
    config: &ScoreConfig,
    seed: u64,
) -> anyhow::Result<Vec<UnlabelledList>> {
    let corpus = &collection.corpus;
    let pairs = ingest.table("pairs")?;
    let (mut lists, unseen) = if pairs.rows() == 0 {
        (unsearched(corpus), config.list_size + config.unseen_documents)
    } else {
        (shown(&pairs, corpus, config)?, config.unseen_documents)
    };
    if config.max_queries > 0 && lists.len() > config.max_queries {
        lists.sort_by_key(|list| (Reverse(corpus.queries[list.query].searches), list.query));
        lists.truncate(config.max_queries);
        lists.sort_by_key(|list| list.query);
    }
    for lists in lists.chunks_mut(LISTS) {
        add_unseen(lists, collection, unseen)?;
    }
    for list in &mut lists {
        let query_id = &corpus.queries[list.query].query_id;
        let mut rng = stream(seed, &format!("score/{query_id}"), 0);
        let known: HashSet<usize> = list.documents.iter().copied().collect();
        let drawn = (0..config.random_documents).map(|_| rng.random_range(0..corpus.documents().len()));
        let mut new = HashSet::new();
        list.documents.extend(drawn.filter(|document| !known.contains(document) && new.insert(*document)));
    }
    lists.retain(|list| list.documents.len() >= 2);
    Ok(lists)
}

/// Documents shown for each training query, most shown first, at most `list_size`.
fn shown(table: &Columns, corpus: &Corpus, config: &ScoreConfig) -> anyhow::Result<Vec<UnlabelledList>> {
    let (query_ids, doc_ids) = (table.strings("query_id")?, table.strings("doc_id")?);
    let (impressions, splits) = (table.int64s("impressions")?, table.strings("split")?);
    let mut by_query: BTreeMap<usize, Vec<(Reverse<i64>, usize)>> = BTreeMap::new();
    for row in (0..table.rows()).filter(|&row| splits.value(row) == TRAIN) {
        if let Some(document) = corpus.document(doc_ids.value(row)) {
            let query = corpus.query(query_ids.value(row))?;
            by_query.entry(query).or_default().push((Reverse(impressions.value(row)), document));
        }
    }
    let lists = by_query.into_iter().map(|(query, mut documents)| {
        documents.sort_unstable();
        documents.truncate(config.list_size);
        UnlabelledList { query, documents: documents.into_iter().map(|(_, document)| document).collect() }
    });
    Ok(lists.collect())
}

/// An empty list for each training query: without a log, the queries are the judged ones.
fn unsearched(corpus: &Corpus) -> Vec<UnlabelledList> {
    let train = (0..corpus.queries.len()).filter(|&query| corpus.queries[query].split == TRAIN);
    train.map(|query| UnlabelledList { query, documents: Vec::new() }).collect()
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
