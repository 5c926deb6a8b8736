//! The text of a file, taken from the front in pieces of whole records.

use crate::encoding::Text;
use crate::error::Result;
use crate::raw_file::RawFile;

/// Longest record in bytes; a longer one is damage, such as a quote that is never closed.
pub(crate) const LONGEST: usize = 256 << 20;

/// Text that is read ahead as far as it is needed.
pub(crate) struct Source {
    text: Text,
    pub(crate) file: RawFile,
    buffer: Vec<u8>,
    ended: bool,
    /// Longest record, in bytes.
    pub(crate) longest: usize,
}

impl Source {
    /// Opens `file`.
    pub(crate) fn open(file: &RawFile) -> Result<Source> {
        let text = Text::open(file)?;
        Ok(Source { text, file: file.clone(), buffer: Vec::new(), ended: false, longest: LONGEST })
    }

    /// The next `wanted` bytes, which stay unread, and true if the file ends with them.
    pub(crate) fn peek(&mut self, wanted: usize) -> Result<(&[u8], bool)> {
        if self.buffer.len() < wanted && !self.ended {
            let more = wanted - self.buffer.len();
            self.ended = self.text.append(&mut self.buffer, more)? < more;
        }
        let seen = wanted.min(self.buffer.len());
        Ok((&self.buffer[..seen], self.ended && seen == self.buffer.len()))
    }

    /// Takes the next `count` bytes, which have been peeked.
    pub(crate) fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(count);
        std::mem::replace(&mut self.buffer, rest)
    }
}

/// True if the text of `file` is nothing but white space.
pub(crate) fn is_blank(file: &RawFile) -> Result<bool> {
    const CHUNK: usize = 1 << 16;
    let mut text = Text::open(file)?;
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        let count = text.append(&mut chunk, CHUNK)?;
        if !chunk.trim_ascii().is_empty() {
            return Ok(false);
        }
        if count < CHUNK {
            return Ok(true);
        }
    }
}
