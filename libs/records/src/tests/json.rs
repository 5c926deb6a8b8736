//! JSON text.

use proptest::prelude::*;

use super::*;

fn json() -> Layout {
    layout(RawFormat::Jsonl)
}

#[test]
fn values_become_text() {
    let bytes = b"{\"a\": 1.0, \"b\": true}\r\n\n{\"b\": null, \"a\": \" s \"}\n{\"a\": [1]}\n{}\nnull\n{\"a\": \"x\\ty\", \"b\": \"\"}\n";
    let expected = [
        (1, 1, row(&["1.0", "true"])),
        (3, 1, row(&["s", ""])),
        (4, 1, malformed("a is not a single value: it is a list")),
        (5, 1, malformed("a is missing")),
        (6, 1, malformed("not a JSON object")),
        (7, 1, row(&["x\ty", ""])),
    ];
    assert_eq!(outcomes(&json(), bytes), expected);
}

#[test]
fn numbers_keep_their_digits() {
    for (written, expected) in [
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("-0", "-0"),
        ("1.50", "1.50"),
        ("1.2345e4", "12345"),
        ("1E+3", "1000"),
        ("-12.0e0", "-12"),
        ("120e-1", "12"),
        ("12e-1", "12e-1"),
        ("9.007199254740991e15", "9007199254740991"),
        ("9.007199254740992e15", "9.007199254740992e15"),
        ("1e300", "1e300"),
        ("1e-400", "1e-400"),
        ("0e99999999999999999999", "0e99999999999999999999"),
        ("NaN", ""),
        ("Infinity", ""),
        ("-Infinity", ""),
    ] {
        let bytes = format!("{{\"a\": 1, \"b\": {written}}}");
        assert_eq!(outcomes(&json(), bytes.as_bytes()), [(1, 1, row(&["1", expected]))], "{written}");
    }
}

#[test]
fn a_bad_line_spoils_no_other() {
    for bad in [
        "{\"a\": \"x",
        "{\"a\": {\"b\": 1}",
        "{\"a\": 1}}",
        "{\"a\": 1} x",
        "{\"a\" 1}",
        "{\"a\": [",
        "\"a\": 1}",
        "{a: 1}",
    ] {
        let bytes = format!("{{\"a\": 1}}\n{bad}\n{{\"a\": 2}}\n");
        let expected = [(1, 1, row(&["1", ""])), (2, 1, malformed("not a JSON object")), (3, 1, row(&["2", ""]))];
        assert_eq!(outcomes(&json(), bytes.as_bytes()), expected, "{bad}");
        let first = format!("{bad}\n{{\"a\": 1}}\n");
        let expected = [(1, 1, malformed("not a JSON object")), (2, 1, row(&["1", ""]))];
        assert_eq!(outcomes(&json(), first.as_bytes()), expected, "{bad}");
    }
    let damaged = b"{\"a\": 1}\n{\"a\": \"\xff\"}\n{\"a\": \"\0\"}\n(12 rows affected)\n";
    let expected = [
        (1, 1, row(&["1", ""])),
        (2, 1, Err(Reason::Binary("invalid UTF-8"))),
        (3, 1, Err(Reason::Binary("NUL byte"))),
        (4, 1, Err(Reason::LeftOut("row count after the rows"))),
    ];
    assert_eq!(outcomes(&json(), damaged), expected);
}

