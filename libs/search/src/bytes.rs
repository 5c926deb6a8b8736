//! The bytes of a file, mapped or in memory, and little-endian numbers in them.

use std::fmt;
use std::fs::File;
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

use crate::error::{Error, Result};

/// Bytes that are there while this lives.
pub(crate) enum Bytes {
    Mapped(Mmap),
    Memory(Vec<u8>),
}

impl Bytes {
    /// Maps the file `path`.
    #[allow(unsafe_code)]
    pub(crate) fn map(path: &Path) -> Result<Bytes> {
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        // SAFETY: the map is read-only, and every value is read from it byte by byte, so that no content is invalid. That the
        // file is not changed while it is mapped is what the crate's documentation asks for.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path, "mapping"))?;
        Ok(Bytes::Mapped(map))
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Mapped(map) => map,
            Bytes::Memory(bytes) => bytes,
        }
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// The number at byte `at`; 0 beyond the end.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u32::from_le_bytes(*number))
}

/// The number at byte `at`; 0 beyond the end.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |number| u64::from_le_bytes(*number))
}

/// The bytes from `start` to `end`; none if they are not all there.
pub(crate) fn span(bytes: &[u8], start: u64, end: u64) -> &[u8] {
    match (usize::try_from(start), usize::try_from(end)) {
        (Ok(start), Ok(end)) => bytes.get(start..end).unwrap_or(&[]),
        _ => &[],
    }
}
