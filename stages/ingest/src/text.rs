//! Text files: JSON lines, delimited text.

use std::borrow::Cow;
use std::io::BufRead;

use anyhow::Result;
use pipeline::BadInput;

use crate::delimited::{Delimited, RecordParser};
use crate::files::RawFile;
use crate::record::{Field, Found, Reason, Record, Values, Visit, check_present, missing_field, names, present};

/// The lines of a file, numbered, without line ends and byte-order mark.
struct Lines<'f> {
    file: &'f RawFile,
    reader: Box<dyn BufRead>,
    number: u64,
}

impl<'f> Lines<'f> {
    fn open(file: &'f RawFile) -> Result<Lines<'f>> {
        let mut lines = Lines { file, reader: file.open()?, number: 0 };
        let start = lines.reader.fill_buf().map_err(|e| file.read_error(e))?;
        if start.is_empty() {
            let problem = "expected records, found an empty file; remove it or write it again";
            Err(BadInput(format!("{}: {problem}", file.path.display())))?;
        }
        Ok(lines)
    }

    /// Appends the next line to `text`; false at the end of the file.
    fn append(&mut self, text: &mut Vec<u8>) -> Result<bool> {
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
    fn next(&mut self, text: &mut Vec<u8>) -> Result<bool> {
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
fn as_text(bytes: &[u8]) -> Result<&str, Reason> {
    if bytes.contains(&0) {
        return Err(Reason::Binary("NUL byte"));
    }
    std::str::from_utf8(bytes).map_err(|_| Reason::Binary("invalid UTF-8"))
}

/// The line some database clients put after the rows.
fn is_row_count(text: &str) -> bool {
    let inner = text.trim().strip_prefix('(').and_then(|rest| rest.strip_suffix(" affected)"));
    let count = inner.and_then(|rest| rest.strip_suffix(" rows").or(rest.strip_suffix(" row")));
    count.is_some_and(|count| !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()))
}

/// Reads one JSON object a line.
pub(crate) fn read_jsonl(file: &RawFile, fields: &[Field], visit: &mut Visit) -> Result<Found> {
    let mut lines = Lines::open(file)?;
    let mut raw = Vec::new();
    let mut found = vec![false; fields.len()];
    let mut first_keys = None;
    while lines.next(&mut raw)? {
        let object = as_text(&raw).and_then(json_object).inspect(|object| {
            first_keys.get_or_insert_with(|| names(object.keys().map(String::as_str)));
        });
        let values = object.and_then(|object| json_values(object, fields, &mut found));
        visit(&Record { line: lines.number, span: 1, content: Cow::Borrowed(&raw), values })?;
    }
    let missing = fields.iter().zip(&found).find(|(field, found)| field.required && !**found);
    if let (Some((field, _)), Some(keys)) = (missing, first_keys) {
        Err(missing_field(file, &field.name, &keys))?;
    }
    Ok(found)
}

fn json_object(text: &str) -> Result<serde_json::Map<String, serde_json::Value>, Reason> {
    serde_json::from_str(text).map_err(|_| {
        if is_row_count(text) { Reason::LeftOut("row count after the rows") } else { "not a JSON object".into() }
    })
}

fn json_values(
    mut object: serde_json::Map<String, serde_json::Value>,
    fields: &[Field],
    found: &mut Found,
) -> Result<Values<'static>, Reason> {
    use serde_json::Value;
    let mut value = |(field, found): (&Field, &mut bool)| {
        let value = object.get_mut(&field.name).map(Value::take);
        *found |= value.is_some();
        let text = match value {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => present(&text).map(String::from),
            Some(Value::Bool(flag)) => Some(flag.to_string()),
            Some(Value::Number(number)) => Some(number.to_string()),
            Some(Value::Array(_) | Value::Object(_)) => {
                return Err(Reason::Malformed(format!("{} is not a single value", field.name).into()));
            }
        };
        check_present(field, text.map(Cow::Owned))
    };
    fields.iter().zip(found).map(&mut value).collect()
}

/// Reads delimited text.
pub(crate) fn read_delimited(
    file: &RawFile,
    kind: Delimited,
    has_header: bool,
    fields: &[Field],
    visit: &mut Visit,
) -> Result<Found> {
    let mut lines = Lines::open(file)?;
    let mut raw = Vec::new();
    let mut parser = RecordParser::new(kind);
    let mut header: Vec<String> = Vec::new();
    let mut columns: Vec<usize> = (0..fields.len()).collect();
    if has_header && lines.next(&mut raw)? {
        let line = lines.number;
        let damage = parse_record(&mut lines, &mut raw, &mut parser)?;
        if let Some(Reason::Binary(damage)) = damage {
            Err(file.bad_line(line, &format!("expected a header, found {damage}")))?;
        }
        header = parser.fields().map(|name| name.trim().to_string()).collect();
        columns = fields.iter().map(|field| column(file, &header, &field.name)).collect::<Result<_>>()?;
    }
    let width = if has_header { header.len() } else { fields.len() };
    while lines.next(&mut raw)? {
        let line = lines.number;
        let values = match parse_record(&mut lines, &mut raw, &mut parser)? {
            Some(reason) => Err(reason),
            None => delimited_values(&parser, &header, width, &columns, fields, &raw),
        };
        visit(&Record { line, span: lines.number - line + 1, content: Cow::Borrowed(&raw), values })?;
    }
    Ok(vec![true; fields.len()])
}

fn column(file: &RawFile, header: &[String], wanted: &str) -> Result<usize> {
    let at = header.iter().position(|name| name == wanted);
    let found = || names(header.iter().map(String::as_str));
    Ok(at.ok_or_else(|| missing_field(file, wanted, &found()))?)
}

/// Parses the record that starts with the line in `raw`, appending the lines it goes on in. Returns why it cannot be
/// read, where that is so.
fn parse_record(lines: &mut Lines, raw: &mut Vec<u8>, parser: &mut RecordParser) -> Result<Option<Reason>> {
    let first = lines.number;
    parser.clear();
    let mut start = 0;
    loop {
        match as_text(&raw[start..]) {
            Ok(line) if parser.feed(line) => {
                let stray = parser.has_stray_text();
                return Ok(stray.then(|| "text after a closing quote".into()));
            }
            Ok(_) => {}
            Err(damage) => return Ok(Some(damage)),
        }
        raw.push(b'\n');
        start = raw.len();
        if !lines.append(raw)? {
            let problem = "a record starts whose quoted field is never closed; correct it, or try the escape `backslash` or the format `tsv`";
            Err(lines.file.bad_line(first, problem))?;
        }
    }
}

fn delimited_values<'a>(
    parser: &'a RecordParser,
    header: &[String],
    width: usize,
    columns: &[usize],
    fields: &[Field],
    raw: &[u8],
) -> Result<Values<'a>, Reason> {
    if parser.len() != width {
        let row_count = std::str::from_utf8(raw).is_ok_and(is_row_count);
        return Err(if row_count {
            Reason::LeftOut("row count after the rows")
        } else {
            "wrong number of fields".into()
        });
    }
    if !header.is_empty() && parser.fields().map(str::trim).eq(header.iter()) {
        return Err(Reason::LeftOut("repeated header"));
    }
    fields
        .iter()
        .zip(columns)
        .map(|(field, &at)| {
            let value = parser.field(at).and_then(present).map(Cow::Borrowed);
            check_present(field, value)
        })
        .collect()
}
