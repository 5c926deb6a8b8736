//! How large a file is, without reading all of it.

use std::io::Read;

use crate::encoding::Text;
use crate::error::Result;
use crate::parquet_rows;
use crate::raw_file::RawFile;

/// Bytes of a compressed file that tell how far it is compressed, or of one in UTF-16 how large its text is.
const ENOUGH: u64 = 4 << 20;

/// How large a file is, and how it is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packing {
    /// Size on disk, in bytes.
    pub bytes: u64,
    /// The compression of the whole file; none of Parquet, which compresses its pages.
    pub compression: Option<&'static str>,
    /// Size of its text in UTF-8, in bytes: of a large file that is compressed or in UTF-16 an estimate from its first 4 MiB; the size
    /// on disk of Parquet.
    pub text_bytes: u64,
    /// Rows of Parquet, as its metadata has them.
    pub rows: Option<u64>,
}

/// Looks at the size of `file` and at its first bytes.
///
/// # Errors
/// [`crate::Error`] on a file that cannot be opened or read, on damaged compression or metadata, and on files that are neither
/// text nor Parquet.
pub fn packing(file: &RawFile) -> Result<Packing> {
    let bytes = std::fs::metadata(&file.path).map_err(|e| file.failed("opening", e))?.len();
    let mut start = Vec::new();
    let opened = std::fs::File::open(&file.path).map_err(|e| file.failed("opening", e))?;
    opened.take(4).read_to_end(&mut start).map_err(|e| file.failed("reading", e))?;
    if start == b"PAR1" {
        let rows = Some(parquet_rows::rows(file)?);
        return Ok(Packing { bytes, compression: None, text_bytes: bytes, rows });
    }
    let mut text = Text::open(file)?;
    let compression = text.compression();
    let text_bytes = if compression.is_some() || text.is_utf16() { text_size(&mut text, bytes)? } else { bytes };
    Ok(Packing { bytes, compression, text_bytes, rows: None })
}

/// The size of the text that a file of `bytes` bytes holds, in proportion to what is read of it.
fn text_size(text: &mut Text, bytes: u64) -> Result<u64> {
    const CHUNK: usize = 1 << 16;
    let (mut size, mut chunk) = (0u64, Vec::new());
    loop {
        chunk.clear();
        // Once more is read, all that was read before is unpacked.
        let packed = text.packed_bytes();
        let count = text.append(&mut chunk, CHUNK)?;
        if count < CHUNK {
            return Ok(size + count as u64);
        }
        if packed >= ENOUGH && text.packed_bytes() > packed {
            return Ok((size as f64 * bytes as f64 / packed as f64) as u64);
        }
        size += count as u64;
    }
}
