//! What readers and their callers share: wanted fields, values, records, reasons.

use std::borrow::Cow;

use crate::error::Error;
use crate::printable::printable;
use crate::raw_file::RawFile;

/// What becomes of a wanted field whose value is a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lists {
    /// It is no single value: the record is malformed, or the file is, if its schema says so.
    #[default]
    Refused,
    /// Its items become one text, joined by spaces; missing ones are skipped.
    Joined,
    /// Its items are wanted one by one; a missing one is an empty text, so that the others keep their places.
    Items,
}

/// A wanted field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the file: that of a field, or `a.b.c` for field `c` of field `b` of field `a`. A field that has the very
    /// name comes first. Columns without a name are `1`, `2` and so on.
    pub name: String,
    /// True if a record without it is malformed, and a file whose header or schema lacks it refused.
    pub required: bool,
    /// What becomes of a list.
    pub lists: Lists,
}

impl Field {
    /// A field that every record must have.
    #[must_use]
    pub fn required(name: &str) -> Field {
        Field { name: name.into(), required: true, lists: Lists::Refused }
    }

    /// A field that records may lack.
    #[must_use]
    pub fn optional(name: &str) -> Field {
        Field { name: name.into(), required: false, lists: Lists::Refused }
    }

    /// The field, with `lists` for values that are lists.
    #[must_use]
    pub fn with_lists(self, lists: Lists) -> Field {
        Field { lists, ..self }
    }
}

/// The value of a wanted field.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Value<'a> {
    /// Absent, null, blank, not a number, or text that stands for a missing value.
    #[default]
    Missing,
    /// Trimmed text, neither blank nor one that stands for a missing value. Numbers keep their digits as written.
    Text(Cow<'a, str>),
    /// The items of a list, of a field with [`Lists::Items`].
    Items(Vec<Cow<'a, str>>),
}

impl Value<'_> {
    /// The text of a single value.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            Value::Missing | Value::Items(_) => None,
        }
    }

    /// The value with text of its own.
    pub(crate) fn into_owned(self) -> Value<'static> {
        match self {
            Value::Missing => Value::Missing,
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Items(items) => Value::Items(items.into_iter().map(|item| Cow::Owned(item.into_owned())).collect()),
        }
    }
}

/// Why a record does not become a row of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It does not have the expected form or values.
    Malformed(Cow<'static, str>),
    /// It holds a NUL byte or bytes that are not UTF-8.
    Binary(&'static str),
    /// It is well-formed, but left out.
    LeftOut(&'static str),
}

impl From<&'static str> for Reason {
    fn from(reason: &'static str) -> Reason {
        Reason::Malformed(reason.into())
    }
}

/// One record of a raw file.
#[derive(Debug)]
pub struct Record<'a> {
    /// The line where it starts, from 1; the row of a Parquet file.
    pub line: u64,
    /// Number of lines it takes, without one that it shares with the record before it: of several records on one line, the
    /// first has 1 and the others 0.
    pub span: u64,
    /// Number of fields of delimited text that can be read, else 0.
    pub fields: usize,
    /// Its values, one per wanted field, or why there are none.
    pub values: Result<&'a [Value<'a>], Reason>,
    pub(crate) content: Content<'a>,
}

/// Where a record's text comes from.
#[derive(Debug)]
pub(crate) enum Content<'a> {
    /// From the file.
    Bytes(&'a [u8]),
    /// From the wanted values of a row.
    Row(&'a dyn Row),
}

/// A row that has no text in the file.
pub(crate) trait Row: std::fmt::Debug {
    /// The wanted values joined by tabs.
    fn text(&self) -> String;
}

impl Record<'_> {
    /// The record as it stands in the file, without its line end; UTF-16 as UTF-8. For Parquet the wanted values joined by
    /// tabs.
    #[must_use]
    pub fn content(&self) -> Cow<'_, [u8]> {
        match self.content {
            Content::Bytes(bytes) => Cow::Borrowed(bytes),
            Content::Row(row) => Cow::Owned(row.text().into_bytes()),
        }
    }
}

/// The function called with each record; its error ends the reading.
pub type Visit<'v, E> = dyn FnMut(&Record) -> Result<(), E> + 'v;

/// For each wanted field, true if it was seen: in the header, the schema or any record.
pub type Found = Vec<bool>;

/// The error of a file without the wanted field; `found` describes what it has instead.
#[must_use]
pub fn missing_field(file: &RawFile, wanted: &str, found: &str) -> Error {
    file.bad(format!("expected a column `{wanted}`, found {found}; correct the columns in the configuration"))
}

/// The reason of a required field without a value.
pub(crate) fn missing_value(field: &Field) -> Reason {
    Reason::Malformed(format!("{} is missing", field.name).into())
}

/// A list where a single value is wanted.
pub(crate) fn is_list(name: &str) -> String {
    format!("{name} is not a single value: it is a list")
}

/// A list whose items are no single values.
pub(crate) fn is_list_of_records(name: &str) -> String {
    format!("{name} is not a single value, nor a list of them: it is a list of lists or records")
}

/// A list on the way to the wanted field `name`.
pub(crate) fn is_below_list(name: &str, list: &str) -> String {
    format!("{name} is not a single value: `{list}` is a list")
}

/// A record where a single value is wanted; `inner` is the name of one of its fields.
pub(crate) fn is_record(name: &str, inner: Option<&str>) -> String {
    match inner {
        Some(inner) => {
            let inner = printable(inner.as_bytes(), 60);
            format!("`{name}` is a record, not a single value; name one of its fields, such as `{name}.{inner}`")
        }
        None => format!("`{name}` is a record without fields, not a single value"),
    }
}

/// Field names for an error message.
pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const SHOWN: usize = 40;
    let mut names: Vec<String> = names.map(|name| format!("`{}`", printable(name.as_bytes(), 60))).collect();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    match (names.is_empty(), more) {
        (true, _) => "none".into(),
        (false, 0) => names.join(", "),
        (false, _) => format!("{} and {more} more", names.join(", ")),
    }
}
