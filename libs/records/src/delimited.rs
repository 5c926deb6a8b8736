//! Delimited text: its header, and the wanted values of its records.

use std::borrow::Cow;

use memchr::memchr;

use crate::delimited_syntax::{Cell, Delimiter, Syntax};
use crate::error::{Error, Result};
use crate::raw_file::RawFile;
use crate::record::{Content, Field, Found, Lists, Reason, Record, Value, Visit, missing_field, missing_value, names};
use crate::source::Source;
use crate::text_lines::{Checked, count, is_blank, is_row_count};
use crate::values::Nulls;

/// How the delimited text of a configuration is written.
#[derive(Debug, Clone)]
pub(crate) struct Delimited {
    pub(crate) delimiter: Option<char>,
    pub(crate) quote: Option<char>,
    pub(crate) backslash: bool,
    pub(crate) comment: Option<char>,
    /// The names of the columns; none if the first record of each file has them. No names at all are numbers.
    pub(crate) header: Option<Vec<String>>,
    /// Name of the list of all fields after those of the header.
    pub(crate) rest: Option<String>,
}

/// What is known of a file of delimited text.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) syntax: Syntax,
    pub(crate) header: Vec<String>,
    /// True if records may have any number of fields.
    ragged: bool,
    columns: Vec<Column>,
}

/// Where a wanted field is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    At(usize),
    /// All fields from this one on.
    From(usize),
    Absent,
}

impl Delimited {
    /// Takes the header from `source`, if it has one, and finds the wanted `fields`. Returns the line of the next record too.
    pub(crate) fn open(&self, source: &mut Source, fields: &[Field]) -> Result<(Table, u64)> {
        let mut syntax = self.syntax(&source.file)?;
        syntax.line_end = line_end(source.peek(1 << 18)?.0);
        let (header, line) = match &self.header {
            Some(names) => (names.clone(), 1),
            None => take_header(source, &syntax)?,
        };
        let ragged = self.rest.is_some() || self.header.as_ref().is_some_and(Vec::is_empty);
        let table = Table { syntax, header, ragged, columns: Vec::new() };
        let columns = fields.iter().map(|field| self.column(&source.file, &table.header, field));
        let columns = columns.collect::<Result<_>>()?;
        Ok((Table { columns, ..table }, line))
    }

    fn syntax(&self, file: &RawFile) -> Result<Syntax> {
        let ascii = |key: &str, value: Option<char>| match value.map(u8::try_from) {
            None => Ok(None),
            Some(Ok(byte)) if byte.is_ascii() => Ok(Some(byte)),
            Some(_) => Err(file.bad(format!("expected an ASCII character as dialect.{key}, found another one"))),
        };
        let delimiter = ascii("delimiter", self.delimiter)?.map_or(Delimiter::Space, Delimiter::Byte);
        let (quote, comment) = (ascii("quote", self.quote)?, ascii("comment", self.comment)?);
        Ok(Syntax { delimiter, quote, backslash: self.backslash, comment, line_end: b'\n' })
    }

    /// Where `field` is in a file with this `header`.
    fn column(&self, file: &RawFile, header: &[String], field: &Field) -> Result<Column> {
        let mut named = header.iter().enumerate().filter(|(_, name)| **name == field.name).map(|(at, _)| at);
        if let Some(at) = named.next() {
            if named.next().is_some() {
                let problem =
                    "expected one column `{}`, found several; rename them, or name all columns in dialect.header";
                return Err(file.bad(problem.replace("{}", &field.name)));
            }
            return Ok(Column::At(at));
        }
        if self.rest.as_ref() == Some(&field.name) {
            return Ok(Column::From(header.len()));
        }
        let number = field.name.parse::<usize>().ok().and_then(|number| number.checked_sub(1));
        match (number, &self.header) {
            (Some(at), Some(names)) if names.is_empty() || self.rest.is_some() || at < names.len() => {
                Ok(Column::At(at))
            }
            _ if field.required => Err(self.missing(file, header, field)),
            _ => Ok(Column::Absent),
        }
    }

