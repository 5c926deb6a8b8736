//! Logs of events: nested fields, records of several kinds, and values that say what happened.

use crate::run::{CONFIG, World, csv, report, results, rows};

const ROW: [&str; 4] = ["search_id", "doc_id", "position", "clicked"];

/// A pipeline over `log.jsonl` with these lines in `[log]`.
fn events(settings: &str, log: &str) -> World {
    let (_, rest) = CONFIG.split_once("[documents]").unwrap();
    let world =
        World::new(&format!("[log]\npaths = [\"log*.jsonl\"]\nformat = \"jsonl\"\n{settings}\n[documents]{rest}"));
    world.file("log.jsonl", log);
    world
}

/// Pages of three searches, without clicks.
const PAGES: &str = r#"{"type": "search", "request": {"id": "k1", "text": "Tea"}, "visitor": {"id": "ann"}, "hits": ["d1", "d2"]}
{"type": "search", "request": {"id": "k2", "text": "pot"}, "visitor": {"id": "bob"}, "hits": ["d3", "d1", "d2"]}
{"type": "search", "request": {"id": "k3", "text": "cup"}, "visitor": {"id": "ann"}, "hits": []}
{"type": "search", "request": {"id": "k4", "text": "cup"}, "visitor": {"id": "bob"}, "hits": ["d4"]}
"#;

/// Clicks on them, and another event.
const CLICKS: &str = r#"{"type": "open", "request": {"id": "k1"}, "target": {"key": "d2"}, "seconds": 50}
{"type": "scroll", "request": {"id": "k1"}}
{"type": "open", "request": {"id": "k2"}, "target": {"key": "d3"}, "seconds": 5}
{"type": "open", "request": {"id": "k2"}, "target": {"key": "d3"}, "seconds": 35}
"#;

const KINDS: &str = r#"columns = {}
[[log.kinds]]
when_column = "type"
when_values = ["search"]
columns = { search_id = "request.id", session_id = "visitor.id", query = "request.text", shown = "hits" }
[[log.kinds]]
when_column = "type"
when_values = ["open"]
clicked = true
columns = { search_id = "request.id", doc_id = "target.key", dwell_seconds = "seconds" }
"#;

const FOUND: [&str; 6] =
    ["k1 d1 1 false", "k1 d2 2 true", "k2 d3 1 true", "k2 d1 2 false", "k2 d2 3 false", "k4 d4 1 false"];

const COUNTED: [&str; 4] = [
    "kept 6 2",
    "merged 3 1 event of a result that has another row",
    "no_row 1 0 record of a search without a document",
    "no_row 1 0 record of another kind",
];

#[test]
fn searches_and_clicks_are_joined_in_one_file_and_in_two() {
    let one = events(KINDS, &format!("{CLICKS}{PAGES}")).output(&[]);
    assert_eq!(results(&one, &ROW), FOUND);
    assert_eq!(report(&one, "log"), COUNTED);
    assert_eq!(rows(&one, "impressions", &["dwell_seconds"]), ["-", "50.0", "35.0", "-", "-", "-"]);

    let world = events(KINDS, PAGES);
    world.file("log-clicks.jsonl", CLICKS);
    let two = world.output(&[]);
    assert_eq!(results(&two, &ROW), FOUND);
    assert_eq!(report(&two, "log"), COUNTED);
}

#[test]
fn nested_fields_are_named_by_their_path() {
    let log = r#"{"ids": {"search": "k1", "visitor": {"session": "ann"}}, "q": {"text": "tea"}, "hit": {"doc": {"id": "d1"}, "rank": 1}, "clicked": false}
{"ids": {"search": "k1", "visitor": {"session": "ann"}}, "q": {"text": "tea"}, "hit": {"doc": {"id": "d2"}, "rank": 2}, "clicked": true}
{"ids.search": "k2", "q": {"text": "pot"}, "hit": {"doc": {"id": "d1"}, "rank": 1}, "clicked": true}
{"ids.search": "k3", "q.text": "cup", "hit.doc.id": "d1", "hit.rank": 1, "clicked": 0}
"#;
    let columns = r#"columns = { search_id = "ids.search", session_id = "ids.visitor.session", query = "q.text", doc_id = "hit.doc.id", position = "hit.rank", clicked = "clicked" }"#;
    let stage = events(columns, log).output(&[]);
    assert_eq!(results(&stage, &ROW), ["k1 d1 1 false", "k1 d2 2 true", "k2 d1 1 true", "k3 d1 1 false"]);
    assert_eq!(rows(&stage, "impressions", &["session_id"]), ["ann", "ann", "k2", "k3"]);
}

