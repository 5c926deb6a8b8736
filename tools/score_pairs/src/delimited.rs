//! Pairs as CSV or TSV with a header. A row comes out byte for byte as it went in, with the score as its last field.

use std::io::{self, Read};
use std::path::Path;

use csv::{ByteRecord, ReaderBuilder};

use crate::columns::{COLUMNS, GRADE, SCORE, check_names, not_text};
use crate::text::{self, LONGEST, Lines, Row};
use pipeline::BadInput;

/// The rows of a file; empty lines are none.
pub(crate) struct Delimited<'a, R> {
    path: &'a Path,
    /// A comma, and fields may be quoted; or a tab, and a quote is an ordinary character.
    delimiter: u8,
    reader: csv::Reader<Tee<R>>,
    record: ByteRecord,
    /// Line ends that have been read.
    lines: u64,
    /// The line that the record starts at, from 1.
    line: u64,
    header: Header,
}

/// What the first row says.
#[derive(Default)]
struct Header {
    /// As the output has it.
    bytes: Vec<u8>,
    fields: usize,
    /// Which fields are query, title and summary.
    places: [usize; 3],
    /// Which field is the grade, where there is one.
    grade: Option<usize>,
    line_end: &'static str,
}

/// Opens a file whose fields `delimiter` parts.
pub(crate) fn open(path: &Path, delimiter: u8) -> anyhow::Result<Delimited<'_, impl Read + use<>>> {
    begin(path, text::open(path)?, delimiter)
}

fn begin<R: Read>(path: &Path, text: R, delimiter: u8) -> anyhow::Result<Delimited<'_, R>> {
    let tee = Tee { text, seen: Vec::new(), taken: 0, start: 0, ended: false };
    let reader = builder(delimiter).from_reader(tee);
    let (record, header) = (ByteRecord::new(), Header::default());
    let mut rows = Delimited { path, delimiter, reader, record, lines: 0, line: 0, header };
    let Some(bytes) = rows.next()? else {
        Err(BadInput(format!("{}: expected a header, found an empty file", path.display())))?
    };
    rows.header = rows.read_header(&bytes)?;
    Ok(rows)
}

fn builder(delimiter: u8) -> ReaderBuilder {
    let mut builder = ReaderBuilder::new();
    builder.has_headers(false).flexible(true).delimiter(delimiter).quoting(delimiter == b',');
    builder
}

impl<R: Read> Delimited<'_, R> {
    /// Reads the next record; returns its bytes, which may end in a line end.
    fn next(&mut self) -> anyhow::Result<Option<Vec<u8>>> {
        let more = self.reader.read_byte_record(&mut self.record);
        let more = more.map_err(|error| match error.into_kind() {
            csv::ErrorKind::Io(cause) if cause.kind() == io::ErrorKind::FileTooLarge => {
                text::too_long(&format!("{}:{}", self.path.display(), self.lines + 1)).into()
            }
            csv::ErrorKind::Io(cause) => text::read_error(self.path, cause),
            kind => anyhow::anyhow!("{}: {kind:?}", self.path.display()),
        })?;
        if !more {
            return Ok(None);
        }
        let end = self.reader.position().byte();
        let tee = self.reader.get_mut();
        let bytes = tee.take_until(end);
        // The second half of a line end, and empty lines, come before the record.
        let start = bytes.iter().position(|byte| !b"\r\n".contains(byte)).unwrap_or(bytes.len());
        let line_ends = |bytes: &[u8]| bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
        self.line = self.lines + 1 + line_ends(&bytes[..start]);
        self.lines += line_ends(&bytes);
        let (record, is_last) = (bytes[start..].to_vec(), tee.is_at_end());
        if is_last && self.leaves_a_quote_open(&record) {
            let found = "found one that is never closed; correct it";
            Err(BadInput(format!("{}: expected a quote at the end of each quoted field, {found}", self.place())))?;
        }
        Ok(Some(record))
    }

    /// True if a field after the record would be read as a part of its last one.
    fn leaves_a_quote_open(&self, record: &[u8]) -> bool {
        let longer = [without_line_end(record), &[self.delimiter, b'0']].concat();
        let read = builder(self.delimiter).from_reader(&longer[..]).into_byte_records().next();
        !matches!(read, Some(Ok(read)) if read.len() == self.record.len() + 1)
    }

    fn place(&self) -> String {
        format!("{}:{}", self.path.display(), self.line)
    }

    fn read_header(&self, bytes: &[u8]) -> Result<Header, BadInput> {
        let place = self.place();
        let names: Vec<_> = self.record.iter().map(String::from_utf8_lossy).collect();
        check_names(&place, names.iter().map(AsRef::as_ref))?;
        let mut places = [0; 3];
        for (place_of, column) in places.iter_mut().zip(COLUMNS) {
            let mut found = (0..names.len()).filter(|&at| names[at] == column.name);
            *place_of = found.next().unwrap_or_default();
            if found.next().is_some() {
                return Err(BadInput(format!("{place}: expected one column `{}`, found two; rename one", column.name)));
            }
        }
        let line_end = if bytes.ends_with(b"\r") || bytes.ends_with(b"\r\n") { "\r\n" } else { "\n" };
        let score = format!("{}{SCORE}{line_end}", char::from(self.delimiter));
        let bytes = [without_line_end(bytes), score.as_bytes()].concat();
        let grade = names.iter().position(|name| name == GRADE);
        Ok(Header { bytes, fields: names.len(), places, grade, line_end })
    }
}

