//! The mathematics of learning to rank, on plain slices: no tensors, no files.
//!
//! - [`loss`]: rank and distillation losses with their gradients on the scores.
//! - [`sample`], [`sampler`], [`false_negatives`] and [`standardisation`]: what a training step reads.
//! - [`metrics`] and [`significance`]: how good a ranking is, and how sure that is.
//! - [`interpolation`]: two systems as one ranking.
//! - [`agreement`]: how far two judges agree.
//! - [`clicks`]: position bias, estimated, removed and simulated.
//! - [`rng`]: the seeded streams that all randomness of the project comes from.

// Tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agreement;
pub mod clicks;
pub mod false_negatives;
pub mod interpolation;
pub mod loss;
pub mod metrics;
pub mod rng;
pub mod sample;
pub mod sampler;
pub mod significance;
pub mod standardisation;
