//! Building an index: inversion on several threads, sorted runs on disk, one merge.

use std::ops::Range;
use std::panic::resume_unwind;
use std::path::Path;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::invert::Inverter;
use crate::layout::{Identity, MAX_DOCUMENTS};
use crate::merge::{Plan, merge};
use crate::store::{Scratch, Store};
use crate::weights::Bm25;

/// The least memory of a thread in bytes: smaller runs would only be more of them.
const MIN_SHARE: usize = 1 << 16;

/// What building an index may take; it does not change the file.
#[derive(Debug, Clone, Copy)]
pub struct Work<'a> {
    /// A folder for temporary files.
    pub spills: &'a Path,
    /// Memory in bytes, beside 4 a document and the longest single document.
    pub memory: usize,
    /// Threads, at least 1.
    pub threads: usize,
}

/// Writes the index of the documents 0 to `documents` to the file `path`.
///
/// `tokens` is called once for each document, on any of `threads` threads, with a function to call with each of its tokens in
/// order. At most about `memory` bytes are used beside 4 a document and the longest single document; what does not fit waits
/// in unnamed files in the folder `spills`. The file depends on neither of them, nor on `threads`.
///
/// # Errors
/// [`Error`] on parameters of `config` out of range, more documents than 32 bits can number, and files that cannot be
/// written; what was written of the file `path` then stays behind.
pub fn build(
    path: &Path,
    identity: &Identity,
    config: Bm25,
    documents: usize,
    Work { spills, memory, threads }: Work<'_>,
    tokens: impl Fn(usize, &mut dyn FnMut(&str)) + Sync,
) -> Result<()> {
    check(config, documents)?;
    let mut lengths = vec![0; documents];
    let threads = threads.clamp(1, documents.max(1));
    let spilled = invert(&mut lengths, Scratch::Folder(spills), memory / threads, threads, &tokens)?;
    let runs = spilled.iter().flat_map(|(store, runs)| runs.iter().map(move |run| (store, run.clone())));
    let mut file = Store::create(path)?;
    let plan = Plan { identity, config, lengths: &lengths, scratch: Scratch::Folder(spills), memory };
    merge(&plan, runs.collect(), &mut file)?;
    file.finish().map(|_| ())
}

/// The index of `documents` in memory: the same bytes as those of the file that [`build`] writes.
///
/// # Errors
/// [`Error`] on parameters of `config` out of range and more documents than 32 bits can number.
pub fn build_in_memory<D>(identity: &Identity, config: Bm25, documents: impl IntoIterator<Item = D>) -> Result<Index>
where
    D: IntoIterator,
    D::Item: AsRef<str>,
{
    let mut inverter = Inverter::default();
    let mut lengths = Vec::new();
    for document in documents {
        let before = inverter.tokens();
        document.into_iter().for_each(|token| inverter.push(token.as_ref()));
        lengths.push((inverter.tokens() - before) as u32);
    }
    check(config, lengths.len())?;
    let mut store = Store::memory();
    let run = inverter.write_run(0, &lengths, &mut store)?;
    let mut file = Store::memory();
    let plan = Plan { identity, config, lengths: &lengths, scratch: Scratch::Memory, memory: 0 };
    merge(&plan, vec![(&store, run)], &mut file)?;
    Index::read(Path::new("memory"), file.finish()?, identity)
}

fn check(config: Bm25, documents: usize) -> Result<()> {
    config.check()?;
    if documents > MAX_DOCUMENTS { Err(Error::Documents(documents)) } else { Ok(()) }
}

/// A thread's runs, in the order of their documents, and the store they are in.
type Spilled = (Store, Vec<Range<u64>>);

/// Inverts as many ranges of documents as there are threads; fills `lengths`.
fn invert(
    lengths: &mut [u32],
    scratch: Scratch,
    share: usize,
    threads: usize,
    tokens: &(impl Fn(usize, &mut dyn FnMut(&str)) + Sync),
) -> Result<Vec<Spilled>> {
    let size = lengths.len().div_ceil(threads).max(1);
    let share = share.max(MIN_SHARE);
    std::thread::scope(|scope| {
        let begin = |(range, lengths)| scope.spawn(move || invert_range(range * size, lengths, scratch, share, tokens));
        let workers: Vec<_> = lengths.chunks_mut(size).enumerate().map(begin).collect();
        workers.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Inverts the documents from `first` on, as many as `lengths` has places.
fn invert_range(
    first: usize,
    lengths: &mut [u32],
    scratch: Scratch,
    share: usize,
    tokens: &impl Fn(usize, &mut dyn FnMut(&str)),
) -> Result<Spilled> {
    let mut inverter = Inverter::default();
    let mut store = scratch.store()?;
    let mut runs = Vec::new();
    let mut written = 0;
    for document in 0..lengths.len() {
        let before = inverter.tokens();
        tokens(first + document, &mut |token| inverter.push(token));
        lengths[document] = (inverter.tokens() - before) as u32;
        if inverter.bytes() >= share {
            runs.push(inverter.write_run(first + written, &lengths[written..=document], &mut store)?);
            written = document + 1;
        }
    }
    runs.push(inverter.write_run(first + written, &lengths[written..], &mut store)?);
    drop(inverter);
    store.flush()?;
    Ok((store, runs))
}
