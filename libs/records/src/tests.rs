//! All text formats, read through [`read`].

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::record::present;

const CSV: Layout = Layout::Delimited { kind: Delimited::Csv { backslash: false }, header: true };
const TSV: Layout = Layout::Delimited { kind: Delimited::Tsv, header: true };

/// Line, span and outcome of each record.
type Seen = Vec<(u64, u64, std::result::Result<Vec<Option<String>>, Reason>)>;

fn read_bytes(layout: Layout, bytes: &[u8]) -> Result<Seen> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, bytes).unwrap();
    let file = RawFile { path, name: "x".into() };
    let fields = [Field::required("a"), Field::optional("b")];
    let mut seen = Seen::new();
    read::<Error>(&file, layout, &fields, &mut |record| {
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

fn row(a: &str, b: &str) -> std::result::Result<Vec<Option<String>>, Reason> {
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
        assert!(error.is_bad_input(), "{error:?}");
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
