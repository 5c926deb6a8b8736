//! What the text formats share: lines, and whether bytes are text.

use memchr::memchr;

use crate::record::Reason;

/// Bytes with the text that they are, checked as a whole: nearly always that settles it for each part.
#[derive(Clone, Copy)]
pub(crate) struct Checked<'a> {
    pub(crate) bytes: &'a [u8],
    /// All of the bytes, if they are text.
    text: Option<&'a str>,
}

impl<'a> Checked<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Checked<'a> {
        Checked { bytes, text: as_text(bytes).ok() }
    }

    /// The bytes from `start` to `end` as text.
    #[inline]
    pub(crate) fn part(&self, start: usize, end: usize) -> Result<&'a str, Reason> {
        match self.text.and_then(|text| text.get(start..end)) {
            Some(part) => Ok(part),
            None => as_text(&self.bytes[start..end]),
        }
    }
}

/// `bytes` as text without NUL bytes.
fn as_text(bytes: &[u8]) -> Result<&str, Reason> {
    if memchr(0, bytes).is_some() {
        return Err(Reason::Binary("NUL byte"));
    }
    std::str::from_utf8(bytes).map_err(|_| Reason::Binary("invalid UTF-8"))
}

/// True if `line` has nothing but white space.
#[inline]
pub(crate) fn is_blank(line: &[u8]) -> bool {
    line.first().is_none_or(|first| first.is_ascii_whitespace()) && line.trim_ascii().is_empty()
}

/// Number of `end` bytes.
pub(crate) fn count(end: u8, bytes: &[u8]) -> u64 {
    memchr::memchr_iter(end, bytes).count() as u64
}

/// True for the line that some database clients write after the rows: `(12 rows affected)`.
pub(crate) fn is_row_count(text: &str) -> bool {
    let inner = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(" affected)"));
    let count = inner.and_then(|rest| rest.strip_suffix(" rows").or(rest.strip_suffix(" row")));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_counts_are_recognised() {
        assert!(is_row_count("(12 rows affected)") && is_row_count(" (1 row affected) "));
        assert!(!is_row_count("( rows affected)") && !is_row_count("(x rows affected)"));
    }

    #[test]
    fn one_bad_part_spoils_no_other() {
        let checked = Checked::new(b"ab\xff\0c");
        assert_eq!(checked.part(0, 2), Ok("ab"));
        assert_eq!(checked.part(0, 3), Err(Reason::Binary("invalid UTF-8")));
        assert_eq!(checked.part(2, 4), Err(Reason::Binary("NUL byte")));
        assert_eq!(checked.part(4, 5), Ok("c"));
    }
}
