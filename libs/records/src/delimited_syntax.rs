//! The syntax of delimited text: where records and their fields start and end.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memrchr};

/// What separates fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Delimiter {
    /// One byte.
    Byte(u8),
    /// Any white space.
    Space,
}

/// How records are written. All bytes are ASCII characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) delimiter: Delimiter,
    /// Around quoted fields; a doubled one within is one quote.
    pub(crate) quote: Option<u8>,
    /// True if a backslash in a quoted field stands for the character after it.
    pub(crate) backslash: bool,
    /// At the start of lines that are no records.
    pub(crate) comment: Option<u8>,
    /// The end of lines: a line feed, perhaps with a carriage return before it, or a carriage return alone.
    pub(crate) line_end: u8,
}

/// A field of a record, as positions in its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// True if the text has escapes or line ends of two bytes.
    pub(crate) escaped: bool,
}

/// Where the records of a text end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The end of the last whole record, behind its line end; 0 if there is none.
    pub(crate) last: usize,
    /// True if a quoted field is open where the text ends.
    pub(crate) open: bool,
}

impl Syntax {
    /// Where the last whole record of `bytes` ends.
    pub(crate) fn ends(&self, bytes: &[u8]) -> Ends {
        let mut last = 0;
        let mut outside = 0;
        while let Some(quote) = self.opening_quote(bytes, outside) {
            last = self.line_after(bytes, outside, quote).unwrap_or(last);
            match self.closing_quote(bytes, quote) {
                Some((close, _)) => outside = close + 1,
                None => return Ends { last, open: true },
            }
        }
        Ends { last: self.line_after(bytes, outside, bytes.len()).unwrap_or(last), open: false }
    }

    /// The start of the last line that starts between `from` and `to`.
    fn line_after(&self, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        memrchr(self.line_end, &bytes[from..to]).map(|end| from + end + 1)
    }

    /// The first quote from `outside` on that opens a field.
    fn opening_quote(&self, bytes: &[u8], outside: usize) -> Option<usize> {
        let quote = self.quote?;
        memchr_iter(quote, &bytes[outside..]).map(|skip| outside + skip).find(|&at| {
            let before = at.checked_sub(1).map(|before| bytes[before]);
            let line_start = before.is_none_or(|before| before == self.line_end);
            (line_start || before.map(Delimiter::Byte) == Some(self.delimiter)) && !self.in_comment(bytes, outside, at)
        })
    }

    /// True if the line that `at` is in is a comment. No quote opens between `outside`, the start of the text or the end of a
    /// quoted field, and `at`.
    fn in_comment(&self, bytes: &[u8], outside: usize, at: usize) -> bool {
        // The line of a quoted field is none, whatever the lines within the field start with.
        let start = self.line_after(bytes, outside, at).or((outside == 0).then_some(0));
        start.is_some_and(|start| Some(bytes[start]) == self.comment)
    }

    /// The quote that closes the field whose quote is at `open`, and true if there are escapes between them.
    #[inline]
    fn closing_quote(&self, bytes: &[u8], open: usize) -> Option<(usize, bool)> {
        let quote = self.quote?;
        let escape = if self.backslash { b'\\' } else { quote };
        let mut escaped = false;
        let mut at = open + 1;
        loop {
            at += memchr2(quote, escape, bytes.get(at..)?)?;
            if bytes[at] == quote && bytes.get(at + 1) != Some(&quote) {
                return Some((at, escaped));
            }
            escaped = true;
            at += 2;
        }
    }

    /// The line from `start` on: where its text ends, and where the next one starts.
    #[inline]
    pub(crate) fn line(&self, bytes: &[u8], start: usize) -> (usize, usize) {
        match memchr(self.line_end, &bytes[start..]) {
            Some(skip) => (self.without_return(bytes, start, start + skip), start + skip + 1),
            None => (self.without_return(bytes, start, bytes.len()), bytes.len()),
        }
    }

