//! Delimited text.

use proptest::prelude::*;

use super::*;

fn csv() -> Layout {
    layout(RawFormat::Csv)
}

fn with(dialect: Dialect) -> Layout {
    Layout::new(RawFormat::Csv, &dialect)
}

fn headed(names: &[&str], rest: Option<&str>) -> Layout {
    let header = Some(names.iter().map(|name| name.to_string()).collect());
    with(Dialect { header, rest: rest.map(String::from), ..Dialect::default() })
}

#[test]
fn damage_is_found_at_its_line() {
    let bytes = b"\xef\xbb\xbfa,b\r\n1,x\r\n\r\n2,\"y\r\nz\"\r\n3\r\na,b\r\n\x00,w\r\n\xff,w\r\n\" \",v\r\n(12 rows affected)\r\n\"x\"y,\r\n";
    let expected = [
        (2, 1, row(&["1", "x"])),
        (4, 2, row(&["2", "y\nz"])),
        (6, 1, malformed("wrong number of fields")),
        (7, 1, Err(Reason::LeftOut("repeated header"))),
        (8, 1, Err(Reason::Binary("NUL byte"))),
        (9, 1, Err(Reason::Binary("invalid UTF-8"))),
        (10, 1, malformed("a is missing")),
        (11, 1, Err(Reason::LeftOut("row count after the rows"))),
        (12, 1, malformed("text after a closing quote")),
    ];
    assert_eq!(outcomes(&csv(), bytes), expected);
    let (seen, found) = records(&csv(), &ab(), bytes).unwrap();
    assert_eq!(seen[1].content, b"2,\"y\r\nz\"");
    assert_eq!(seen.iter().map(|seen| seen.fields).collect::<Vec<_>>(), [2, 2, 1, 2, 0, 0, 2, 1, 2]);
    assert_eq!(found, [true, true]);
}

#[test]
fn dialects_differ() {
    let semicolon = Dialect { delimiter: Some(';'), quote: Some('\''), comment: Some('#'), ..Dialect::default() };
    let bytes = b"# by hand;'\na;b\n#;'\n'x;''y';\"2\"\n";
    assert_eq!(outcomes(&with(semicolon), bytes), [(4, 1, row(&["x;'y", "\"2\""]))]);
    let backslash = Dialect { escape: QuoteEscape::Backslash, ..Dialect::default() };
    assert_eq!(outcomes(&with(backslash), b"a,b\n\"x\\\"\",\"\\\\\"\n"), [(2, 1, row(&["x\"", "\\"]))]);
    assert_eq!(outcomes(&layout(RawFormat::Tsv), b"a\tb\n\"1\t2\"\n"), [(2, 1, row(&["\"1", "2\""]))]);
    let control = Dialect { delimiter: Some('\u{1}'), ..Dialect::default() };
    assert_eq!(outcomes(&with(control), b"a\x01b\n1\x012"), [(2, 1, row(&["1", "2"]))]);
    assert_eq!(outcomes(&csv(), b"\xef\xbb\xbf\"a\",\"b\"\n1,2"), [(2, 1, row(&["1", "2"]))]);
    assert_eq!(outcomes(&csv(), b"a,b\r1,\"2\r3\"\r4,5\r"), [(2, 2, row(&["1", "2\r3"])), (4, 1, row(&["4", "5"]))]);
    let error = failure(&with(Dialect { delimiter: Some('¦'), ..Dialect::default() }), &ab(), b"a,b\n");
    assert!(error.contains("expected an ASCII character as dialect.delimiter"), "{error}");
}

#[test]
fn columns_without_a_header_have_given_names_or_numbers() {
    assert_eq!(
        outcomes(&headed(&["b", "a"], None), b"1,2\n3\n"),
        [(1, 1, row(&["2", "1"])), (2, 1, malformed("wrong number of fields")),]
    );
    let numbers = [Field::required("2"), Field::optional("3")];
    assert_eq!(values(&headed(&["b", "a"], None), &numbers, b"1,2\n"), [row(&["2", ""])]);
    let ragged = b"1,2\n3,4,5\n6\n(3 rows affected)\n";
    let expected = [
        row(&["2", ""]),
        row(&["4", "5"]),
        malformed("2 is missing"),
        Err(Reason::LeftOut("row count after the rows")),
    ];
    assert_eq!(values(&headed(&[], None), &numbers, ragged), expected);
    let (_, found) = records(&headed(&[], None), &["1", "9"].map(Field::optional), ragged).unwrap();
    assert_eq!(found, [true, false]);
    let trec = ["1", "3", "4"].map(Field::required);
    assert_eq!(
        values(&Layout::space(), &trec, b"q1 0  d1\t2 \n q2 0 d2\n"),
        [row(&["q1", "d1", "2"]), malformed("4 is missing"),]
    );
}

