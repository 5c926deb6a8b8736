//! Delimited text.

use std::borrow::Cow;

use crate::error::Error;
use crate::fields::{Delimited, RecordParser};
use crate::lines::{Lines, as_text, is_row_count};
use crate::raw_file::RawFile;
use crate::record::{Field, Found, Reason, Record, Values, Visit, check_present, missing_field, names, present};

/// Reads delimited text.
pub(crate) fn read<E: From<Error>>(
    file: &RawFile,
    kind: Delimited,
    has_header: bool,
    fields: &[Field],
    visit: &mut Visit<E>,
) -> Result<Found, E> {
    let mut lines = Lines::open(file)?;
    let mut raw = Vec::new();
    let mut parser = RecordParser::new(kind);
    let mut header: Vec<String> = Vec::new();
    let mut columns: Vec<usize> = (0..fields.len()).collect();
    if has_header && lines.next(&mut raw)? {
        let line = lines.number;
        let damage = parse_record(&mut lines, &mut raw, &mut parser)?;
        if let Some(Reason::Binary(damage)) = damage {
            Err(file.bad_line(line, format!("expected a header, found {damage}")))?;
        }
        header = parser.fields().map(|name| name.trim().to_string()).collect();
        columns = fields.iter().map(|field| column(file, &header, &field.name)).collect::<Result<_, Error>>()?;
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

fn column(file: &RawFile, header: &[String], wanted: &str) -> Result<usize, Error> {
    let at = header.iter().position(|name| name == wanted);
    let found = || names(header.iter().map(String::as_str));
    at.ok_or_else(|| missing_field(file, wanted, &found()))
}

/// Parses the record that starts with the line in `raw`, appending the lines it goes on in. Returns the reason
/// if it cannot be read.
fn parse_record(lines: &mut Lines, raw: &mut Vec<u8>, parser: &mut RecordParser) -> Result<Option<Reason>, Error> {
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
            return Err(lines.file.bad_line(first, problem));
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
