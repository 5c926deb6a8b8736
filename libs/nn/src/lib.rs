//! Differentiable layers, BERT and Llama rankers, and what training them needs, on packed batches of `f32` on the CPU.
//!
//! A batch is [`packed::Packed`]: its sequences lie one after the other without padding. The heavy operations are
//! fused, carry their own backward pass and work in parallel ([`ops`]); candle only keeps the graph.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod adapter;
mod base;
pub mod bert;
pub mod checkpoint;
pub mod config;
pub mod error;
mod files;
pub mod folder;
pub mod llama;
pub mod lora;
mod merges;
pub mod model;
pub mod ops;
pub mod optimizer;
pub mod packed;
pub mod params;
pub mod precision;
pub mod schedule;
pub mod scoring;
pub mod shards;
pub mod text;
pub mod tokenizer;
pub mod trainer;
mod weights;

pub use error::{Error, Result};