#[test]
fn the_rest_of_a_record_is_a_list() {
    let layout = headed(&["q", "n"], Some("ids"));
    let lists = [Lists::Items, Lists::Joined].map(|lists| Field::optional("ids").with_lists(lists));
    let fields = [&[Field::required("q"), Field::optional("4")], &lists[..]].concat();
    let items = |items: &[&'static str]| Value::Items(items.iter().map(|item| Cow::Borrowed(*item)).collect());
    let expected = [
        Ok(vec![text("1"), text("b"), items(&["a", "b", ""]), text("a b")]),
        Ok(vec![text("2"), text(""), items(&[]), text("")]),
        Ok(vec![text("3"), text(""), items(&[]), text("")]),
    ];
    assert_eq!(values(&layout, &fields, b"1,3,a,\"b\",\n2,0\n3\n"), expected);
    let expected = [malformed("ids is not a single value: it is a list"), row(&[""])];
    assert_eq!(values(&layout, &[Field::optional("ids")], b"1,3,a\n2,0\n"), expected);
}

#[test]
fn unusable_files_are_named() {
    let closing =
        "x:2: a record starts whose quoted field is never closed; correct it, or try the escape `backslash` or";
    let header = "expected a column `a`, found `b`, `c` in the first record; correct the columns in the configuration; \
                  if the file has no header, name its columns in dialect.header";
    let cases: [(Layout, &[u8], &str); 9] = [
        (csv(), b"", "an empty file"),
        (csv(), b"\xef\xbb\xbf \n", "an empty file"),
        (csv(), b"b,c\n1,2\n", header),
        (csv(), b"a,b\n1,\"x\n2,y\n", closing),
        (csv(), b"\"a,b\n1,2\n2,y\n", "x:1: a record starts whose quoted field is never closed"),
        (csv(), b"a,b,a\n1,2,3\n", "expected one column `a`, found several"),
        (csv(), b"\xffa,b\n1,2\n", "x:1: expected a header, found invalid UTF-8"),
        (headed(&["b", "c"], None), b"1,2\n", "expected a column `a`, found `b`, `c` in dialect.header"),
        (headed(&[], None), b"1,2\n", "expected a column `a`, found columns with the names 1, 2 and so on"),
    ];
    for (layout, bytes, expected) in cases {
        let error = failure(&layout, &ab(), bytes);
        assert!(error.contains(expected), "{error}");
    }
    let comments = Dialect { comment: Some('#'), ..Dialect::default() };
    assert!(failure(&with(comments), &ab(), b"#a\n\n#b").contains("expected a header, found no record"));
}

#[test]
fn a_file_may_lack_an_optional_column() {
    let (seen, found) = records(&csv(), &ab(), b"a,c\n1,2\n").unwrap();
    assert_eq!((seen[0].values.clone(), found), (row(&["1", ""]), vec![true, false]));
}

#[test]
fn an_open_quote_is_not_read_to_the_end_of_a_long_file() {
    let (_dir, file) = file_of(format!("a,b\n1,2\n\"{}", "x,y\n".repeat(1 << 18)).as_bytes());
    let mut blocks = Blocks::open(&file, &csv(), &ab()).unwrap();
    blocks.set_longest(1 << 16);
    assert!(blocks.next(100).unwrap().is_some());
    let error = blocks.next(100).unwrap_err().to_string();
    assert!(error.contains("x:3: a record starts whose quoted field is never closed"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_an_independent_writer_wrote_is_read(
        rows in prop::collection::vec(("[a-z][a-z\",é\n ]{0,8}", "[a-z\",\\\\ \n\té]{0,8}"), 1..8),
        always in any::<bool>(),
        crlf in any::<bool>(),
    ) {
        let style = if always { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
        let end = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
        let mut writer = csv::WriterBuilder::new().quote_style(style).terminator(end).from_writer(Vec::new());
        writer.write_record(["b", "a"]).unwrap();
        rows.iter().for_each(|(a, b)| writer.write_record([b, a]).unwrap());
        let bytes = writer.into_inner().unwrap();
        let expected: Vec<_> = rows.iter().map(|(a, b)| row(&[a.trim(), b.trim()])).collect();
        prop_assume!(rows.iter().all(|(a, b)| (a.trim(), b.trim()) != ("a", "b")));
        prop_assert_eq!(values(&csv(), &ab(), &bytes), expected);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), noise in "[ab,\t\r\n\"\\\\#{}:]{0,60}") {
        let odd = Dialect { escape: QuoteEscape::Backslash, comment: Some('#'), rest: Some("r".into()), ..Dialect::default() };
        for body in [bytes.as_slice(), noise.as_bytes()] {
            for layout in [csv(), layout(RawFormat::Tsv), with(odd.clone()), headed(&[], None), Layout::space()] {
                for start in [&b"a,b\n"[..], b"a\tb\n", b""] {
                    let (_dir, file) = file_of(&[start, body].concat());
                    if let Ok((seen, _)) = read_blocks(&file, &layout, &ab().map(|field| Field { required: false, ..field }), 30) {
                        prop_assert!(seen.windows(2).all(|pair| pair[0].line + pair[0].span <= pair[1].line));
                    }
                }
            }
        }
    }
}