    /// `end`, or the byte before it if that is the carriage return of a line end of two bytes.
    #[inline]
    fn without_return(&self, bytes: &[u8], start: usize, end: usize) -> usize {
        if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end }
    }

    /// The fields of `line`, which has no quotes that open one.
    #[inline]
    pub(crate) fn split(&self, line: &[u8], cells: &mut Vec<Cell>) {
        cells.clear();
        match self.delimiter {
            Delimiter::Byte(delimiter) => {
                let mut start = 0;
                for end in memchr_iter(delimiter, line) {
                    cells.push(Cell { start, end, escaped: false });
                    start = end + 1;
                }
                cells.push(Cell { start, end: line.len(), escaped: false });
            }
            Delimiter::Space => split_spaces(line, cells),
        }
    }

    /// The fields of the record at `start`, with positions from there. Returns where its text ends, where the next one
    /// starts, and false if text stands between a closing quote and the end of its field.
    pub(crate) fn split_quoted(&self, bytes: &[u8], start: usize, cells: &mut Vec<Cell>) -> (usize, usize, bool) {
        let Delimiter::Byte(delimiter) = self.delimiter else {
            let (end, next) = self.line(bytes, start);
            self.split(&bytes[start..end], cells);
            return (end, next, true);
        };
        cells.clear();
        let mut sound = true;
        let mut at = start;
        loop {
            let mut quoted = None;
            let field = at;
            if self.quote.is_some() && bytes.get(at).copied() == self.quote {
                let closing = self.closing_quote(bytes, at).unwrap_or((bytes.len(), true));
                quoted = Some(closing);
                at = bytes.len().min(closing.0 + 1);
            }
            let after = at;
            at += memchr2(delimiter, self.line_end, &bytes[at..]).unwrap_or(bytes.len() - at);
            let line_ends = bytes.get(at) != Some(&delimiter);
            let end = if line_ends { self.without_return(bytes, after, at) } else { at };
            cells.push(match quoted {
                Some((close, escapes)) => {
                    sound &= end == after;
                    let escaped = escapes || memchr(b'\r', &bytes[field + 1..close]).is_some();
                    Cell { start: field + 1 - start, end: close - start, escaped }
                }
                None => Cell { start: field - start, end: end - start, escaped: false },
            });
            if line_ends {
                return (end, bytes.len().min(at + 1), sound);
            }
            at += 1;
        }
    }

    /// The text of a field: without escapes, and with line feeds as line ends.
    #[inline]
    pub(crate) fn text<'a>(&self, record: &'a str, cell: Cell) -> Cow<'a, str> {
        let text = record.get(cell.start..cell.end).unwrap_or_default();
        if cell.escaped { Cow::Owned(self.unescaped(text)) } else { Cow::Borrowed(text) }
    }

    fn unescaped(&self, text: &str) -> String {
        let quote = self.quote.map(char::from);
        let mut plain = String::with_capacity(text.len());
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '\r' if chars.peek() == Some(&'\n') => {}
                '\\' if self.backslash => plain.extend(chars.next()),
                _ if Some(c) == quote => plain.extend(chars.next()),
                _ => plain.push(c),
            }
        }
        plain
    }
}

fn split_spaces(line: &[u8], cells: &mut Vec<Cell>) {
    // White space beyond ASCII counts too; bytes that are not UTF-8 belong to fields.
    let mut at = 0;
    for chunk in line.utf8_chunks() {
        let invalid = chunk.invalid().len();
        for (skip, c) in chunk.valid().char_indices() {
            extend_field(cells, at + skip, c.len_utf8(), c.is_whitespace());
        }
        at += chunk.valid().len();
        if invalid > 0 {
            extend_field(cells, at, invalid, false);
        }
        at += invalid;
    }
}

