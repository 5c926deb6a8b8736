//! What `fetch-objects` says to the program that started it: a line of JSON for each message.

use serde::{Deserialize, Serialize};

/// A message of `fetch-objects`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Message {
    /// Another process fetches into the same cache, and is waited for.
    Waiting,
    /// This many objects of so many bytes are fetched; said only where there are any.
    Plan {
        /// Objects.
        objects: usize,
        /// Their bytes that are not on disk yet.
        bytes: u64,
    },
    /// So many bytes more are on disk.
    Stored(u64),
    /// The end: all objects that were asked for, in the order of their keys.
    Objects(Vec<Object>),
    /// The end: a user's mistake, in one line.
    BadInput(String),
    /// The end: what failed, in one line.
    Failed(String),
}

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What follows the bucket in its URL.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// True if the cache has it as it is in the store.
    pub is_cached: bool,
}