impl<R: Read> Lines for Delimited<'_, R> {
    fn row(&mut self) -> anyhow::Result<Option<Row>> {
        let Some(bytes) = self.next()? else { return Ok(None) };
        let (expected, found) = (self.header.fields, self.record.len());
        if found != expected {
            let remedy = "quote a field that holds the delimiter, a quote or a line end, or correct the row";
            let found = format!("expected {expected} fields, as the header has, found {found}; {remedy}");
            Err(BadInput(format!("{}: {found}", self.place())))?;
        }
        let text = |column: usize| match std::str::from_utf8(&self.record[self.header.places[column]]) {
            Ok(text) => Ok(text.to_string()),
            Err(_) => Err(not_text(&self.place(), COLUMNS[column], &"bytes that are not UTF-8")),
        };
        let texts = [text(0)?, text(1)?, text(2)?];
        let before = [without_line_end(&bytes), &[self.delimiter]].concat();
        let grade = self.header.grade.map(|place| String::from_utf8_lossy(&self.record[place]).into_owned());
        Ok(Some(Row { texts, grade, before, after: self.header.line_end.into() }))
    }

    fn header(&self) -> &[u8] {
        &self.header.bytes
    }
}

/// A record without the line end after it: one within it is quoted, so that a quote follows.
fn without_line_end(mut record: &[u8]) -> &[u8] {
    while let [rest @ .., b'\r' | b'\n'] = record {
        record = rest;
    }
    record
}

/// A text whose bytes can be had again after they were read.
struct Tee<R> {
    text: R,
    /// What was read; the first `taken` bytes are not needed any more.
    seen: Vec<u8>,
    taken: usize,
    /// Where `seen` starts in the text.
    start: u64,
    ended: bool,
}

impl<R> Tee<R> {
    /// The bytes up to `end` that were not taken yet.
    fn take_until(&mut self, end: u64) -> Vec<u8> {
        let end = (end - self.start) as usize;
        let bytes = self.seen[self.taken..end].to_vec();
        self.taken = end;
        bytes
    }

