//! The lines of text files.

use std::io::BufRead;

use crate::error::Result;
use crate::raw_file::RawFile;
use crate::record::Reason;

/// The lines of a file, numbered, without line ends and byte-order mark.
pub(crate) struct Lines<'f> {
    pub(crate) file: &'f RawFile,
    reader: Box<dyn BufRead>,
    /// Number of the last line that was read, from 1.
    pub(crate) number: u64,
}

impl<'f> Lines<'f> {
    pub(crate) fn open(file: &'f RawFile) -> Result<Lines<'f>> {
        let mut lines = Lines { file, reader: file.open()?, number: 0 };
        let start = lines.reader.fill_buf().map_err(|e| file.read_error(e))?;
        if start.is_empty() {
            return Err(file.bad("expected records, found an empty file; remove it or write it again"));
        }
        Ok(lines)
    }

    /// Appends the next line to `text`; false at the end of the file.
    pub(crate) fn append(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        let start = text.len();
        let read = self.reader.read_until(b'\n', text);
        if read.map_err(|e| self.file.read_error(e))? == 0 {
            return Ok(false);
        }
        self.number += 1;
        if text.ends_with(b"\n") {
            text.pop();
            if text[start..].ends_with(b"\r") {
                text.pop();
            }
        }
        if self.number == 1 && text.starts_with(b"\xef\xbb\xbf") {
            text.drain(..3);
        }
        Ok(true)
    }

    /// Puts the next line that is not blank into `text`.
    pub(crate) fn next(&mut self, text: &mut Vec<u8>) -> Result<bool> {
        loop {
            text.clear();
            if !self.append(text)? {
                return Ok(false);
            }
            if !text.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }
}

/// `bytes` as text without NUL bytes.
pub(crate) fn as_text(bytes: &[u8]) -> std::result::Result<&str, Reason> {
    if bytes.contains(&0) {
        return Err(Reason::Binary("NUL byte"));
    }
    std::str::from_utf8(bytes).map_err(|_| Reason::Binary("invalid UTF-8"))
}

/// True for the line that some database clients write after the rows: `(12 rows affected)`.
pub(crate) fn is_row_count(text: &str) -> bool {
    let inner = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(" affected)"));
    let count = inner.and_then(|rest| rest.strip_suffix(" rows").or(rest.strip_suffix(" row")));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}
