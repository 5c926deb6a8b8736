//! Text search over millions of documents, from files that are mapped instead of read.
//!
//! - [`Index`]: BM25 with exact document lengths. [`Index::top_k`] leaves out what cannot be among the best, and returns the
//!   scores of the exhaustive sum bit for bit. [`build`] makes its file within a bound on memory.
//! - [`Texts`]: ids, titles and summaries of documents, numbered in the order of the ids. [`TextsWriter`] makes its file.
//!
//! A mapped file must not be shortened while it is open: the operating system ends a process that reads beyond the end. Write
//! a new file and rename it instead.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod build;
mod bytes;
mod collection;
mod error;
mod index;
mod invert;
mod layout;
mod merge;
mod postings;
mod store;
mod texts;
mod texts_writer;
mod top_k;
mod varint;
mod weights;

#[cfg(test)]
mod exhaustive;
#[cfg(test)]
mod tests;

pub use build::{Work, build, build_in_memory};
pub use collection::{ANALYZER_FACT, FOLDER, Writer, index_in_memory, open_index, open_texts};
pub use error::{Error, Result};
pub use index::Index;
pub use layout::Identity;
pub use texts::Texts;
pub use texts_writer::TextsWriter;
pub use weights::Bm25;
