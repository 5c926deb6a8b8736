//! The reading side of a run: its queries and documents with what finds them, judged lists, and the candidate lists that
//! every system ranks.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod candidates;
mod collection;
mod corpus;
mod dense;
mod generated;
mod graded;
mod vectors;

pub use candidates::{CandidateList, candidate_lists};
pub use collection::{Collection, inputs};
pub use corpus::{Asked, Corpus, Query};
pub use generated::{GENERATED, GeneratedQuery, generate, read_generated};
pub use graded::{GradedList, TEST, TRAIN, VALIDATION, graded_lists};
pub use vectors::{VectorSource, VectorsWriter};

/// The stage that makes vectors.
pub const EMBED: &str = "embed";
/// Its folder of vectors.
pub const VECTORS: &str = "vectors";
/// The file of the documents' vectors in it.
pub const DOCUMENT_VECTORS: &str = "documents";
/// The file of the queries' vectors in it.
pub const QUERY_VECTORS: &str = "queries";
