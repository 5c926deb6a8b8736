//! Pairs as JSON lines. A line comes out byte for byte as it went in, but for the score before its last brace.

use std::fmt;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;

use anyhow::Context;
use files::AtomicFile;
use nn::text::Texts;
use pipeline::BadInput;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::{Map, Value};

use crate::{COLUMNS, Column, ROWS, SCORE, Scorer, check_names, not_text, told, unreadable};

/// What files of other formats begin with.
const OTHER_FORMATS: [(&[u8], &str); 3] = [
    (b"\xef\xbb\xbf", "a byte order mark; save it as UTF-8 without one"),
    (b"\x1f\x8b", "a gzip file; unpack it first"),
    (b"\x28\xb5\x2f\xfd", "a zstd file; unpack it first"),
];

/// Scores every line; returns their number.
pub(crate) fn score(scorer: &Scorer<'_>, pairs: &Path, out: &Path) -> anyhow::Result<u64> {
    let file = File::open(pairs).map_err(|cause| unreadable(pairs, &cause))?;
    let mut lines = Lines { path: pairs, file: BufReader::new(file), number: 0 };
    let mut file = AtomicFile::create(out)?;
    let mut rows = 0;
    loop {
        let chunk = lines.chunk()?;
        if chunk.is_empty() {
            break;
        }
        let texts: Vec<Texts<'_>> = chunk.iter().map(Row::texts).collect();
        for (row, score) in chunk.iter().zip(scorer.scores(&texts)?) {
            row.write(score, &mut file).with_context(|| format!("{}: writing failed", out.display()))?;
        }
        rows += chunk.len() as u64;
    }
    file.commit()?;
    Ok(rows)
}

struct Row {
    /// The line, without white space around it.
    line: Vec<u8>,
    /// Query, title and summary.
    texts: [String; 3],
}

impl Row {
    fn texts(&self) -> Texts<'_> {
        let [query, title, summary] = &self.texts;
        Texts { query, title, summary }
    }

    fn write(&self, score: f32, out: &mut impl Write) -> std::io::Result<()> {
        // The line is an object with fields, so that it ends in a brace.
        out.write_all(&self.line[..self.line.len() - 1])?;
        write!(out, ",\"{SCORE}\":")?;
        serde_json::to_writer(&mut *out, &score)?;
        out.write_all(b"}\n")
    }
}

/// The rows of a file; empty lines are none.
struct Lines<'a, R> {
    path: &'a Path,
    file: R,
    number: usize,
}

impl<R: BufRead> Lines<'_, R> {
    fn chunk(&mut self) -> anyhow::Result<Vec<Row>> {
        let mut chunk = Vec::new();
        let mut line = Vec::new();
        while chunk.len() < ROWS {
            line.clear();
            if self.file.read_until(b'\n', &mut line).map_err(|cause| unreadable(self.path, &cause))? == 0 {
                break;
            }
            self.number += 1;
            if self.number == 1
                && let Some((_, found)) = OTHER_FORMATS.iter().find(|(start, _)| line.starts_with(start))
            {
                Err(BadInput(format!("{}: expected JSON lines, found {found}", self.path.display())))?;
            }
            let text = line.trim_ascii();
            if !text.is_empty() {
                chunk.push(row(&format!("{}:{}", self.path.display(), self.number), text)?);
            }
        }
        Ok(chunk)
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
    let Fields(mut fields) = serde_json::from_slice(line).map_err(|error| {
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
    Ok(Row { texts: [text(query)?, text(title)?, text(summary)?], line: line.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_bytes() {
        let line = br#"{"id": 12345678901234567890123, "query":"a", "x": 1.50, "title":null,"summary": "b \u00e9" }"#;
        let row = row("p:1", line).unwrap();
        assert_eq!(row.texts(), Texts { query: "a", title: "", summary: "b \u{e9}" });
        let mut out = Vec::new();
        row.write(-1.25, &mut out).unwrap();
        let expected = br#"{"id": 12345678901234567890123, "query":"a", "x": 1.50, "title":null,"summary": "b \u00e9" ,"score":-1.25}"#;
        assert_eq!(out, [&expected[..], b"\n"].concat());
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
