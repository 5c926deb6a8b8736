//! How files are written: packed, encoded, with and without headers, and JSON in every arrangement.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;

use crate::run::{CONFIG, World, csv, csv_log, jsonl, report, results, rows};

const FOUND: [&str; 6] =
    ["s-a d1 1 false", "s-a d2 2 true", "s-b d1 1 false", "s-b d2 2 true", "s-c d1 1 false", "s-c d2 2 true"];

/// The log of these bytes reads as [`csv_log`] of a, b and c.
#[track_caller]
fn reads(name: &str, bytes: impl AsRef<[u8]>, overrides: &[&str]) {
    let world = World::new(CONFIG);
    world.file(name, bytes);
    let paths = format!("ingest.log.paths=[\"{name}\"]");
    let mut all = vec![paths.as_str()];
    all.extend(overrides);
    let stage = world.output(&all);
    assert_eq!(results(&stage, &["session_id", "doc_id", "position", "clicked"]), FOUND, "{name}");
    assert_eq!(report(&stage, "log"), ["kept 6 3"], "{name}");
}

fn abc() -> String {
    csv_log(&["a", "b", "c"])
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// `text` as an LZ4 frame of one block that is stored as it is.
fn lz4(text: &str) -> Vec<u8> {
    let size = text.len() as u32 | 1 << 31;
    let header = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
    [&header[..], &size.to_le_bytes(), text.as_bytes(), &[0; 4]].concat()
}

/// [`abc`] as bzip2 writes it.
const BZIP2: &str = "\
    425a6831314159265359391443d800003ad9800010000630003f2dbe2020007228d190346991a0da451893c846d3531f11b9\
    42aacb854999888d50ee6a651c9818ce535d199529a6bcfd092ae9b6d383317c3fa59e38b2d19f5171de773a34fe2ee48a70\
    a120722887b0";

fn bytes_of(hexadecimal: &str) -> Vec<u8> {
    let pairs = hexadecimal.as_bytes().chunks(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn packed_files_are_known_by_their_first_bytes() {
    let log = abc();
    for name in ["log", "log.csv", "log.csv.GZ", "log.csv.gz", "part-0.dat"] {
        reads(name, gzip(&log), &[]);
    }
    for name in ["log", "log.csv", "log.ZST", "log.gz"] {
        reads(name, zstd::encode_all(log.as_bytes(), 3).unwrap(), &[]);
        reads(name, bytes_of(BZIP2), &[]);
        reads(name, lz4(&log), &[]);
        reads(name, &log, &[]);
    }
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let cases = [
        (&b"PK\x03\x04rest"[..], "log.csv: expected text, found a zip"),
        (
            b"PAR1\x15\x04\x15PAR1",
            "log.csv: expected text, found a Parquet file; correct the format in the configuration",
        ),
        (b"ORC\n\x03\0\0\0", "log.csv: expected text, found an ORC file; convert it to Parquet"),
        (b"Obj\x01\x04\x16", "log.csv: expected text, found an Avro file; convert it to Parquet"),
        (b"\xff\xfe\0\0s\0\0\0", "log.csv: expected UTF-8 or UTF-16, found UTF-32; convert it to UTF-8"),
    ];
    for (bytes, expected) in cases {
        let world = World::new(CONFIG);
        world.file("log.csv", bytes);
        world.refuses(&[], expected);
    }
}

#[test]
fn utf_16_is_decoded() {
    let log = abc();
    let little: Vec<u8> = log.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = log.encode_utf16().flat_map(u16::to_be_bytes).collect();
    reads("log.csv", [&b"\xff\xfe"[..], &little].concat(), &[]);
    reads("log.csv", [&b"\xfe\xff"[..], &big].concat(), &[]);
    reads("log.csv", &little, &[]);
    reads("log.csv", &big, &[]);
    reads("log.csv", format!("\u{feff}{log}"), &[]);
    reads("log.csv.gz", gzip(&format!("\u{feff}{log}")), &[]);
}

#[test]
fn files_without_a_header_have_numbers_or_names() {
    let log = abc();
    let (_, body) = log.split_once('\n').unwrap();
    let numbers =
        "ingest.log.columns={ session_id = \"1\", query = \"2\", doc_id = \"3\", position = \"4\", clicked = \"5\" }";
    reads("log.csv", body, &["ingest.log.dialect.header=[]", numbers]);
    let names = "ingest.log.dialect.header=[\"session\", \"query\", \"doc\", \"rank\", \"click\"]";
    reads("log.csv", body, &[names]);
    // A name for the fields that are not needed.
    reads(
        "log.csv",
        body.replace("false", "false,x,y"),
        &[names, "ingest.log.dialect.rest=others", "ingest.clean.max_reject_fraction=0"],
    );

    let world = World::new(CONFIG);
    world.file("log.csv", body);
    world.refuses(
        &[],
        "log.csv: expected a column `doc`, found `s-a`, `a`, `d1`, `1`, `false` in the first record; correct the \
        columns in the configuration; if the file has no header, name its columns in dialect.header",
    );
}

#[test]
fn dialects_of_delimited_text_are_read() {
    let log = abc();
    reads("log.csv", log.replace(',', ";"), &["ingest.log.dialect.delimiter=\";\""]);
    reads("log.csv", log.replace(',', "|"), &["ingest.log.dialect.delimiter=\"|\""]);
    reads("log.csv", log.replace(',', "\u{1}"), &["ingest.log.dialect.delimiter=\"\\u0001\""]);
    reads("log.csv", log.replace("d1", "'d1'"), &["ingest.log.dialect.quote=\"'\""]);
    reads("log.csv", format!("# exported\n{log}# end\n"), &["ingest.log.dialect.comment=\"#\""]);
    reads("log.csv", log.replace('\n', "\r\n"), &[]);
    reads("log.csv", log.replace('\n', "\n\n"), &[]);
    reads("log.tsv", log.replace(',', "\t"), &["ingest.log.format=tsv"]);
    let quoted = log.replace(',', "\t").replace("d1", "\"d1\"");
    reads("log.tsv", quoted, &["ingest.log.format=tsv", "ingest.log.dialect.quote=\"\\\"\""]);
}

#[test]
fn quotes_in_quotes_are_written_twice_or_after_a_backslash() {
    let log = "search_id,query,doc_id,position,clicked\n\
        k1,\"big \"\"tea\"\" pot\",d1,1,0\nk1,\"big \"\"tea\"\" pot\",d2,2,1\n";
    let queries = rows(&csv(log).output(&[]), "queries", &["query"]);
    assert!(queries.contains(&"big \"tea\" pot".to_string()), "{queries:?}");
    let world = csv(&log.replace("\"\"", "\\\""));
    let queries = rows(&world.output(&["ingest.log.dialect={ escape = \"backslash\" }"]), "queries", &["query"]);
    assert!(queries.contains(&"big \"tea\" pot".to_string()), "{queries:?}");
    let escape = "ingest.log.dialect.escape=backslash";
    world.misconfigured(
        &["ingest.log.format=tsv", escape],
        "ingest.log.dialect.escape: expected `double` beside format `tsv` \
        without a quote, found backslash",
    );
    world.misconfigured(
        &["ingest.log.format=jsonl", escape],
        "ingest.log.dialect: expected none beside a format other than `csv` \
        and `tsv`, found some keys",
    );
}

const JSON: [&str; 5] = ["search_id", "query", "doc_id", "position", "clicked"];

#[test]
fn json_is_read_in_every_arrangement() {
    let one = r#"{"search_id": "k1", "query": "tea", "doc_id": "d1", "position": 1, "clicked": false}"#;
    let two = r#"{"search_id": "k1", "query": "te\u0061 ", "doc_id": "d2", "position": "2", "clicked": true, "more": {"a": [1, "}{"]}}"#;
    for log in [
        format!("{one}\n{two}\n"),
        format!("{one}{two}"),
        format!("{one} {two}\r\n"),
        format!("[{one}, {two}]"),
        format!("[\n  {one},\n  {two}\n]\n"),
        format!("[]\n[{one}]\n[{two}]"),
        format!("{one}\n{two}\n(2 rows affected)\n"),
        format!("{one}\n{two}").replace(", \"", ",\n    \""),
        format!("\u{feff}{one}\n\n{two}\n\n"),
    ] {
        let stage = jsonl(&JSON, &log).output(&[]);
        assert_eq!(
            results(&stage, &["search_id", "doc_id", "position", "clicked"]),
            ["k1 d1 1 false", "k1 d2 2 true"],
            "{log}"
        );
        assert_eq!(stage.manifest().facts["log"]["rows_out"], 42, "{log}");
    }
}

#[test]
fn a_list_where_one_value_belongs_is_named_as_such() {
    let log = r#"{"search_id": "k1", "query": "tea", "doc_id": ["d1", "d2"], "position": [1, 2], "clicked": [0, 1]}
"#;
    jsonl(&JSON, log).refuses(&[], "log.jsonl:1: doc_id is not a single value: it is a list: `{\"search_id\": \"k1\"");
    let log = r#"{"search_id": "k1", "query": {"text": "tea"}, "doc_id": "d1", "position": 1, "clicked": 0}
"#;
    jsonl(&JSON, log).refuses(
        &[],
        "log.jsonl:1: `query` is a record, not a single value; name one of its fields, such as `query.text`",
    );
}

#[test]
fn an_optional_column_may_be_missing_from_some_files() {
    let log = "search_id,query,doc_id,position,clicked,dwell_seconds\nk1,tea,d1,1,0,\nk1,tea,d2,2,1,45\n";
    let world = csv(log);
    world.file("log-old.csv", "query,search_id,clicked,doc_id,position\ntea,k0,0,d1,1\ntea,k0,1,d2,2\n");
    let found = results(&world.output(&[]), &["search_id", "doc_id", "dwell_seconds"]);
    assert_eq!(found, ["k0 d1 -", "k0 d2 -", "k1 d1 -", "k1 d2 45.0"]);
    world.file("log-old.csv", "query,search_id,clicked,position\ntea,k0,0,1\n");
    world.refuses(&[], "log-old.csv: expected a column `doc_id`, found `query`, `search_id`, `clicked`, `position`");

    let world = csv("search_id,query,doc_id,position,clicked,dwel_seconds\nk1,tea,d1,1,0,\nk1,tea,d2,2,1,45\n");
    let columns = "ingest.log.columns.dwell_seconds=dwell_seconds";
    world.refuses(&[columns], "`clicked`; no record of any file has it; correct the columns");
}

#[test]
fn a_parquet_file_may_lack_an_optional_column() {
    let text = |values: &[&str]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let numbers = |values: &[f64]| Arc::new(Float64Array::from(values.to_vec())) as ArrayRef;
    let old = vec![
        ("search_id", text(&["k1", "k1", "k2", "k2"])),
        ("query", text(&["tea", "tea", "pot", "pot"])),
        ("doc_id", text(&["d1", "d2", "d1", "d2"])),
        ("position", numbers(&[1.0, 2.0, 1.0, 2.0])),
        ("clicked", numbers(&[0.0, 1.0, 0.0, 1.0])),
    ];
    let mut new = old.clone();
    new[0] = ("search_id", text(&["k3", "k3", "k4", "k4"]));
    new[1] = ("query", text(&["cup", "cup", "cup", "cup"]));
    new.push(("dwell_seconds", numbers(&[0.0, 31.0, 0.0, 32.0])));
    let world = csv("search_id,query,doc_id,position,clicked,dwell_seconds\n");
    for (name, columns) in [("new.parquet", new), ("old.parquet", old)] {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut writer = ArrowWriter::try_new(File::create(world.path(name)).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    }
    let stage = world.output(&["ingest.log.paths=[\"*.parquet\"]", "ingest.log.format=parquet"]);
    let found = results(&stage, &["search_id", "doc_id", "dwell_seconds"]);
    assert_eq!(found[..4], ["k1 d1 -", "k1 d2 -", "k2 d1 -", "k2 d2 -"]);
    assert_eq!(found[4..], ["k3 d1 0.0", "k3 d2 31.0", "k4 d1 0.0", "k4 d2 32.0"]);
}

#[test]
fn names_with_brackets_and_hidden_files() {
    let world = World::new(CONFIG);
    let log = abc();
    world.file("logs [2026]/part-0.csv", &log);
    world.file("logs [2026]/part-1.csv", "");
    world.file("logs [2026]/_SUCCESS", "");
    world.file("logs [2026]/.part-0.csv.crc", "crc");
    let paths = "ingest.log.paths=[\"logs [2026]/*\"]";
    let stage = world.output(&[paths]);
    assert_eq!(rows(&stage, "impressions", &["source"]), ["logs [2026]/part-0.csv"; 6]);
    world.warns(&[paths, "ingest.clean.max_query_chars=100"], "1 empty file skipped, such as logs [2026]/part-1.csv");
    // Brackets are a pattern where no such name exists.
    world.file("logs 2/part-0.csv", &log);
    let stage = world.output(&["ingest.log.paths=[\"logs [123]/part-[0-9].csv\"]"]);
    assert_eq!(rows(&stage, "impressions", &["source"]), ["logs 2/part-0.csv"; 6]);
    world.refuses(
        &["ingest.log.paths=[\"logs [456]/*\"]"],
        "logs [456]/*: expected at least one file, found none; correct \
        ingest.log.paths",
    );
}