/// Adds a character to the field that goes on, or to a new one after white space.
fn extend_field(cells: &mut Vec<Cell>, start: usize, length: usize, space: bool) {
    let end = start + length;
    match cells.last_mut() {
        Some(cell) if cell.end == start && !space => cell.end = end,
        _ if space => {}
        _ => cells.push(Cell { start, end, escaped: false }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: Syntax = Syntax {
        delimiter: Delimiter::Byte(b','),
        quote: Some(b'"'),
        backslash: false,
        comment: None,
        line_end: b'\n',
    };
    const ESCAPED: Syntax = Syntax { backslash: true, ..CSV };
    const TSV: Syntax = Syntax { delimiter: Delimiter::Byte(b'\t'), quote: None, ..CSV };
    const SPACE: Syntax = Syntax { delimiter: Delimiter::Space, quote: None, ..CSV };

    /// The fields of the record that `text` is, or `None` if it goes on.
    fn parse(syntax: Syntax, text: &str) -> Option<Vec<String>> {
        if syntax.ends(text.as_bytes()).open {
            return None;
        }
        let mut cells = Vec::new();
        let (end, _, _) = syntax.split_quoted(text.as_bytes(), 0, &mut cells);
        assert_eq!(end, text.len(), "{text}");
        Some(cells.iter().map(|&cell| syntax.text(text, cell).into_owned()).collect())
    }

    #[test]
    fn quotes_and_escapes() {
        let cases: [(Syntax, &str, Option<&[&str]>); 11] = [
            (CSV, r#"a,"b,""c""",d"#, Some(&["a", "b,\"c\"", "d"])),
            (CSV, "\"two\r\nlines\",x", Some(&["two\nlines", "x"])),
            (CSV, r#"a"b, "c""#, Some(&["a\"b", " \"c\""])),
            (CSV, r#""open,x"#, None),
            (CSV, r#""7\", x"#, Some(&["7\\", " x"])),
            (ESCAPED, r#""7\", x","y\\""#, Some(&["7\", x", "y\\"])),
            (ESCAPED, r#""open\""#, None),
            (CSV, ",,", Some(&["", "", ""])),
            (CSV, "\"\",\"\"", Some(&["", ""])),
            (TSV, "a\t\"b\t\tc", Some(&["a", "\"b", "", "c"])),
            (SPACE, " 1  0\u{a0}d\t3 ", Some(&["1", "0", "d", "3"])),
        ];
        for (syntax, text, expected) in cases {
            let found = parse(syntax, text);
            let found = found.as_ref().map(|fields| fields.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn text_after_a_closing_quote_is_noticed() {
        let mut cells = Vec::new();
        assert_eq!(CSV.split_quoted(b"\"a\"b,c\nd", 0, &mut cells), (6, 7, false));
        assert_eq!(CSV.split_quoted(b"x\n\"a\",\"c\"\r\nd", 2, &mut cells), (9, 11, true));
    }

    #[test]
    fn records_end_at_line_ends_outside_of_quotes() {
        let commented = Syntax { comment: Some(b'#'), ..CSV };
        for (syntax, text, last, open) in [
            (CSV, "a\nb\nc", 4, false),
            (CSV, "a\n\"b\nc", 2, true),
            (CSV, "a\n\"b\nc\"\n", 8, false),
            (CSV, "5\"\nb,\"\n\"\"\"\nc", 11, false),
            (commented, "#\"\n#,\"\nb\nc", 9, false),
            (commented, "\"\n#\",\"\nb\nc", 0, true),
            (CSV, "#,\"\nb\nc", 0, true),
            (TSV, "\"\na", 2, false),
            (Syntax { line_end: b'\r', ..CSV }, "a\r\"\r\"\rb", 6, false),
            (CSV, "", 0, false),
        ] {
            assert_eq!(syntax.ends(text.as_bytes()), Ends { last, open }, "{text}");
        }
    }

    fn csv_line(fields: &[String], delimiter: u8, style: csv::QuoteStyle) -> String {
        let mut writer = csv::WriterBuilder::new().delimiter(delimiter).quote_style(style).from_writer(Vec::new());
        writer.write_record(fields).unwrap();
        let text = String::from_utf8(writer.into_inner().unwrap()).unwrap();
        text.strip_suffix('\n').unwrap().to_string()
    }

    proptest! {
        #[test]
        fn csv_reads_what_an_independent_writer_wrote(fields in prop::collection::vec("[a-z\",\\\\ \n\té]{0,8}", 1..6)) {
            let text = csv_line(&fields, b',', csv::QuoteStyle::Necessary);
            prop_assert_eq!(parse(CSV, &text), Some(fields));
        }

        #[test]
        fn tsv_reads_what_an_independent_writer_wrote(fields in prop::collection::vec("[a-z\",\\\\ é]{1,8}", 1..6)) {
            let text = csv_line(&fields, b'\t', csv::QuoteStyle::Never);
            prop_assert_eq!(parse(TSV, &text), Some(fields));
        }

        #[test]
        fn space_splits_as_the_standard_library_does(line in "[a-b \t\u{a0}\u{3000}é]{0,20}") {
            let mut cells = Vec::new();
            SPACE.split(line.as_bytes(), &mut cells);
            let found: Vec<&str> = cells.iter().map(|cell| &line[cell.start..cell.end]).collect();
            prop_assert_eq!(found, line.split_whitespace().collect::<Vec<_>>());
        }

        #[test]
        fn records_are_where_they_end(text in "[ab\",\\\\\r\n#]{0,40}", comment in any::<bool>(), backslash in any::<bool>()) {
            // What is read record by record starts at the same places as what is cut.
            let syntax = Syntax { comment: comment.then_some(b'#'), backslash, ..CSV };
            let bytes = text.as_bytes();
            let ends = syntax.ends(bytes);
            let mut cells = Vec::new();
            let (mut at, mut starts) = (0, vec![0]);
            while at < bytes.len() {
                let commented = syntax.comment == Some(bytes[at]);
                at = if commented { syntax.line(bytes, at).1 } else { syntax.split_quoted(bytes, at, &mut cells).1 };
                starts.push(at);
            }
            prop_assert!(starts.contains(&ends.last), "{starts:?} {ends:?}");
        }
    }
}