#[test]
fn a_path_that_leads_nowhere_is_named() {
    let log = r#"{"ids": {"search": "k1"}, "q": "tea", "d": "d1", "p": 1, "c": 1}
{"ids": {"search": "k1"}, "q": "tea", "d": "d2", "p": 2, "c": 0}
"#;
    let columns = r#"columns = { search_id = "ids.serach", query = "q", doc_id = "d", position = "p", clicked = "c" }"#;
    events(columns, log).refuses(
        &[],
        "log.jsonl: expected a column `ids.serach`, found `ids`, `q`, `d`, `p`, `c`; no record of any file has it",
    );
}

const VALUES: &str = "search_id,query,doc_id,position,clicked\n\
    k1,tea,d1,1,view\nk1,tea,d2,2,view\nk1,tea,d2,2,Open\nk1,tea,d2,2,buy\nk2,tea,d1,1,view\nk2,tea,d1,1,hover\n";

/// Leaves the filler out.
const ALONE: &str = "ingest.log.paths=[\"log.csv\"]";

#[test]
fn values_say_what_happened() {
    let world = csv(&format!("{VALUES}k3,pot,d1,1,view\nk4,cup,d1,1,open\n"));
    let map =
        "ingest.log.clicked_values={ view = \"shown\", open = \"clicked\", buy = \"clicked\", \"*\" = \"ignored\" }";
    let stage = world.output(&[ALONE, map]);
    assert_eq!(
        results(&stage, &ROW),
        ["k1 d1 1 false", "k1 d2 2 true", "k2 d1 1 false", "k3 d1 1 false", "k4 d1 1 true"]
    );
    let expected =
        ["kept 5 2", "merged 2 1 event of a result that has another row", "no_row 1 0 record of another kind"];
    assert_eq!(report(&stage, "log"), expected);
}

#[test]
fn a_value_that_has_no_meaning_is_named() {
    let world = csv(VALUES);
    world.refuses(
        &[ALONE],
        "log.csv:2: clicked is neither true nor false; say what its values mean in \
        ingest.log.clicked_values: `k1,tea,d1,1,view`",
    );
    let map = "ingest.log.clicked_values={ view = \"shown\", open = \"clicked\", buy = \"clicked\" }";
    world.refuses(
        &[ALONE, map],
        "log.csv:7: clicked is a value without an entry in ingest.log.clicked_values: \
        `k2,tea,d1,1,hover`",
    );
}

#[test]
fn flags_are_read_in_every_usual_spelling() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for flag in ["true", "T", "1", "1.0", "yes", "Y", "3"] {
        log += &format!("y-{flag},tea,d1,1,{flag}\n");
    }
    for flag in ["false", "F", "0", "0.0", "no", "N"] {
        log += &format!("n-{flag},tea,d1,1,{flag}\n");
    }
    let stage = csv(&log).output(&[]);
    let found = results(&stage, &["search_id", "clicked"]);
    assert_eq!(found.len(), 13);
    for row in found {
        assert_eq!(row.starts_with("y-"), row.ends_with("true"), "{row}");
    }
}

#[test]
fn a_page_may_be_one_text_that_marks_its_clicks() {
    let log = "search_id,query,shown\nk1,tea,d1-0 d2-1 d3-0\nk2,pot,d2-1\nk3,cup,\"d1-0|d3-0;d2-0\"\nk4,cup,\n";
    let world = csv(log);
    let marks = "ingest.log.columns.shown_marks_clicks=true";
    let stage = world.output(&[ALONE, marks]);
    let expected = [
        "k1 d1 1 false",
        "k1 d2 2 true",
        "k1 d3 3 false",
        "k2 d2 1 true",
        "k3 d1 1 false",
        "k3 d3 2 false",
        "k3 d2 3 false",
    ];
    assert_eq!(results(&stage, &ROW), expected);
    assert_eq!(report(&stage, "log"), ["kept 7 2", "no_row 1 0 record of a search without a document"]);
    world.misconfigured(&[ALONE], "ingest.log.columns: expected clicked, or ingest.log.clicks_only, found neither");

    world.file("log.csv", log.replace("d1-0 d2-1", "d1-0 d2"));
    world.refuses(&[ALONE, marks], "log.csv:2: an item of `shown` does not end in -0 or -1");
}

