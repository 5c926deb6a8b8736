//! Pairs as JSON lines. A line comes out byte for byte as it went in, but for the score before its last brace.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::columns::{COLUMNS, Column, GRADE, SCORE, check_names, not_text, told};
use crate::text::{self, LONGEST, Lines, Row};
use pipeline::BadInput;

/// The rows of a file; empty lines are none.
pub(crate) struct JsonLines<'a, R> {
    path: &'a Path,
    text: BufReader<R>,
    /// Lines that have been read.
    lines: u64,
    line: Vec<u8>,
}

/// Opens a file of JSON lines.
pub(crate) fn open(path: &Path) -> anyhow::Result<JsonLines<'_, impl Read + use<>>> {
    Ok(JsonLines { path, text: BufReader::new(text::open(path)?), lines: 0, line: Vec::new() })
}

impl<R: Read> Lines for JsonLines<'_, R> {
    fn row(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.line.clear();
            let mut text = (&mut self.text).take(LONGEST as u64 + 1);
            let read = text.read_until(b'\n', &mut self.line).map_err(|cause| text::read_error(self.path, cause))?;
            if read == 0 {
                return Ok(None);
            }
            self.lines += 1;
            let place = || format!("{}:{}", self.path.display(), self.lines);
            if read > LONGEST {
                return Err(text::too_long(&place()).into());
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some(row(&place(), &self.line)?));
            }
        }
    }

    fn header(&self) -> &[u8] {
        b""
    }
}

/// The fields of a row. JSON lets a name come twice, and readers differ in which one they take.
struct Fields(Map<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Map::new();
        while let Some((name, value)) = map.next_entry::<String, Value>()? {
            if fields.contains_key(&name) {
                return Err(A::Error::custom(format!("`{name}` for the second time")));
            }
            fields.insert(name, value);
        }
        Ok(Fields(fields))
    }
}

fn row(place: &str, line: &[u8]) -> Result<Row, BadInput> {
    let object = line.trim_ascii();
    let Fields(mut fields) = serde_json::from_slice(object).map_err(|error| {
        let reason = error.to_string();
        let reason = told(reason.rsplit_once(" at line ").map_or(&reason, |(reason, _)| reason));
        BadInput(format!("{place}: expected a JSON object, found at column {}: {reason}", error.column()))
    })?;
    check_names(place, fields.keys().map(String::as_str))?;
    let mut text = |column: Column| match fields.remove(column.name).unwrap_or_default() {
        Value::String(text) => Ok(text),
        Value::Null if column.nullable => Ok(String::new()),
        found => Err(not_text(place, column, &found)),
    };
    let [query, title, summary] = COLUMNS;
    let texts = [text(query)?, text(title)?, text(summary)?];
    let grade = match fields.remove(GRADE).unwrap_or_default() {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    let line_end = if line.ends_with(b"\r\n") { "\r\n" } else { "\n" };
    // The line is an object with fields, so that it ends in a brace.
    let before = [&object[..object.len() - 1], format!(",\"{SCORE}\":").as_bytes()].concat();
    Ok(Row { texts, grade, before, after: format!("}}{line_end}").into_bytes() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_bytes() {
        let line =
            &br#"{"id": 12345678901234567890123, "query":"a", "x": 1.50, "title":null,"summary": "b \u00e9" }"#[..];
        let before =
            br#"{"id": 12345678901234567890123, "query":"a", "x": 1.50, "title":null,"summary": "b \u00e9" ,"score":"#;
        for (line_end, after) in [("", "}\n"), ("\n", "}\n"), ("\r\n", "}\r\n")] {
            let row = row("p:1", &[line, line_end.as_bytes()].concat()).unwrap();
            assert_eq!(row.texts, ["a", "", "b \u{e9}"]);
            assert_eq!((row.before, row.after), (before.to_vec(), after.as_bytes().to_vec()));
        }
    }

    #[test]
    fn bad_lines_are_named() {
        let cases = [
            (r#"{"query": "a", "title": "b"}"#, "expected a column `summary`, found `query`, `title`"),
            ("{}", "expected a column `query`, found none"),
            (r#"{"query": null, "title": "b", "summary": "c"}"#, "expected text in column `query`, found null"),
            (r#"{"query": "a", "title": 5, "summary": "c"}"#, "expected text in column `title`, found 5"),
            (
                r#"{"query": "a", "title": "b", "summary": "c", "score": 1}"#,
                "expected no column `score`, which the output adds, found one; rename it",
            ),
            (r#"{"query": "a""#, "expected a JSON object, found at column 13: EOF while parsing an object"),
            (
                r#"{"query": "a", "title": "b", "query": "c", "summary": "d"}"#,
                "expected a JSON object, found at column 41: `query` for the second time",
            ),
            ("[1]", "expected a JSON object, found at column 0: invalid type: sequence, expected a map"),
        ];
        for (line, expected) in cases {
            let error = row("p.jsonl:7", line.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert_eq!(error, format!("p.jsonl:7: {expected}"));
        }
        assert!(row("p:1", b"{\"query\": \"\xff\"}").is_err());
        let endless = format!(r#"{{"query": ["{}"], "title": "b", "summary": "c"}}"#, "x".repeat(100_000));
        let error = row("p:1", endless.as_bytes()).map(|_| ()).unwrap_err().to_string();
        assert!(error.len() < 300 && error.ends_with("xxx..."), "{error}");
    }
}
