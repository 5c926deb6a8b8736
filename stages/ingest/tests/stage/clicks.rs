//! Clicks and the impressions that they belong to.

use crate::run::{csv, jsonl, report, results, rows};

const MERGED: &str = "event of a result that has another row";
const ROW: [&str; 4] = ["search_id", "doc_id", "position", "clicked"];

#[test]
fn a_click_without_a_query_has_that_of_its_search() {
    let log = r#"{"search_id": "k1", "query": "Tea", "doc_id": "d1", "position": 1, "clicked": 0}
{"search_id": "k1", "query": "tea", "doc_id": "d2", "position": 2, "clicked": 0}
{"search_id": "k1", "doc_id": "d2", "position": 2, "clicked": 1}
{"search_id": "k2", "query": "", "doc_id": "d3", "position": 1, "clicked": 1}
{"search_id": "k2", "query": "pot", "doc_id": "d3", "position": 1, "clicked": 0}
{"search_id": "k3", "query": null, "doc_id": "d4", "position": 1, "clicked": 1}
"#;
    let stage = jsonl(&["search_id", "query", "doc_id", "position", "clicked"], log).output(&[]);
    assert_eq!(results(&stage, &ROW), ["k1 d1 1 false", "k1 d2 2 true", "k2 d3 1 true"]);
    // The search of the last click has no query anywhere.
    let expected = ["kept 43 22", "left_out 1 1 empty query", "merged 2 0 event of a result that has another row"];
    assert_eq!(report(&stage, "log"), expected);
    let expected =
        ["3 event of a result that has another row", "4 event of a result that has another row", "6 empty query"];
    assert_eq!(rows(&stage, "rejects", &["line", "reason"]), expected);
    assert_eq!(rows(&stage, "rejects", &["content"])[2], "search_id=k3 doc_id=d4 position=1 clicked=true");
}

#[test]
fn a_log_whose_clicks_find_no_query_is_refused() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..10 {
        log += &format!("k{search},tea,d1,1,0\nc{search},,d1,1,1\n");
    }
    csv(&log).refuses(
        &[],
        "log: 10 of 30 clicks are lost, which is more than ingest.clean.max_lost_click_fraction = \
        0.2; 10 of them for \"empty query\", such as `search_id=c0 doc_id=d1 position=1 clicked=true`; correct \
        ingest.log.columns.query, or search_id, by which rows without a query are joined to those with it, or raise \
        the limit",
    );
}

#[test]
fn a_click_without_a_position_has_that_of_its_impression() {
    let log = "search_id,query,doc_id,position,clicked\n\
        k1,tea,d1,1,0\nk1,tea,d2,2,0\nk1,tea,d2,,1\nk1,tea,d5,,1\nk1,tea,d6,NA,1\n";
    let stage = csv(log).output(&[]);
    assert_eq!(results(&stage, &ROW), ["k1 d1 1 false", "k1 d2 2 true"]);
    let expected = [
        "kept 42 21",
        "left_out 2 2 click without a position or an impression of its document",
        "merged 1 0 event of a result that has another row",
    ];
    assert_eq!(report(&stage, "log"), expected);
}

#[test]
fn a_result_without_a_position_is_malformed() {
    let log = "search_id,query,doc_id,position,clicked\nk1,tea,d1,,0\nk1,tea,d2,2,1\n";
    let world = csv(log);
    world.refuses(&[], "log.csv:2: position is missing: `k1,tea,d1,,0`, the first of 1 malformed among 42 lines");
    let stage = world.output(&["ingest.clean.max_reject_fraction=0.05"]);
    assert_eq!(report(&stage, "log"), ["kept 41 21", "rejected 1 0 position is missing"]);
}

