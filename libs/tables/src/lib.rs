//! Tables between stages: folders of zstd Parquet files whose columns are fixed by `schemas/*.toml`.
//!
//! A stage writes into an [`OutputDir`] through [`TableWriter`]s and commits it in one step; the [`Manifest`] that is
//! written last lists every file with its checksum. Reading goes through that manifest ([`StageDir`]), so a missing
//! stage, a flipped byte or a foreign schema is an error that names the file and the stage to run again.

// A failed unwrap is a failed test, which is what a test wants.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod atomic;
mod checksum;
mod columns;
mod commit;
mod error;
mod manifest;
mod read;
mod schema;
mod write;

pub use append::AppendTable;
pub use atomic::AtomicFile;
pub use checksum::{sha256_bytes, sha256_file};
pub use columns::{Columns, list_int32};
pub use commit::{OutputDir, sync_dir, write_atomic};
pub use error::{Error, Result};
pub use manifest::{FileEntry, InputEntry, MANIFEST_FILE, Manifest, TableEntry};
pub use read::StageDir;
pub use schema::{Column, ColumnType, Schema};
pub use write::{TableWriter, WriteOptions};
