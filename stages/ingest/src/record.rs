//! Raw files, record by record: every record is handed on with its file, line and text, whether it can be read or not.

use std::borrow::Cow;

use anyhow::Result;
use pipeline::BadInput;

use crate::delimited::Delimited;
use crate::files::RawFile;
use crate::{parquet_rows, text};

/// How the records of a file are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    Jsonl,
    /// Delimited text; with a header the columns are found by name, else they are the fields in order.
    Delimited {
        kind: Delimited,
        header: bool,
    },
    Parquet,
}

/// A field that is looked for.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// A record without it is malformed.
    pub(crate) required: bool,
}

impl Field {
    pub(crate) fn required(name: &str) -> Field {
        Field { name: name.into(), required: true }
    }

    pub(crate) fn optional(name: &str) -> Field {
        Field { name: name.into(), required: false }
    }
}

/// Why a record does not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    /// It cannot be read as what it should be.
    Malformed(Cow<'static, str>),
    /// It holds bytes that text does not have.
    Binary(&'static str),
    /// It can be read, but is not wanted.
    LeftOut(&'static str),
}

impl From<&'static str> for Reason {
    fn from(reason: &'static str) -> Reason {
        Reason::Malformed(reason.into())
    }
}

/// The values of a record: one per wanted field, trimmed; blank and absent ones are `None`.
pub(crate) type Values<'a> = Vec<Option<Cow<'a, str>>>;

/// One record of a raw file.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    /// Where it starts, from 1.
    pub(crate) line: u64,
    /// Lines it takes.
    pub(crate) span: u64,
    /// Its text.
    pub(crate) content: Cow<'a, [u8]>,
    /// Its values, or why there are none.
    pub(crate) values: Result<Values<'a>, Reason>,
}

/// What takes the records.
pub(crate) type Visit<'v> = dyn FnMut(&Record) -> Result<()> + 'v;

/// Which of the wanted fields a file has.
pub(crate) type Found = Vec<bool>;

/// Reads `file` record by record.
///
/// # Errors
/// [`BadInput`] on an empty or damaged file, one without a wanted required field, and a quote that is never closed;
/// whatever `visit` returns.
pub(crate) fn read(file: &RawFile, layout: Layout, fields: &[Field], visit: &mut Visit) -> Result<Found> {
    match layout {
        Layout::Parquet => parquet_rows::read(file, fields, visit),
        Layout::Jsonl => text::read_jsonl(file, fields, visit),
        Layout::Delimited { kind, header } => text::read_delimited(file, kind, header, fields, visit),
    }
}

/// `text` trimmed; nothing where nothing is left.
pub(crate) fn present(text: &str) -> Option<&str> {
    Some(text.trim()).filter(|text| !text.is_empty())
}

/// Refuses a required value that is not there.
pub(crate) fn check_present<'a>(field: &Field, value: Option<Cow<'a, str>>) -> Result<Option<Cow<'a, str>>, Reason> {
    if field.required && value.is_none() {
        Err(Reason::Malformed(format!("{} is missing", field.name).into()))
    } else {
        Ok(value)
    }
}

/// The error of a file without a wanted field.
pub(crate) fn missing_field(file: &RawFile, wanted: &str, found: &str) -> BadInput {
    let path = file.path.display();
    BadInput(format!("{path}: expected a column `{wanted}`, found {found}; correct the columns in the configuration"))
}

