//! Raw files of logs, documents and judgments, read record by record.
//!
//! [`Blocks`] cuts a [`RawFile`] into [`Block`]s of whole records in order; a block is read on its own, so that several threads
//! can read one file. Reading visits every [`Record`] with its line, its text and either the values of the wanted [`Field`]s
//! or the [`Reason`] why they cannot be read. [`read`] does all of it in one thread.
//!
//! Compression and UTF-16 are recognised by the first bytes. Each format is a few files of its own; `blocks.rs` maps them.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod blocks;
mod decompress;
mod delimited;
mod delimited_syntax;
mod encoding;
mod error;
mod json;
mod json_pieces;
mod json_plan;
mod json_records;
mod layout;
mod packing;
mod parquet_rows;
mod parquet_schema;
mod parquet_text;
mod printable;
mod raw_file;
mod record;
mod source;
mod text_lines;
mod values;

#[cfg(test)]
mod tests;

pub use blocks::{Block, Blocks};
pub use error::{Error, Result};
pub use json::object_keys;
pub use layout::{Dialect, Layout, QuoteEscape, RawFormat};
pub use packing::{Packing, packing};
pub use printable::printable;
pub use raw_file::RawFile;
pub use record::{Field, Found, Lists, Reason, Record, Value, Visit, missing_field};

/// Bytes of the blocks that [`read`] goes through.
const BLOCK: usize = 1 << 20;
/// Bytes of the blocks where only the first records are wanted.
const SMALL_BLOCK: usize = 1 << 17;

/// Reads `file` record by record. Returns, for each of `fields`, whether the file has it.
///
/// # Errors
/// [`Error`] on a file that cannot be opened or read, an empty or damaged one, one without a required field, and a quote that
/// is never closed; whatever `visit` returns.
pub fn read<E: From<Error>>(
    file: &RawFile,
    layout: &Layout,
    fields: &[Field],
    visit: &mut Visit<E>,
) -> std::result::Result<Found, E> {
    read_first(file, layout, fields, u64::MAX, visit).map(|first| first.found)
}

/// What [`read_first`] has read.
#[derive(Debug, Clone)]
pub struct First {
    /// For each wanted field, whether the file has it.
    pub found: Found,
    /// True if the file has no further record.
    pub whole: bool,
}

/// Reads the first `most` records of `file`, as [`read`] reads all.
///
/// # Errors
/// As [`read`], for the part that is read.
pub fn read_first<E: From<Error>>(
    file: &RawFile,
    layout: &Layout,
    fields: &[Field],
    most: u64,
    visit: &mut Visit<E>,
) -> std::result::Result<First, E> {
    let mut blocks = Blocks::open(file, layout, fields)?;
    let mut found = vec![false; fields.len()];
    let mut records = 0;
    // One record more tells whether there are more.
    while records <= most
        && let Some(block) = blocks.next(if most == u64::MAX { BLOCK } else { SMALL_BLOCK })?
    {
        let more = block.visit(&mut |record: &Record| {
            records += 1;
            if records <= most { visit(record) } else { Ok(()) }
        })?;
        found.iter_mut().zip(more).for_each(|(found, more)| *found |= more);
    }
    let missing = fields.iter().zip(&found).find(|(field, found)| field.required && !**found);
    match missing {
        // Without records, nothing was looked for.
        Some((field, _)) if records > 0 && blocks.names() != "none" => {
            Err(missing_field(file, &field.name, blocks.names()))?
        }
        _ => Ok(First { found, whole: records <= most }),
    }
}

/// The text of `file`, unpacked and as UTF-8 without a byte-order mark. Errors of reading hold an [`Error`].
///
/// # Errors
/// [`Error`] on a file that cannot be opened or read, and on one that is no text.
pub fn open_text(file: &RawFile) -> Result<impl std::io::Read + Send + use<>> {
    encoding::Text::open(file)
}

/// True if `file` holds nothing: zero bytes, compressed or not, white space alone, or Parquet without rows.
///
/// # Errors
/// [`Error`] on a file that cannot be opened or read, and on damaged compression.
pub fn is_empty(file: &RawFile) -> Result<bool> {
    use std::io::Read;

    let opened = std::fs::File::open(&file.path).map_err(|e| file.failed("opening", e))?;
    let mut start = Vec::new();
    opened.take(4).read_to_end(&mut start).map_err(|e| file.failed("reading", e))?;
    if start == b"PAR1" { Ok(parquet_rows::has_no_rows(file)) } else { source::is_blank(file) }
}
