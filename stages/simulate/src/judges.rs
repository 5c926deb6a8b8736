//! The choice of judged queries and documents in the synthetic collection.

use std::collections::BTreeSet;

use pipeline::config::WorldConfig;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use ranking::rng::stream;

use crate::collection::{JudgedQuery, Judgment};
use crate::engine::Engine;

/// Share of the judged documents that BM25 ranks highest.
const LEXICAL_SHARE: f64 = 0.4;
/// Share of the judged documents that BM25 ranks lower or does not find; the rest are random documents.
const SEMANTIC_SHARE: f64 = 0.4;

/// Judges queries from the whole range of frequencies, in order of number. `shown` are the (query, document) pairs of
/// the log.
///
/// The documents of a query are the best of BM25, then others that were shown or that the engine's recall channel
/// finds, then random ones: candidates that a ranker of words alone cannot order.
pub(crate) fn judge(
    engine: &Engine,
    shown: &BTreeSet<(usize, usize)>,
    config: &WorldConfig,
    seed: u64,
) -> Vec<JudgedQuery> {
    (0..config.judged_queries)
        .map(|stratum| {
            let mut rng = stream(seed, "simulate/judges", stratum as u64);
            let from = stratum * config.queries / config.judged_queries;
            let to = (stratum + 1) * config.queries / config.judged_queries;
            let query = rng.random_range(from..to);
            let graded = &engine.collection().queries[query];
            let judgment = |document| Judgment { document, grade: graded.grade(document) };
            let pool = pool(engine, shown, query, config.judged_documents, &mut rng);
            JudgedQuery { query, judgments: pool.into_iter().map(judgment).collect() }
        })
        .collect()
}

/// The documents of `query` to judge, in rising order.
fn pool(
    engine: &Engine,
    shown: &BTreeSet<(usize, usize)>,
    query: usize,
    depth: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<usize> {
    let share = |share: f64| (share * depth as f64).round() as usize;
    let lexical = engine.lexical(query);
    let mut pool = lexical[..share(LEXICAL_SHARE).min(lexical.len())].to_vec();

    let mut others: Vec<usize> = shown
        .range((query, 0)..(query + 1, 0))
        .map(|&(_, document)| document)
        .filter(|document| !pool.contains(document))
        .collect();
    others.shuffle(rng);
    let relevant = (pool.len() + share(SEMANTIC_SHARE)).min(depth);
    pool.extend(others.into_iter().take(relevant - pool.len()));
    while pool.len() < relevant {
        match engine.by_meaning(query, &pool, rng) {
            Some(document) => pool.push(document),
            None => break,
        }
    }
    while pool.len() < depth {
        pool.push(engine.any(&pool, rng));
    }
    pool.sort_unstable();
    pool
}