#[test]
fn objects_stand_as_they_like() {
    let glued = b"{\"a\": 1}{\"a\": 2} , {\"a\": 3}\n{\"a\": 4}\n";
    let expected =
        [(1, 1, "1"), (1, 0, "2"), (1, 0, "3"), (2, 1, "4")].map(|(line, span, a)| (line, span, row(&[a, ""])));
    assert_eq!(outcomes(&json(), glued), expected);
    let pretty = b"{\n \"a\": 1,\n \"b\": {}\n}\n{\n \"a\": 2\n}{\"a\": 3}";
    let record = malformed("`b` is a record without fields, not a single value");
    let expected = [(1, 4, record), (5, 3, row(&["2", ""])), (7, 0, row(&["3", ""]))];
    assert_eq!(outcomes(&json(), pretty), expected);
    for array in [
        "[{\"a\": 1}, {\"a\": 2}]",
        "[{\"a\": 1}]\n[{\"a\": 2}]",
        "[\n{\"a\": 1},\n{\"a\": 2}\n]",
        "[\n  {\n\"a\":\n1}\n,{\"a\": 2}]\n",
    ] {
        let seen = outcomes(&json(), array.as_bytes());
        assert_eq!(
            seen.iter().map(|seen| seen.2.clone()).collect::<Vec<_>>(),
            [row(&["1", ""]), row(&["2", ""])],
            "{array}"
        );
        let (line, span, _) = seen[1].clone();
        assert!(seen[0].0 + seen[0].1 <= line + 1 - span, "{array}");
    }
    let damaged = b"[\n {\"a\": 1},\n {\"a\": bad},\n {\"a\": \"x},\n {\"a\": 2}\n]\n";
    let bad = || malformed("not a JSON object");
    let expected = [(2, 1, row(&["1", ""])), (3, 1, bad()), (4, 1, bad()), (5, 1, row(&["2", ""]))];
    assert_eq!(outcomes(&json(), damaged), expected);
}

