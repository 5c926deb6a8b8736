//! Cross-encoders for ranking and their training, on packed batches of `f32` on the CPU.
//!
//! - [`cross_encoder`]: a saved ranker scores texts; start here.
//! - [`bi_encoder`]: vectors of single texts.
//! - [`folder`]: models as Hugging Face folders.
//! - [`models`]: the architectures; a [`models::Model`] is one with weights.
//! - [`text`]: tokenizers, input templates, batches.
//! - [`train`]: the training loop.
//! - [`weights`]: named weights, updates of low rank.
//! - [`ops`]: fused operations with their gradients; candle keeps the graph.
//!
//! A batch is [`text::Packed`]: its sequences lie one after the other without padding.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod bi_encoder;
pub mod cross_encoder;
pub mod error;
mod files;
pub mod folder;
pub mod models;
pub mod ops;
mod parallel;
pub mod text;
pub mod train;
pub mod weights;

pub use error::{Error, Result};