    fn missing(&self, file: &RawFile, header: &[String], field: &Field) -> Error {
        let found = names(header.iter().map(String::as_str));
        match &self.header {
            None => {
                let found = format!("{found} in the first record");
                let hint = "; if the file has no header, name its columns in dialect.header";
                match missing_field(file, &field.name, &found) {
                    Error::BadFile { path, problem } => Error::BadFile { path, problem: problem + hint },
                    other => other,
                }
            }
            Some(names) if names.is_empty() => {
                missing_field(file, &field.name, "columns with the names 1, 2 and so on")
            }
            Some(_) => missing_field(file, &field.name, &format!("{found} in dialect.header")),
        }
    }
}

impl Table {
    /// The names of the columns, for an error message.
    pub(crate) fn names(&self) -> String {
        if self.header.is_empty() { "numbered columns".into() } else { names(self.header.iter().map(String::as_str)) }
    }
}

/// The byte that ends the lines of a file that starts with `bytes`.
fn line_end(bytes: &[u8]) -> u8 {
    // Many a file with carriage returns alone got a line feed at its end later on.
    let body = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    if memchr(b'\r', body).is_some() && memchr(b'\n', body).is_none() { b'\r' } else { b'\n' }
}

/// Takes the first record, which names the columns. Returns the line of the next record too.
fn take_header(source: &mut Source, syntax: &Syntax) -> Result<(Vec<String>, u64)> {
    let mut line = 1;
    loop {
        let (start, whole) = first_record(source, syntax, line)?;
        let file = source.file.clone();
        let mut cells = Vec::new();
        let (text_end, next, _) = syntax.split_quoted(&start, 0, &mut cells);
        let (line_end, after_line) = syntax.line(&start, 0);
        let skipped =
            is_blank(&start[..line_end]) || syntax.comment.is_some_and(|comment| start.first() == Some(&comment));
        let taken = source.take(if skipped { after_line } else { next });
        let first = line;
        line += count(syntax.line_end, &taken);
        if !skipped {
            let text = Checked::new(&taken).part(0, text_end).map_err(|reason| match reason {
                Reason::Binary(damage) => file.bad_line(first, format!("expected a header, found {damage}")),
                _ => file.bad_line(first, "expected a header"),
            })?;
            return Ok((cells.iter().map(|&cell| syntax.text(text, cell).trim().to_string()).collect(), line));
        }
        if whole && taken.len() == start.len() {
            return Err(file.bad("expected a header, found no record; remove the file or write it again"));
        }
    }
}

/// The start of the unread text with at least one whole line or record, and true if it is all of the text.
fn first_record(source: &mut Source, syntax: &Syntax, line: u64) -> Result<(Vec<u8>, bool)> {
    let mut wanted = 1 << 12;
    loop {
        let longest = source.longest;
        let (bytes, whole) = source.peek(wanted)?;
        let ends = syntax.ends(bytes);
        if ends.last > 0 || (whole && !ends.open) {
            let end = if ends.last > 0 { ends.last } else { bytes.len() };
            return Ok((bytes[..end].to_vec(), whole && end == bytes.len()));
        }
        if whole || wanted > longest {
            return Err(endless(&source.file, line, syntax, ends.open));
        }
        wanted *= 2;
    }
}

/// The error of a record that does not end.
pub(crate) fn endless(file: &RawFile, line: u64, syntax: &Syntax, open: bool) -> Error {
    if !open {
        return file.bad_line(line, "expected records of up to 256 MiB, found a longer one; split or remove it");
    }
    let escape = if syntax.backslash { "" } else { "the escape `backslash` or " };
    let problem = "a record starts whose quoted field is never closed; correct it, or try";
    file.bad_line(line, format!("{problem} {escape}the format `tsv`"))
}

/// What reads the records of a block.
struct Reader<'r> {
    table: &'r Table,
    fields: &'r [Field],
    nulls: &'r Nulls,
    found: Found,
}