#[test]
fn paths_lead_into_objects() {
    let fields = ["d.id", "d", "a.b.c"].map(Field::optional);
    for (line, expected) in [
        (
            r#"{"d": {"x": {"id": 1}, "id": 2}}"#,
            malformed("`d` is a record, not a single value; name one of its fields, such as `d.x`"),
        ),
        (r#"{"d.id": 1, "d": 3, "a": {"b": {"c": " y "}}}"#, row(&["1", "3", "y"])),
        (r#"{"a": {"b.c": 1, "b": null}}"#, row(&["", "", ""])),
        (r#"{"a": [{"b": {"c": 1}}]}"#, malformed("a.b.c is not a single value: `a` is a list")),
    ] {
        assert_eq!(values(&json(), &fields, line.as_bytes()), [expected], "{line}");
    }
    let fields = ["d.id", "e"].map(Field::optional);
    for (line, expected) in [
        (r#"{"d": {"x": {"id": 1}, "id": 2}}"#, row(&["2", ""])),
        (r#"{"d": {"id": 1}, "d.id": 2}"#, row(&["2", ""])),
        (r#"{"d.id": 2, "d": {"id": 1}}"#, row(&["2", ""])),
        (r#"{"d": {"id": 1}, "d": {"id": 2}, "e": [1], "e": 5}"#, row(&["2", "5"])),
        (r#"{"d": {"id": 1}, "d": {}}"#, row(&["", ""])),
        (r#"{"d": {"id": 1}, "\u0065": "\u00e9"}"#, row(&["1", "é"])),
    ] {
        assert_eq!(values(&json(), &fields, line.as_bytes()), [expected], "{line}");
    }
    let names = ["d", "d"].map(Field::optional);
    let expected = row(&["x\"", "x\""]);
    assert_eq!(values(&json(), &names, br#"{"d": "x\""}"#), [expected]);
}

#[test]
fn lists_are_joined_or_given() {
    let fields = [Field::optional("a").with_lists(Lists::Joined), Field::optional("a").with_lists(Lists::Items)];
    let items = |items: &[&str]| Value::Items(items.iter().map(|item| Cow::Owned(item.to_string())).collect());
    for (line, joined, given) in [
        (r#"{"a": ["x", null, 2, "\u00e9"]}"#, text("x 2 é"), items(&["x", "", "2", "é"])),
        (r#"{"a": []}"#, text(""), items(&[])),
        (r#"{"a": "[1]"}"#, text("[1]"), text("[1]")),
    ] {
        assert_eq!(values(&json(), &fields, line.as_bytes()), [Ok(vec![joined, given])], "{line}");
    }
    let nested = malformed("a is not a single value, nor a list of them: it is a list of lists or records");
    assert_eq!(values(&json(), &fields, br#"{"a": [1, {}]}"#), [nested]);
}

#[test]
fn half_pairs_of_surrogates_are_replaced() {
    let lines = br#"{"a": "x\ud83d", "b": "\\ud83d \ud83d\ude00"}
{"a": "\ude00\ud83d\ud83d\ude00"}
{"a": "\ud83d"#;
    let expected = [
        (1, 1, row(&["x\u{fffd}", "\\ud83d \u{1f600}"])),
        (2, 1, row(&["\u{fffd}\u{fffd}\u{1f600}", ""])),
        (3, 1, malformed("not a JSON object")),
    ];
    assert_eq!(outcomes(&json(), lines), expected);
}

#[test]
fn null_markers_are_missing() {
    let nulls = json().with_nulls(["\\N".to_string(), "-1".to_string()]);
    assert_eq!(outcomes(&nulls, br#"{"a": 1, "b": " \\N "}"#), [(1, 1, row(&["1", ""]))]);
    assert_eq!(outcomes(&nulls, br#"{"a": 1, "b": -1}"#), [(1, 1, row(&["1", ""]))]);
}

#[test]
fn what_no_record_has_is_told() {
    let error = failure(&json(), &ab(), b"{\"b\": 1, \"c\\u0001\": {}}\n");
    assert!(error.contains("expected a column `a`, found `b`, `c\\u{1}`; correct"), "{error}");
    let (_, found) =
        records(&json(), &["a", "b", "c.d"].map(Field::optional), br#"{"b": null, "c": {"d": 1}}"#).unwrap();
    assert_eq!(found, [false, true, true]);
}

#[test]
fn long_records_are_read_and_endless_ones_refused() {
    let long = "x".repeat(10 << 20);
    for bytes in [format!("{{\"a\": \"{long}\"}}\n{{\"a\": 2}}\n"), format!("[\n{{\"a\": \"{long}\"}},\n{{\"a\": 2}}]")]
    {
        let (_dir, file) = file_of(bytes.as_bytes());
        let (seen, _) = read_blocks(&file, &json(), &ab(), 1 << 16).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0].values, row(&[&long, ""]));
        let mut blocks = Blocks::open(&file, &json(), &ab()).unwrap();
        blocks.set_longest(1 << 20);
        let error = loop {
            match blocks.next(1 << 16) {
                Ok(block) => assert!(block.is_some()),
                Err(error) => break error.to_string(),
            }
        };
        assert!(error.contains("expected records of up to 256 MiB, found a longer one"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_was_written_is_read(
        rows in prop::collection::vec(("\\PC{1,9}", "\\PC{0,9}"), 1..8),
        form in 0_usize..5,
    ) {
        prop_assume!(rows.iter().all(|(a, _)| !a.trim().is_empty()));
        let objects = rows.iter().map(|(a, b)| serde_json::json!({"x": [{"a": {}}, "}\n\""], "b": b, "a": a}));
        let objects: Vec<_> = objects.collect();
        let written: Vec<String> = objects.iter().map(|object| object.to_string()).collect();
        let pretty = objects.iter().map(|object| serde_json::to_string_pretty(object).unwrap());
        let bytes = match form {
            0 => written.join("\n"),
            1 => written.concat(),
            2 => serde_json::to_string(&objects).unwrap(),
            3 => serde_json::to_string_pretty(&objects).unwrap(),
            _ => pretty.collect::<Vec<_>>().join("\n"),
        };
        let seen = outcomes(&json(), bytes.as_bytes());
        let expected: Vec<_> = rows.iter().map(|(a, b)| row(&[a.trim(), b.trim()])).collect();
        prop_assert_eq!(seen.iter().map(|seen| seen.2.clone()).collect::<Vec<_>>(), expected);
        let lines: u64 = seen.iter().map(|seen| seen.1).sum();
        let brackets = if form == 3 { 2 } else { 0 };
        prop_assert_eq!(lines + brackets, bytes.lines().count() as u64);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), noise in "[ab,\t\n\"{}:\\[\\]\\\\u]{0,60}") {
        for body in [bytes.as_slice(), noise.as_bytes()] {
            for start in [&b"{\"a\": 1}\n"[..], b"[", b""] {
                let (_dir, file) = file_of(&[start, body].concat());
                if let Ok((seen, _)) = read_blocks(&file, &json(), &ab(), 30) {
                    prop_assert!(seen.windows(2).all(|pair| pair[0].line <= pair[1].line));
                }
            }
        }
    }
}
