//! The reading side of a run: its queries and documents with BM25 over them, judged lists, and the candidate lists that
//! every system ranks.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod candidates;
mod collection;
mod corpus;
mod graded;

pub use candidates::{CandidateList, candidate_lists};
pub use collection::Collection;
pub use corpus::{Corpus, Document, Query};
pub use graded::{GradedList, TEST, TRAIN, VALIDATION, graded_lists};
