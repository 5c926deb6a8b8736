//! All formats, read through the public interface.

mod columns;
mod delimited;
mod first;
mod json;
mod packed;

use std::borrow::Cow;

use crate::*;

/// What was seen of a record.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    line: u64,
    span: u64,
    fields: usize,
    content: Vec<u8>,
    values: std::result::Result<Vec<Value<'static>>, Reason>,
}

impl Seen {
    fn of(record: &Record) -> Seen {
        let owned = |values: &[Value]| values.iter().map(own).collect();
        let Record { line, span, fields, .. } = *record;
        let values = record.values.as_ref().map(|values| owned(values)).map_err(Reason::clone);
        Seen { line, span, fields, content: record.content().into_owned(), values }
    }
}

fn own(value: &Value) -> Value<'static> {
    let own = |text: &Cow<str>| Cow::Owned(text.to_string());
    match value {
        Value::Missing => Value::Missing,
        Value::Text(text) => Value::Text(own(text)),
        Value::Items(items) => Value::Items(items.iter().map(own).collect()),
    }
}

/// A file in a folder that goes with it.
fn file_of(bytes: &[u8]) -> (tempfile::TempDir, RawFile) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    (dir, RawFile { path, name: "x".into() })
}

fn read_blocks(file: &RawFile, layout: &Layout, fields: &[Field], bytes: usize) -> Result<(Vec<Seen>, Found)> {
    let mut blocks = Blocks::open(file, layout, fields)?;
    let mut seen = Vec::new();
    let mut found = vec![false; fields.len()];
    while let Some(block) = blocks.next(bytes)? {
        let more = block.visit::<Error>(&mut |record| {
            seen.push(Seen::of(record));
            Ok(())
        })?;
        found.iter_mut().zip(more).for_each(|(found, more)| *found |= more);
    }
    Ok((seen, found))
}

/// The records of a file that holds `bytes`, which are the same for blocks of any size.
fn records(layout: &Layout, fields: &[Field], bytes: &[u8]) -> Result<(Vec<Seen>, Found)> {
    let (_dir, file) = file_of(bytes);
    let whole = read_blocks(&file, layout, fields, 1 << 20)?;
    for bytes in [1, 16, 100] {
        assert_eq!(read_blocks(&file, layout, fields, bytes).unwrap(), whole, "blocks of {bytes}");
    }
    Ok(whole)
}

/// Required `a` and optional `b`.
fn ab() -> [Field; 2] {
    [Field::required("a"), Field::optional("b")]
}

type Outcome = std::result::Result<Vec<Value<'static>>, Reason>;

/// Line, span and outcome of the records of `bytes`, of which `a` and `b` are wanted.
fn outcomes(layout: &Layout, bytes: &[u8]) -> Vec<(u64, u64, Outcome)> {
    let (seen, _) = records(layout, &ab(), bytes).unwrap();
    seen.into_iter().map(|seen| (seen.line, seen.span, seen.values)).collect()
}

/// The outcomes of the records of `bytes`, of which `fields` are wanted.
fn values(layout: &Layout, fields: &[Field], bytes: &[u8]) -> Vec<Outcome> {
    records(layout, fields, bytes).unwrap().0.into_iter().map(|seen| seen.values).collect()
}

/// The error that `read` ends with.
fn failure(layout: &Layout, fields: &[Field], bytes: &[u8]) -> String {
    let (_dir, file) = file_of(bytes);
    let error = read::<Error>(&file, layout, fields, &mut |_| Ok(())).unwrap_err();
    assert!(error.is_bad_input(), "{error:?}");
    let text = error.to_string();
    assert!(!text.contains(char::is_control), "{text:?}");
    text
}

fn text(text: &str) -> Value<'static> {
    if text.is_empty() { Value::Missing } else { Value::Text(Cow::Owned(text.into())) }
}

fn row(values: &[&str]) -> Outcome {
    Ok(values.iter().map(|value| text(value)).collect())
}

fn malformed(reason: &str) -> Outcome {
    Err(Reason::Malformed(reason.to_string().into()))
}

fn layout(format: RawFormat) -> Layout {
    Layout::new(format, &Dialect::default())
}