    /// True if all of the text was read and taken.
    fn is_at_end(&self) -> bool {
        self.ended && self.taken == self.seen.len()
    }
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.seen.drain(..self.taken);
        (self.start, self.taken) = (self.start + self.taken as u64, 0);
        if self.seen.len() > LONGEST {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let read = self.text.read(to)?;
        self.seen.extend_from_slice(&to[..read]);
        self.ended = read == 0;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the output is with the score 0.5 in each row, and the texts of all rows.
    fn scored(text: &str, delimiter: u8) -> anyhow::Result<(String, Vec<[String; 3]>)> {
        let mut rows = begin(Path::new("p"), text.as_bytes(), delimiter)?;
        let (mut out, mut texts) = (rows.header().to_vec(), Vec::new());
        while let Some(row) = rows.row()? {
            out = [&out, &row.before, &b"0.5"[..], &row.after].concat();
            texts.push(row.texts);
        }
        Ok((String::from_utf8(out).unwrap(), texts))
    }

    fn texts(texts: [&str; 3]) -> [String; 3] {
        texts.map(String::from)
    }

    #[test]
    fn rows_keep_their_bytes() {
        let text = "id,summary,\"query\",title\n007,\"a \"\"b\"\",\nc\", d ,\n\n\"1\",,5\" disk,\"t\"";
        let (out, found) = scored(text, b',').unwrap();
        assert_eq!(
            out,
            "id,summary,\"query\",title,score\n007,\"a \"\"b\"\",\nc\", d ,,0.5\n\"1\",,5\" disk,\"t\",0.5\n"
        );
        assert_eq!(found, [texts([" d ", "", "a \"b\",\nc"]), texts(["5\" disk", "t", ""])]);
    }

    #[test]
    fn line_ends_stay() {
        let text = "query,title,summary\r\na,\"b\r\nb\",c\r\n\r\nd,e,f\r\n";
        let (out, found) = scored(text, b',').unwrap();
        assert_eq!(out, "query,title,summary,score\r\na,\"b\r\nb\",c,0.5\r\nd,e,f,0.5\r\n");
        assert_eq!(found, [texts(["a", "b\r\nb", "c"]), texts(["d", "e", "f"])]);
    }

    #[test]
    fn a_quote_in_tab_separated_text_is_a_character() {
        let (out, found) = scored("query\ttitle\tsummary\n\"a\tb, \"\"\tc\"\n", b'\t').unwrap();
        assert_eq!(out, "query\ttitle\tsummary\tscore\n\"a\tb, \"\"\tc\"\t0.5\n");
        assert_eq!(found, [texts(["\"a", "b, \"\"", "c\""])]);
    }

    #[test]
    fn long_files_keep_every_byte() {
        let rows = (0..50_000).map(|row| format!("{row},\"{}\n\",\"\"\"\",t{row}\n", "x".repeat(row % 70)));
        let rows: Vec<String> = rows.collect();
        let (out, found) = scored(&format!("id,query,title,summary\n{}", rows.concat()), b',').unwrap();
        let expected = rows.iter().map(|row| format!("{},0.5\n", row.trim_end()));
        assert_eq!(out, format!("id,query,title,summary,score\n{}", expected.collect::<String>()));
        assert_eq!(found[49_999], texts([&format!("{}\n", "x".repeat(49_999 % 70)), "\"", "t49999"]));
    }

    #[test]
    fn bad_rows_are_named() {
        let fields = "as the header has, found";
        let remedy = "quote a field that holds the delimiter, a quote or a line end, or correct the row";
        for (text, expected) in [
            ("", "p: expected a header, found an empty file".to_string()),
            ("query,title\n", "p:1: expected a column `summary`, found `query`, `title`".into()),
            ("query,title,summary,query\n", "p:1: expected one column `query`, found two; rename one".into()),
            (
                "query,title,summary,score\n",
                "p:1: expected no column `score`, which the output adds, found one; rename it".into(),
            ),
            ("query,title,summary\na,b,c\n\na,b\n", format!("p:4: expected 3 fields, {fields} 2; {remedy}")),
            (
                "query,title,summary\r\n\"a\r\n\",b,c\r\na,b,c,d",
                format!("p:4: expected 3 fields, {fields} 4; {remedy}"),
            ),
        ] {
            assert_eq!(scored(text, b',').unwrap_err().to_string(), expected, "{text:?}");
        }
        for text in ["a,b,\"c", "a,b,\"c\n", "a,b,\"c\nd,e,f\n", "a,b,\"c\"\""] {
            let error = scored(&format!("query,title,summary\n{text}"), b',').unwrap_err().to_string();
            let start = "p:2: expected a quote at the end of each quoted field, found one that is never closed";
            assert!(error.starts_with(start), "{text:?}: {error}");
        }
        for text in ["a,b,\",,0\"\n", "a,b,\",0\"", "a,b,\"c\"\n", "a,b,"] {
            assert!(scored(&format!("query,title,summary\n{text}"), b',').is_ok(), "{text:?}");
        }
        let mut rows = begin(Path::new("p"), &b"query,title,summary\n\xff,b,c\n"[..], b',').unwrap();
        let error = rows.row().unwrap_err().to_string();
        assert_eq!(error, "p:2: expected text in column `query`, found bytes that are not UTF-8");
    }
}
