//! The mathematics of learning to rank, on plain slices: no tensors, no files.
//!
//! - [`loss`]: rank and distillation losses with their gradients on the scores.
//! - [`bm25`]: the lexical baseline.
//! - [`rng`]: the seeded streams that all randomness of the project comes from.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bm25;
pub mod loss;
pub mod rng;