/// Field names for an error message.
pub(crate) fn names<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CSV: Layout = Layout::Delimited { kind: Delimited::Csv { backslash: false }, header: true };
    const TSV: Layout = Layout::Delimited { kind: Delimited::Tsv, header: true };

    /// Line, span and outcome of each record.
    type Seen = Vec<(u64, u64, Result<Vec<Option<String>>, Reason>)>;

    fn read_bytes(layout: Layout, bytes: &[u8]) -> Result<Seen> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("x");
        std::fs::write(&path, bytes)?;
        let file = RawFile { path, name: "x".into() };
        let fields = [Field::required("a"), Field::optional("b")];
        let mut seen = Seen::new();
        read(&file, layout, &fields, &mut |record| {
            let own = |values: &Values| {
                let own = |value: &Option<Cow<str>>| value.as_deref().map(String::from);
                values.iter().map(own).collect()
            };
            let values = record.values.as_ref().map(own).map_err(Reason::clone);
            seen.push((record.line, record.span, values));
            Ok(())
        })?;
        Ok(seen)
    }

    fn row(a: &str, b: &str) -> Result<Vec<Option<String>>, Reason> {
        let value = |text: &str| Some(text.to_string()).filter(|text| !text.is_empty());
        Ok(vec![value(a), value(b)])
    }

    #[test]
    fn damage_is_found_at_its_line() {
        let bytes = b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,\"y\r\nz\"\r\n3\r\na,b\r\n\x00,w\r\n\xff,w\r\n\" \",v\r\n(12 rows affected)\r\n";
        let expected: Seen = vec![
            (2, 1, row("1", "x")),
            (4, 2, row("2", "y\nz")),
            (6, 1, Err("wrong number of fields".into())),
            (7, 1, Err(Reason::LeftOut("repeated header"))),
            (8, 1, Err(Reason::Binary("NUL byte"))),
            (9, 1, Err(Reason::Binary("invalid UTF-8"))),
            (10, 1, Err("a is missing".into())),
            (11, 1, Err(Reason::LeftOut("row count after the rows"))),
        ];
        assert_eq!(read_bytes(CSV, bytes).unwrap(), expected);
    }

    #[test]
    fn json_values_become_text() {
        let bytes = b"{\"a\": 1.0, \"b\": true}\n{\"b\": null, \"a\": \" s \"}\n{\"a\": [1]}\n{}\nnull\n";
        let expected: Seen = vec![
            (1, 1, row("1.0", "true")),
            (2, 1, row("s", "")),
            (3, 1, Err("a is not a single value".into())),
            (4, 1, Err("a is missing".into())),
            (5, 1, Err("not a JSON object".into())),
        ];
        assert_eq!(read_bytes(Layout::Jsonl, bytes).unwrap(), expected);
    }

    #[test]
    fn unusable_files_are_named() {
        let cases: [(Layout, &[u8], &str); 6] = [
            (CSV, b"", "an empty file"),
            (Layout::Jsonl, b"", "an empty file"),
            (TSV, b"b\tc\n1\t2\n", "expected a column `a`, found `b`, `c`"),
            (Layout::Jsonl, b"{\"b\": 1}\n", "expected a column `a`, found `b`"),
            (CSV, b"a,b\n1,\"x\n2,y\n", "x:2: a record starts whose quoted field is never closed"),
            (Layout::Parquet, b"PAR1PAR1", "expected a readable Parquet file"),
        ];
        for (layout, bytes, expected) in cases {
            let error = read_bytes(layout, bytes).unwrap_err();
            assert!(error.is::<BadInput>(), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn jsonl_reads_what_was_written(rows in prop::collection::vec(("\\PC{1,9}", "\\PC{0,9}"), 1..8)) {
            prop_assume!(rows.iter().all(|(a, _)| present(a).is_some()));
            let lines: Vec<String> = rows.iter().map(|(a, b)| serde_json::json!({"b": b, "a": a}).to_string()).collect();
            let seen = read_bytes(Layout::Jsonl, lines.join("\n").as_bytes()).unwrap();
            let expected: Seen = rows.iter().zip(1..).map(|((a, b), line)| (line, 1, row(a.trim(), b.trim()))).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), noise in "[ab,\t\n\"{}:]{0,60}") {
            for body in [bytes.as_slice(), noise.as_bytes()] {
                let with_header = [b"a,b\n", body].concat();
                for layout in [CSV, TSV, Layout::Jsonl] {
                    if let Ok(seen) = read_bytes(layout, &with_header) {
                        prop_assert!(seen.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
                    }
                }
            }
        }
    }
}