#[test]
fn a_line_may_open_the_lines_after_it() {
    let log = "Q\t7\ttea\n1\td1\t0\n2\td2\t1\nQ\t8\tpot\n1\td2\t0\nQ\t9\tcup\n1\td3\t1\n2\td1\t0\n";
    let settings = r#"format = "tsv"
dialect = { header = [] }
columns = {}
[[log.kinds]]
when_column = "1"
when_values = ["Q"]
opens = true
columns = { search_id = "2", query = "3" }
[[log.kinds]]
when_fields = 3
columns = { position = "1", doc_id = "2", clicked = "3" }
"#;
    let (_, rest) = CONFIG.split_once("[documents]").unwrap();
    let world = World::new(&format!("[log]\npaths = [\"log.tsv\"]\n{settings}\n[documents]{rest}"));
    world.file("log.tsv", log);
    let stage = world.output(&[]);
    assert_eq!(results(&stage, &ROW), ["7 d1 1 false", "7 d2 2 true", "8 d2 1 false", "9 d3 1 true", "9 d1 2 false"]);
    assert_eq!(report(&stage, "log"), ["kept 5 2", "no_row 3 0 record of a search without a document"]);
}

#[test]
fn kinds_must_say_when_they_hold() {
    let settings =
        "columns = {}\n[[log.kinds]]\ncolumns = { search_id = \"s\", query = \"q\", shown = \"h\", clicked = \"c\" }\n";
    events(settings, "{}\n")
        .misconfigured(&[], "ingest.log.kinds: expected when_column or when_fields in each kind, found neither");
}

#[test]
fn a_record_of_clicks_may_hold_them_as_a_list() {
    let clicks = r#"{"type": "Open", "request": {"id": "k1"}, "target": ["d2"]}
{"type": "OPEN", "request": {"id": "k2"}, "target": ["d3", null, "d2"]}
"#;
    let lists = KINDS.replace("doc_id = \"target.key\", dwell_seconds = \"seconds\"", "shown = \"target\"");
    let found = ["k1 d1 1 false", "k1 d2 2 true", "k2 d3 1 true", "k2 d1 2 false", "k2 d2 3 true", "k4 d4 1 false"];
    assert_eq!(results(&events(&lists, &format!("{PAGES}{clicks}")).output(&[]), &ROW), found);

    let one_table = r#"columns = { search_id = "request.id", session_id = "visitor.id", query = "request.text", shown = "hits", clicked = "type" }
clicked_values = { search = "shown", open = "clicked" }
"#;
    let each = |id: &str, document: &str| {
        format!("{{\"type\": \"open\", \"request\": {{\"id\": \"{id}\"}}, \"hits\": [\"{document}\"]}}\n")
    };
    let log = format!("{PAGES}{}{}{}", each("k1", "d2"), each("k2", "d3"), each("k2", "d2"));
    assert_eq!(results(&events(one_table, &log).output(&[]), &ROW), found);
}

#[test]
fn a_clicked_page_says_which_document_was_clicked() {
    let log = r#"{"id": "k1", "q": "tea", "hits": ["d1", "d2"], "c": true}
{"id": "k2", "q": "pot", "hits": ["d3", "d1"], "c": false, "doc": "d3"}
"#;
    let columns = r#"columns = { search_id = "id", query = "q", shown = "hits", clicked = "c" }"#;
    for columns in [columns.to_string(), columns.replace("c\" }", "c\", doc_id = \"doc\" }")] {
        let (code, stderr) = events(&columns, log).run(&[]);
        let reason = "log.jsonl:1: clicked, but doc_id does not say which of the shown documents";
        assert!(code == 3 && stderr.contains(reason), "{code} {stderr}");
        assert!(stderr.contains("; map ingest.log.columns.doc_id to the clicked document"), "{stderr}");
    }
}

#[test]
fn the_values_of_kinds_may_be_written_as_floats() {
    let log = r#"{"kind": 0.0, "id": "k1", "q": "tea", "doc": "d1", "at": 1}
{"kind": 0.0, "id": "k2", "q": "pot", "doc": "d1", "at": 1}
{"kind": 0.0, "id": "k3", "q": "cup", "doc": "d1", "at": 1}
{"kind": 1.0, "id": "k2", "doc": "d1"}
"#;
    let kinds = r#"columns = {}
[[log.kinds]]
when_column = "kind"
when_values = ["0"]
columns = { search_id = "id", query = "q", doc_id = "doc", position = "at" }
[[log.kinds]]
when_column = "kind"
when_values = ["1"]
clicked = true
columns = { search_id = "id", doc_id = "doc" }
"#;
    assert_eq!(results(&events(kinds, log).output(&[]), &ROW), ["k1 d1 1 false", "k2 d1 1 true", "k3 d1 1 false"]);
}