#[test]
fn lost_clicks_have_a_limit_of_their_own() {
    // Few rows are lost, but they hold half of the clicks.
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..200 {
        log += &format!("k{search},tea,d1,1,0\nk{search},tea,d2,2,0\n");
    }
    for search in 0..20 {
        log += &format!("x{search},tea,d1,,1\n");
    }
    let world = csv(&log);
    world.refuses(
        &[],
        "log: 20 of 40 clicks are lost, which is more than ingest.clean.max_lost_click_fraction = \
        0.2; 20 of them for \"click without a position or an impression of its document\", such as `search_id=x0 \
        query=tea doc_id=d1 clicked=true`; map ingest.log.columns.position, and search_id, by which clicks are \
        joined to impressions, or raise the limit",
    );
    let stage = world.output(&["ingest.clean.max_lost_click_fraction=0.5"]);
    assert_eq!(stage.manifest().facts["log"]["clicks_out"], 20);
}

#[test]
fn a_click_at_another_position_is_of_the_result_that_was_shown() {
    let log = "search_id,query,doc_id,position,clicked\n\
        k1,tea,d1,1,0\nk1,tea,d2,2,0\nk1,tea,d2,7,1\nk2,tea,d1,1,0\nk2,tea,d2,2,0\nk2,tea,d2,1,1\n";
    let stage = csv(log).output(&[]);
    let expected = ["k1 d1 1 false", "k1 d2 2 true", "k2 d1 1 false", "k2 d2 2 true"];
    assert_eq!(results(&stage, &ROW), expected);
    assert_eq!(report(&stage, "log"), ["kept 44 22", &format!("merged 2 0 {MERGED}")]);
}

#[test]
fn clicks_of_one_result_are_one_click_with_the_longest_dwell_time() {
    let log = "search_id,query,doc_id,position,clicked,dwell_seconds,shown_at\n\
        k1,tea,d1,1,1,4,2026-03-01T08:00:10Z\n\
        k1,tea,d1,1,1,90,2026-03-01T08:00:30Z\n\
        k1,tea,d1,1,0,,2026-03-01T08:00:00Z\n\
        k1,tea,d2,2,1,5,2026-03-01T08:00:20Z\n";
    let stage = csv(log).output(&[]);
    let found = results(&stage, &["doc_id", "clicked", "dwell_seconds", "shown_at"]);
    assert_eq!(found, ["d1 true 90.0 1772352000000000", "d2 true 5.0 1772352020000000"]);
    // A click that is merged with a click is no click of its own.
    assert_eq!(report(&stage, "log"), ["kept 42 22", &format!("merged 2 1 {MERGED}")]);
    let pairs = rows(&stage, "pairs", &["query_id", "doc_id", "clicks", "satisfied_clicks"]);
    assert!(pairs.contains(&"a9f74d1ec36ebdeb d1 1 1".to_string()), "{pairs:?}");
    assert!(pairs.contains(&"a9f74d1ec36ebdeb d2 1 0".to_string()), "{pairs:?}");
}

#[test]
fn a_log_of_clicks_alone_is_refused() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,1\nk2,pot,d2,1,1\n");
    let alone = "ingest.log.paths=[\"log.csv\"]";
    world.refuses(
        &[alone],
        "log: expected shown results that were not clicked, found clicks alone, from which no \
        rate and no grade can be made; add the impressions, or set ingest.log.clicks_only = true and take the grades \
        from judgment files",
    );
    world.misconfigured(
        &[alone, "ingest.log.clicks_only=true"],
        "ingest.judgments.format: expected judgment files beside a log of \
        clicks alone, or no log, found clicks",
    );
}

