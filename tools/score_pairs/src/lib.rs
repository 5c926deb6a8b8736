//! Scoring a file of query-document pairs with any saved cross-encoder, a window of rows at a time, outside a pipeline.
//!
//! The file is read twice: once to find bad rows and the scores that an interrupted run left, and once to score and write.

mod columns;
mod delimited;
mod format;
mod jsonl;
mod judged;
mod model;
mod pairs;
mod parquet;
mod request;
mod text;
mod unfinished;
mod work;

pub use judged::{JudgedPair, read_judged};
pub use request::Request;

use crate::format::Format;
use crate::model::Scorer;
use crate::text::TextPairs;
use crate::unfinished::Unfinished;
use crate::work::Work;

/// Reads the rows of a file and writes them with the scores of a ranker. Scores are kept in the folder `<out>.parts` until the
/// output is whole, so that a run that was killed goes on.
///
/// # Errors
/// [`pipeline::ConfigError`] for paths that cannot be used; [`pipeline::BadInput`] for a folder that holds no cross-encoder,
/// and for rows without the texts; [`tables::Error::BadPart`] for parts that an interrupted run with another model left.
pub fn score_pairs(request: &Request<'_>) -> anyhow::Result<()> {
    let (format, packing) = request.check()?;
    let mut unfinished = Unfinished::beside(request.out);
    request.check_replacing(unfinished.may_replace())?;
    let scorer = Scorer::load(request)?;
    let parts = unfinished.open(&scorer.fingerprint, (request.force, request.shard.is_none()))?;
    let work = Work { request, parts, scorer, unfinished };
    let path = request.pairs;
    let outcome = match format {
        Format::JsonLines => work.run(|| Ok(TextPairs { lines: jsonl::open(path)?, packing })),
        Format::Csv => work.run(|| Ok(TextPairs { lines: delimited::open(path, b',')?, packing })),
        Format::Tsv => work.run(|| Ok(TextPairs { lines: delimited::open(path, b'\t')?, packing })),
        Format::Parquet => work.run(|| parquet::open(path)),
    };
    if outcome.is_err() && request.shard.is_none() {
        work.unfinished.remove_if_nothing_is_scored();
    }
    outcome
}
