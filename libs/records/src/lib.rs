//! Raw files of logs, documents and judgments, read record by record.
//!
//! [`read`] visits every record of a [`RawFile`] with its line, its text and either the values of the wanted [`Field`]s or
//! the [`Reason`] why they cannot be read. This file maps each format to its reader; a reader is a file of its own.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod delimited;
mod error;
mod fields;
mod jsonl;
mod lines;
mod parquet_rows;
mod raw_file;
mod record;

#[cfg(test)]
mod tests;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use error::{Error, Result};
pub use fields::Delimited;
pub use raw_file::RawFile;
pub use record::{Field, Found, Reason, Record, Values, Visit, missing_field};

/// How raw records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated, quoted where needed, with a header.
    Csv,
    /// Tab-separated with a header; a quote is an ordinary character.
    Tsv,
    /// Parquet.
    Parquet,
}

/// How a quote inside a quoted CSV field is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum QuoteEscape {
    /// Twice, as RFC 4180 has it.
    #[default]
    Double,
    /// Twice or after a backslash; a backslash stands for the character that follows it.
    Backslash,
}

/// The reader of a file and its settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One JSON object a line.
    Jsonl,
    /// Delimited text.
    Delimited {
        /// What separates fields.
        kind: Delimited,
        /// True if the first record names the columns; else they are the wanted fields in order.
        header: bool,
    },
    /// Parquet.
    Parquet,
}

impl RawFormat {
    /// The reader of this format; `escape` concerns CSV alone.
    #[must_use]
    pub fn layout(self, escape: QuoteEscape) -> Layout {
        match self {
            RawFormat::Jsonl => Layout::Jsonl,
            RawFormat::Parquet => Layout::Parquet,
            RawFormat::Tsv => Layout::Delimited { kind: Delimited::Tsv, header: true },
            RawFormat::Csv => {
                let backslash = escape == QuoteEscape::Backslash;
                Layout::Delimited { kind: Delimited::Csv { backslash }, header: true }
            }
        }
    }
}

/// Reads `file` record by record. Returns, for each of `fields`, whether the file has it.
///
/// # Errors
/// [`Error`] on a file that cannot be opened, an empty or damaged one, one without a required field, and a quote that is
/// never closed; whatever `visit` returns.
pub fn read<E: From<Error>>(
    file: &RawFile,
    layout: Layout,
    fields: &[Field],
    visit: &mut Visit<E>,
) -> std::result::Result<Found, E> {
    match layout {
        Layout::Parquet => parquet_rows::read(file, fields, visit),
        Layout::Jsonl => jsonl::read(file, fields, visit),
        Layout::Delimited { kind, header } => delimited::read(file, kind, header, fields, visit),
    }
}