/// Visits the records of `bytes`, whose first line has the number `line`.
pub(crate) fn visit<E: From<Error>>(
    table: &Table,
    fields: &[Field],
    nulls: &Nulls,
    bytes: &[u8],
    mut line: u64,
    visit: &mut Visit<E>,
) -> std::result::Result<Found, E> {
    let syntax = table.syntax;
    let checked = Checked::new(bytes);
    let any_quote = syntax.quote.filter(|&quote| memchr(quote, bytes).is_some());
    let found =
        table.columns.iter().map(|column| matches!(column, Column::At(at) if *at < table.header.len())).collect();
    let mut reader = Reader { table, fields, nulls, found };
    let mut cells = Vec::new();
    let mut values = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let (mut end, mut next) = syntax.line(bytes, at);
        if is_blank(&bytes[at..end]) || syntax.comment == Some(bytes[at]) {
            (at, line) = (next, line + 1);
            continue;
        }
        let (mut sound, mut span) = (true, 1);
        if any_quote.is_some_and(|quote| memchr(quote, &bytes[at..end]).is_some()) {
            (end, next, sound) = syntax.split_quoted(bytes, at, &mut cells);
            span += count(syntax.line_end, &bytes[at..end]);
        } else {
            syntax.split(&bytes[at..end], &mut cells);
        }
        let text = checked.part(at, end);
        let count = if text.is_ok() { cells.len() } else { 0 };
        let outcome = text.and_then(|text| reader.read(text, sound, &cells, &mut values));
        let values = outcome.map(|()| values.as_slice());
        visit(&Record { line, span, fields: count, values, content: Content::Bytes(&bytes[at..end]) })?;
        (at, line) = (next, line + span);
    }
    Ok(reader.found)
}

impl Reader<'_> {
    /// Puts the values of a record into `values`.
    #[inline]
    fn read<'a>(
        &mut self,
        text: &'a str,
        sound: bool,
        cells: &[Cell],
        values: &mut Vec<Value<'a>>,
    ) -> std::result::Result<(), Reason> {
        let header = &self.table.header;
        if !sound {
            return Err("text after a closing quote".into());
        }
        if cells.len() != header.len() {
            if is_row_count(text) {
                return Err(Reason::LeftOut("row count after the rows"));
            }
            if !self.table.ragged {
                return Err("wrong number of fields".into());
            }
        }
        if self.is_header(text, cells) {
            return Err(Reason::LeftOut("repeated header"));
        }
        values.clear();
        for ((field, column), found) in self.fields.iter().zip(&self.table.columns).zip(&mut self.found) {
            let value = match *column {
                Column::Absent => Value::Missing,
                Column::At(at) => match cells.get(at) {
                    Some(&cell) => {
                        *found = true;
                        self.nulls.value(self.table.syntax.text(text, cell))
                    }
                    None => Value::Missing,
                },
                Column::From(at) => {
                    let rest = cells.get(at..).unwrap_or_default();
                    *found |= !rest.is_empty();
                    rest_of(field, text, rest, &self.table.syntax, self.nulls)?
                }
            };
            if field.required && value == Value::Missing {
                return Err(missing_value(field));
            }
            values.push(value);
        }
        Ok(())
    }

    /// True if the fields are the names of the columns.
    #[inline]
    fn is_header(&self, text: &str, cells: &[Cell]) -> bool {
        let name = |cell: &Cell| self.table.syntax.text(text, *cell);
        let same = |(cell, header): (&Cell, &String)| name(cell).trim() == header;
        let header = &self.table.header;
        !header.is_empty() && cells.len() == header.len() && cells.iter().zip(header).all(same)
    }
}

/// The value of the list of the fields in `cells`.
fn rest_of<'a>(
    field: &Field,
    text: &'a str,
    cells: &[Cell],
    syntax: &Syntax,
    nulls: &Nulls,
) -> std::result::Result<Value<'a>, Reason> {
    if field.lists == Lists::Refused && cells.is_empty() {
        return Ok(Value::Missing);
    }
    let items = cells.iter().map(|&cell| -> Option<Cow<'a, str>> { Some(syntax.text(text, cell)) });
    nulls.list(&field.name, field.lists, items).map_err(|problem| Reason::Malformed(problem.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_are_recognised() {
        for (text, expected) in [
            ("a,b\n1,2\n", b'\n'),
            ("a,b\r\n1,2\r\n", b'\n'),
            ("a,b\r\n", b'\n'),
            ("a,b\r1,2\r", b'\r'),
            ("a,b\r1,2\r\n", b'\r'),
            ("a,b\r1,2\n", b'\r'),
            ("a,b", b'\n'),
            ("a\rb,c\nd\n", b'\n'),
            ("a,b\r", b'\n'),
        ] {
            assert_eq!(line_end(text.as_bytes()), expected, "{text:?}");
        }
    }
}
