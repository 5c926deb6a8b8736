//! Tables between stages: folders of zstd Parquet files whose columns are fixed by `schemas/*.toml`.
//!
//! A stage writes into an [`OutputDir`] through [`TableWriter`]s and commits it in one step; the [`Manifest`] that is
//! written last lists every file with its checksum. Reading goes through that manifest ([`StageDir`]), so a missing
//! stage, a damaged file or another schema version is an error that names the file and the stage to run again.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod append;
mod columns;
mod commit;
mod error;
mod groups;
mod manifest;
mod parts;
mod read;
mod rows;
mod schema;
mod table_file;
mod write;

pub use append::AppendTable;
pub use columns::Columns;
pub use commit::OutputDir;
pub use error::{Error, Result};
pub use groups::{Group, GroupEncoder, GroupWriter};
pub use manifest::{FileEntry, InputEntry, MANIFEST_FILE, Manifest, TableEntry};
pub use parts::Parts;
pub use read::StageDir;
pub use rows::Rows;
pub use schema::{Column, ColumnType, Schema};
pub use table_file::TableFile;
pub use write::{TableWriter, WriteOptions};
