//! Values that are missing, in every spelling, and optional values that cannot be read.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;

use crate::run::{World, csv, jsonl, report, results, rows};

const ROW: [&str; 4] = ["user_id", "doc_id", "dwell_seconds", "shown_at"];

#[test]
fn every_spelling_of_nothing_is_a_missing_value() {
    for nothing in ["", "\\N", "NULL", "null", "NA", "N/A", "NaN", "nan", "NaT", "None", "-", " NULL "] {
        let log = format!(
            "search_id,user_id,query,doc_id,position,clicked,dwell_seconds,shown_at\n\
             k1,{nothing},tea,d1,1,0,{nothing},{nothing}\nk1,ann,tea,d2,2,1,40,2026-03-01T08:00:00Z\n\
             k2,{nothing},{nothing},d2,1,1,,\n"
        );
        let stage = csv(&log).output(&["ingest.privacy.user_ids=plain"]);
        assert_eq!(results(&stage, &ROW), ["ann d1 - -", "ann d2 40.0 1772352000000000"], "{nothing}");
        assert_eq!(report(&stage, "log"), ["kept 42 21", "left_out 1 1 empty query"], "{nothing}");
    }
}

#[test]
fn minus_one_is_no_dwell_time() {
    let log = "search_id,query,doc_id,position,clicked,dwell_seconds\nk1,tea,d1,1,0,-1\nk1,tea,d2,2,1,40\nk2,tea,d1,1,0,-1.0\n";
    let stage = csv(log).output(&[]);
    assert_eq!(results(&stage, &["doc_id", "dwell_seconds"]), ["d1 -", "d2 40.0", "d1 -"]);
    assert_eq!(report(&stage, "log"), ["kept 43 21"]);
}

#[test]
fn the_null_values_can_be_named() {
    let log = "search_id,query,doc_id,position,clicked,dwell_seconds\nk1,null,d1,1,0,unknown\nk1,null,d2,2,1,40\n";
    let world = csv(log);
    let stage = world.output(&["ingest.clean.null_values=[\"unknown\"]"]);
    assert_eq!(results(&stage, &["doc_id", "dwell_seconds"]), ["d1 -", "d2 40.0"]);
    let queries = rows(&stage, "queries", &["query"]);
    assert!(queries.contains(&"null".to_string()), "{queries:?}");
}

#[test]
fn missing_texts_of_documents_are_no_texts() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\nk1,tea,d2,2,1\n");
    world.file("documents.tsv", "id\ttitle\tbody\nd1\t\\N\tNULL\nd2\tTea\t\\N\nd8\tNo\tNone\nd9\tNA\tcups\n");
    let stage = world.output(&[]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), ["d1  ", "d2 Tea ", "d8 No ", "d9  cups"]);
}

#[test]
fn documents_need_no_title_but_a_text() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\nk1,tea,d2,2,1\n");
    world.file("documents.tsv", "id\ttitle\tbody\nd1\t\\N\tx\nd2\t\ty\nd8\tNULL\tz\nd9\t-\tz\n");
    world.warns(&[], "documents: none of 4 documents has a title");
    assert_eq!(rows(&world.output(&[]), "documents", &["title", "summary"]), [" x", " y", " z", " z"]);
    let refusal =
        "documents: expected text in a title, found none in any of 2 documents; correct ingest.documents.columns.title";
    world.file("documents.tsv", "id\ttitle\tbody\nd1\t\\N\t\nd2\t\tNULL\n");
    world.refuses(&[], refusal);
    // A name that no record has is a slip, and not a collection without titles.
    world.file("documents.jsonl", "{\"id\": \"d1\", \"body\": \"x\"}\n{\"id\": \"d2\", \"body\": \"y\"}\n");
    let jsonl = ["ingest.documents.paths=[\"documents.jsonl\"]", "ingest.documents.format=jsonl"];
    world.refuses(&jsonl, &format!("{refusal}, or leave it out where documents have none"));
    let titles = [("d1", "\"\""), ("d2", "null"), ("d8", "\" \""), ("d9", "\"\"")];
    let record = |(id, title)| format!("{{\"id\": \"{id}\", \"title\": {title}, \"body\": \"x\"}}\n");
    world.file("documents.jsonl", titles.map(record).concat());
    assert_eq!(rows(&world.output(&jsonl), "documents", &["title", "summary"]), [" x"; 4]);
}

#[test]
fn a_missing_document_id_is_malformed() {
    let log = "search_id,query,doc_id,position,clicked\nk1,tea,NULL,1,0\nk1,tea,d2,2,1\nk1,tea,,3,1\n";
    let stage = csv(log).output(&["ingest.clean.max_reject_fraction=0.1"]);
    // The click that is lost with its row is counted.
    assert_eq!(report(&stage, "log"), ["kept 41 21", "rejected 2 1 doc_id is missing"]);
}

