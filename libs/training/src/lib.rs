//! What the stages that train or score share: the texts of a run with BM25 over them, graded and candidate lists, and a
//! training phase with its log, progress and checkpoint.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod allocator;
mod base;
mod candidates;
mod card;
mod collection;
mod corpus;
mod graded;
mod log;
mod phase;
mod precision;
mod rank;

pub use allocator::keep_freed_memory;
pub use base::{Start, base_folder, base_identity, base_inputs, open_base, teacher_inputs};
pub use candidates::{CANDIDATE_KEYS, CandidateList, candidate_lists};
pub use card::Card;
pub use collection::Collection;
pub use corpus::{Corpus, Document, Query};
pub use graded::{GradedList, TEST, TRAIN, VALIDATION, graded_lists};
pub use log::TrainingLog;
pub use phase::{Phase, check_resumed, passes, remove_checkpoints, train_phase};
pub use precision::{PRECISION_KEY, arithmetic, precision};
pub use rank::{RankTask, tokens_of, validation_ndcg};
