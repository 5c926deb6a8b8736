//! Raw click logs, documents and judgments to validated tables.
//!
//! Each file of the log becomes a part on disk: its events in buckets, by a hash of the search id or of the visitor. Buckets are
//! cleaned one after the other, so that memory does not grow with the log. Every row of the log ends in a table or in
//! `rejects` with its reason; rows and clicks are counted, and the sums are checked.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod buckets;
mod bytes;
mod checks;
mod clean;
mod columns;
mod documents;
mod event;
mod files;
mod impressions;
mod input;
mod inputs;
mod judgments;
mod log;
mod names;
mod ordered;
mod output;
mod pairs;
mod parallel;
mod part;
mod propensities;
mod query;
mod read;
mod reading;
mod rejects;
mod report;
pub mod sample;
mod segment;
mod sessions;
mod spill;
mod split;
mod stage;
mod stats;
mod time;
mod value;

pub use stage::{Ingest, Settings};
