//! One log in every format gives one set of tables.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, RecordBatch, StringArray};
use flate2::Compression;
use flate2::write::GzEncoder;
use parquet::arrow::ArrowWriter;

use crate::run::{CONFIG, World, csv_log, digests, rows};

const QUERIES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn jsonl(csv: &str) -> String {
    let lines = csv.lines().skip(1).map(|line| {
        let [session, query, doc, rank, click] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let (rank, click): (i32, bool) = (rank.parse().unwrap(), click.parse().unwrap());
        serde_json::json!({"session": session, "query": query, "doc": doc, "rank": rank, "click": click}).to_string()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn write_parquet(csv: &str, path: &Path) {
    let fields: Vec<Vec<&str>> = csv.lines().skip(1).map(|line| line.split(',').collect()).collect();
    let text = |at: usize| -> ArrayRef { Arc::new(StringArray::from_iter_values(fields.iter().map(|row| row[at]))) };
    let ranks = Int32Array::from_iter_values(fields.iter().map(|row| row[3].parse().unwrap()));
    let clicks = BooleanArray::from_iter(fields.iter().map(|row| Some(row[4] == "true")));
    let batch = RecordBatch::try_from_iter([
        ("unused", Arc::new(Float64Array::from(vec![0.5; fields.len()])) as ArrayRef),
        ("click", Arc::new(clicks)),
        ("rank", Arc::new(ranks)),
        ("doc", text(2)),
        ("query", text(1)),
        ("session", text(0)),
    ]);
    let batch = batch.unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn every_format_gives_the_same_tables() {
    let csv = csv_log(&QUERIES);
    let columns = ["search_id", "session_id", "user_id", "query_id", "doc_id", "position", "clicked"];
    let mut tables = Vec::new();
    for (format, name) in [
        ("csv", "log.csv"),
        ("csv", "log.csv.gz"),
        ("csv", "log.csv.zst"),
        ("tsv", "log.tsv"),
        ("jsonl", "log.jsonl"),
        ("parquet", "log.parquet"),
    ] {
        let world = World::new(CONFIG);
        let half = csv.len() / 2;
        match name {
            // Two members, as `cat a.gz b.gz` makes them.
            "log.csv.gz" => world.file(name, [gzip(&csv[..half]), gzip(&csv[half..])].concat()),
            "log.csv.zst" => world.file(name, zstd::encode_all(csv.as_bytes(), 3).unwrap()),
            "log.tsv" => world.file(name, csv.replace(',', "\t")),
            "log.jsonl" => world.file(name, jsonl(&csv)),
            "log.parquet" => write_parquet(&csv, &world.path(name)),
            _ => world.file(name, &csv),
        }
        let stage = world.output(&[&format!("ingest.log.paths=[\"{name}\"]"), &format!("ingest.log.format={format}")]);
        assert_eq!(rows(&stage, "impressions", &["source"]), vec![name; 12]);
        tables.push((
            rows(&stage, "impressions", &columns),
            rows(&stage, "pairs", &["query_id", "doc_id", "debiased_ctr", "split"]),
        ));
    }
    assert_eq!(tables[0].0.len(), 12);
    assert!(tables.iter().all(|table| *table == tables[0]), "{tables:#?}");
}

#[test]
fn threads_and_order_of_patterns_change_no_byte() {
    let world = World::new(CONFIG);
    world.file("log-1.csv", csv_log(&QUERIES[..3]));
    world.file("log-2.csv", csv_log(&QUERIES[2..]));
    let one = digests(&world.output(&["run.threads=1"]));
    let two = digests(&world.output(&["run.threads=4", "ingest.log.paths=[\"log-2.csv\", \"log-?.csv\"]"]));
    assert_eq!(one.len(), 8);
    assert_eq!(one, two);
}

#[test]
fn times_dwell_and_searches_are_read() {
    let world = World::new(CONFIG);
    let lines = [
        r#"{"s": 7, "u": null, "q": "Tv", "d": "d1", "r": 1, "c": 1, "w": 31, "t": "/Date(1300000000000)/"}"#,
        r#"{"s": 7, "u": "anna", "q": "Tv", "d": "d2", "r": 2, "c": 1, "w": 3, "t": 1300000001}"#,
        r#"{"s": 8, "q": "radio", "d": "d2", "r": 1, "c": 0}"#,
    ];
    world.file("log.jsonl", lines.join("\n"));
    let columns = r#"{ search_id = "s", user_id = "u", query = "q", doc_id = "d", position = "r", clicked = "c", dwell_seconds = "w", shown_at = "t" }"#;
    let stage = world.output(&[
        "ingest.log.paths=[\"log.jsonl\"]",
        "ingest.log.format=jsonl",
        "ingest.split.validation=0",
        "ingest.privacy.user_ids=plain",
        &format!("ingest.log.columns={columns}"),
    ]);
    // The user of a search is that of any of its rows.
    let found =
        rows(&stage, "impressions", &["search_id", "session_id", "user_id", "position", "dwell_seconds", "shown_at"]);
    assert_eq!(found, ["7 7 anna 1 31.0 1300000000000000", "7 7 anna 2 3.0 1300000001000000", "8 8 - 1 - -"]);
    let mut satisfied = rows(&stage, "pairs", &["doc_id", "clicks", "satisfied_clicks"]);
    satisfied.sort();
    assert_eq!(satisfied, ["d1 1 1", "d2 0 0", "d2 1 0"]);
}

#[test]
fn the_log_may_carry_the_documents() {
    let world = World::new(CONFIG);
    let header = "session,query,doc,rank,click,name,text\n";
    world.file("log.csv", format!("{header}1,a,x,1,1,First,\n2,b,x,1,0,Later,more\n3,c,y,1,1,Other,text\n"));
    let mut ingest: toml::Table = CONFIG.parse().unwrap();
    ingest.remove("documents");
    let columns = "{ session_id = 'session', query = 'query', doc_id = 'doc', position = 'rank', clicked = 'click', title = 'name', summary = 'text' }";
    ingest["log"]["columns"] = toml::from_str::<toml::Table>(&format!("c = {columns}")).unwrap()["c"].clone();
    let carried = World::new(&ingest.to_string());
    std::fs::copy(world.path("log.csv"), carried.path("log.csv")).unwrap();
    let stage = carried.output(&[]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), ["x First more", "y Other text"]);
}