#[test]
fn a_log_of_clicks_alone_serves_beside_judgments() {
    let world = csv("search_id,query,doc_id\nk1,tea,d1\nk2,pot,d2\nk3,cup,d3\nk3,cup,d3\n");
    world.file("qrels.csv", "text,doc,grade\ntea,d1,3\npot,d2,0\ncup,d3,1\n");
    let stage = world.output(&[
        "ingest.log.paths=[\"log.csv\"]",
        "ingest.log.clicks_only=true",
        "ingest.judgments.format=csv",
        "ingest.judgments.paths=[\"qrels.csv\"]",
        "ingest.judgments.columns={ query = \"text\", doc_id = \"doc\", grade = \"grade\" }",
    ]);
    assert_eq!(results(&stage, &["search_id", "doc_id", "clicked"]), ["k1 d1 true", "k2 d2 true", "k3 d3 true"]);
    assert_eq!(report(&stage, "log"), ["kept 3 3", &format!("merged 1 1 {MERGED}")]);
    assert_eq!(rows(&stage, "judgments", &["doc_id", "grade"]), ["d2 0", "d1 3", "d3 1"]);
}

#[test]
fn a_log_without_clicks_is_refused() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\nk1,tea,d2,2,no\n");
    world.refuses(
        &["ingest.log.paths=[\"log.csv\"]"],
        "log: expected clicks, found none in any row; correct \
        ingest.log.columns.clicked, or say in ingest.log.clicked_values which values mean a click",
    );
}

#[test]
fn a_click_that_fits_several_searches_is_left_out() {
    // Both searches of the visitors are number 1 and show the document; the click names no visitor.
    let log = "search_id,session_id,query,doc_id,position,clicked\n\
        1,ann,tea,d1,1,0\n1,bob,tea,d1,1,0\n1,bob,tea,d2,2,0\n1,,tea,d1,,1\n1,,tea,d2,,1\n";
    let stage = csv(log).output(&[]);
    assert_eq!(results(&stage, &ROW), ["ann/1 d1 1 false", "bob/1 d1 1 false", "bob/1 d2 2 true"]);
    let expected = [
        "kept 43 21",
        "left_out 1 1 click that does not tell which of several searches it belongs to",
        "merged 1 0 event of a result that has another row",
    ];
    assert_eq!(report(&stage, "log"), expected);
}

#[test]
fn counts_per_query_and_document_are_no_log() {
    let text = "query,doc_id,position,impressions,clicked\ntea,d1,1,90,12\ntea,d2,2,80,0\n";
    csv(text).refuses(
        &["ingest.log.columns={ search_id = \"query\", query = \"query\", doc_id = \"doc_id\", position = \"position\", clicked = \"clicked\" }"],
        "log: expected a row for each shown result of a search, found numbers of clicks above 1 in 1 row and no column that \
         tells searches",
    );
    // Of a search, a number of clicks is a click.
    let log = "search_id,query,doc_id,position,clicked\nk1,tea,d1,1,3\nk2,pot,d1,1,0\nk3,cup,d1,1,0\n";
    assert_eq!(results(&csv(log).output(&[]), &["search_id", "clicked"]), ["k1 true", "k2 false", "k3 false"]);
}

#[test]
fn a_missing_click_is_told_how_to_be_said() {
    let log = "search_id,query,doc_id,position,clicked\nk1,tea,d1,1,2026-03-01\nk2,pot,d1,1,\nk3,cup,d1,1,\n";
    let world = csv(log);
    let (code, stderr) = world.run(&["ingest.log.clicked_values={ \"*\" = \"clicked\" }"]);
    assert!(code == 3 && stderr.contains("log.csv:3: clicked is missing"), "{code} {stderr}");
    assert!(stderr.contains("say what a missing value means"), "{stderr}");
    let advised = "ingest.log.clicked_values={ \"\" = \"shown\", \"*\" = \"clicked\" }";
    assert_eq!(results(&world.output(&[advised]), &["search_id", "clicked"]), ["k1 true", "k2 false", "k3 false"]);
    let flags = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,1\nk2,pot,d1,1,\nk3,cup,d1,1,0\n");
    let stage = flags.output(&["ingest.log.clicked_values={ \"\" = \"shown\" }"]);
    assert_eq!(results(&stage, &["search_id", "clicked"]), ["k1 true", "k2 false", "k3 false"]);
}