#[test]
fn nan_in_parquet_is_a_missing_value() {
    let searches = ["k1", "k1", "k2", "k2", "k3", "k3"];
    let queries = ["tea", "tea", "pot", "pot", "cup", "cup"];
    let documents = ["d1", "d2", "d1", "d2", "d1", "d2"];
    let batch = RecordBatch::try_from_iter([
        ("search_id", Arc::new(StringArray::from(searches.to_vec())) as ArrayRef),
        ("query", Arc::new(StringArray::from(queries.to_vec()))),
        ("doc_id", Arc::new(StringArray::from(documents.to_vec()))),
        ("position", Arc::new(Float64Array::from(vec![1.0, 2.0, 1.0, 2.0, 1.0, 2.0]))),
        ("clicked", Arc::new(Float64Array::from(vec![0.0, 1.0, 0.0, 1.0, 0.0, 0.0]))),
        ("dwell_seconds", Arc::new(Float64Array::from(vec![f64::NAN, 35.5, f64::NAN, 0.0, f64::NAN, f64::NAN]))),
    ]);
    let batch = batch.unwrap();
    let world = csv("search_id,query,doc_id,position,clicked,dwell_seconds\n");
    let file = File::create(world.path("log.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let stage = world.output(&["ingest.log.paths=[\"log.parquet\"]", "ingest.log.format=parquet"]);
    let expected = ["1 false -", "2 true 35.5", "1 false -", "2 true 0.0", "1 false -", "2 false -"];
    assert_eq!(results(&stage, &["position", "clicked", "dwell_seconds"]), expected);
    assert_eq!(report(&stage, "log"), ["kept 6 2"]);
}

/// Fifty searches with a click each, whose dwell time is `dwell` for the first three.
fn dwelling(dwell: &str) -> World {
    let mut log = String::from("search_id,query,doc_id,position,clicked,dwell_seconds\n");
    for search in 10..60 {
        let given = if search < 13 { dwell } else { "45" };
        log += &format!("k{search},tea {search},d1,1,0,\nk{search},tea {search},d2,2,1,{given}\n");
    }
    csv(&log)
}

#[test]
fn a_dwell_time_that_is_none_is_dropped_and_the_click_stays() {
    let reasons = [
        ("-2", "dwell_seconds is negative"),
        ("long", "dwell_seconds is not a number"),
        ("inf", "dwell_seconds is not a number"),
        ("1e10", "dwell_seconds is over 30 years"),
    ];
    for (dwell, reason) in reasons {
        let world = dwelling(dwell);
        let stage = world.output(&[]);
        assert_eq!(report(&stage, "log"), ["kept 140 70", &format!("value 3 0 dwell_seconds dropped: {reason}")]);
        assert_eq!(results(&stage, &["clicked", "dwell_seconds"])[..4], ["false -", "true -", "false -", "true -"]);
        let examples = rows(&stage, "ingest_report", &["fate", "example"]);
        assert!(examples.contains(&format!("value {dwell}")), "{examples:?}");
        let advice = match reason {
            "dwell_seconds is not a number" => "write them as numbers with a decimal point",
            _ => "say how they are written in ingest.log.dwell_unit",
        };
        world.refuses(
            &["ingest.clean.max_bad_value_fraction=0.05"],
            &format!(
                "log: 3 of 50 values of dwell_seconds cannot be \
            read, such as `{dwell}`: {reason}; {advice}, or raise \
            ingest.clean.max_bad_value_fraction = 0.05"
            ),
        );
    }
}

#[test]
fn dwell_times_in_milliseconds_are_asked_about() {
    let mut log = String::from("search_id,query,doc_id,position,clicked,dwell_seconds\n");
    for search in 10..20 {
        log += &format!("k{search},tea {search},d1,1,0,\nk{search},tea {search},d2,2,1,{search}500\n");
    }
    let world = csv(&log);
    world.refuses(&[], "log: expected dwell times in seconds, found a median of about 14");
    world.refuses(
        &[],
        "which looks like milliseconds; set ingest.log.dwell_unit = \"ms\", or \"s\" if they are seconds",
    );
    let stage = world.output(&["ingest.log.dwell_unit=ms"]);
    assert_eq!(results(&stage, &["dwell_seconds"])[..4], ["-", "10.5", "-", "11.5"]);
    let stage = world.output(&["ingest.log.dwell_unit=s"]);
    assert_eq!(results(&stage, &["dwell_seconds"])[..4], ["-", "10500.0", "-", "11500.0"]);
}

#[test]
fn a_time_that_is_none_is_dropped_and_the_row_stays() {
    let mut log = String::from("search_id,query,doc_id,position,clicked,shown_at\n");
    for search in 10..40 {
        let time = if search == 10 { "yesterday" } else { "2026-03-01T08:00:00Z" };
        log += &format!("k{search},tea {search},d1,1,0,{time}\nk{search},tea {search},d2,2,1,2026-03-01 08:00:01\n");
    }
    let world = csv(&log);
    let stage = world.output(&[]);
    assert_eq!(report(&stage, "log"), ["kept 100 50", "value 1 0 shown_at dropped: shown_at is not a time"]);
    assert_eq!(results(&stage, &["shown_at"])[..2], ["-", "1772352001000000"]);
    world.refuses(
        &["ingest.clean.max_bad_value_fraction=0"],
        "log: 1 of 60 values of shown_at cannot be read, such as \
        `yesterday`: shown_at is not a time; say how they are written in ingest.log.time.format or unit, or raise \
        ingest.clean.max_bad_value_fraction = 0",
    );
}

#[test]
fn a_number_that_json_does_not_have_is_a_missing_value() {
    let log = r#"{"search_id": "k1", "query": "tea", "doc_id": "d1", "position": 1, "clicked": 0, "dwell_seconds": NaN}
{"search_id": "k1", "query": "tea", "doc_id": "d2", "position": 2, "clicked": 1, "dwell_seconds": Infinity}
{"search_id": "k1", "query": "tea", "doc_id": "d3", "position": 3, "clicked": 1, "dwell_seconds": -Infinity}
{"search_id": "k1", "query": "tea", "doc_id": "d4", "position": 4, "clicked": true, "dwell_seconds": 31}
"#;
    let columns = ["search_id", "query", "doc_id", "position", "clicked", "dwell_seconds"];
    let stage = jsonl(&columns, log).output(&["ingest.clean.max_bad_value_fraction=1"]);
    assert_eq!(results(&stage, &["doc_id", "dwell_seconds"]), ["d1 -", "d2 -", "d3 -", "d4 31.0"]);
}
