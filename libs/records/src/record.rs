//! What readers and their callers share: wanted fields, records, reasons.

use std::borrow::Cow;

use crate::error::Error;
use crate::raw_file::RawFile;

/// A wanted field.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name in the file.
    pub name: String,
    /// True if a record without it is malformed.
    pub required: bool,
}

impl Field {
    /// A field that every record must have.
    #[must_use]
    pub fn required(name: &str) -> Field {
        Field { name: name.into(), required: true }
    }

    /// A field that records may lack.
    #[must_use]
    pub fn optional(name: &str) -> Field {
        Field { name: name.into(), required: false }
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

/// The values of a record: one per wanted field, trimmed; blank and absent ones are `None`.
pub type Values<'a> = Vec<Option<Cow<'a, str>>>;

/// One record of a raw file.
#[derive(Debug)]
pub struct Record<'a> {
    /// The line where it starts, from 1; the row of a Parquet file.
    pub line: u64,
    /// Number of lines it takes.
    pub span: u64,
    /// Its text as it stands in the file.
    pub content: Cow<'a, [u8]>,
    /// Its values, or why there are none.
    pub values: Result<Values<'a>, Reason>,
}

/// The function called with each record; its error ends the reading.
pub type Visit<'v, E> = dyn FnMut(&Record) -> Result<(), E> + 'v;

/// For each wanted field, true if the file has it.
pub type Found = Vec<bool>;

/// `text` trimmed; `None` if it is blank.
pub(crate) fn present(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Refuses a missing value of a required field.
pub(crate) fn check_present<'a>(field: &Field, value: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, Reason> {
    if field.required && value.is_none() {
        Err(Reason::Malformed(format!("{} is missing", field.name).into()))
    } else {
        Ok(value)
    }
}

/// The error of a file without the wanted field; `found` describes what it has instead.
#[must_use]
pub fn missing_field(file: &RawFile, wanted: &str, found: &str) -> Error {
    file.bad(format!("expected a column `{wanted}`, found {found}; correct the columns in the configuration"))
}

/// Field names for an error message.
pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
