//! Nothing is lost silently: every row and click is kept, merged, left out, rejected or no row, and losses have limits.

use crate::run::{csv, report, results, rows};

/// A row of every fate.
const LOG: &str = "search_id,session_id,query,doc_id,position,clicked\n\
    k1,ann,tea,d1,1,0\n\
    k1,ann,tea,d2,2,1\n\
    k1,ann,tea,d2,2,1\n\
    k1,ann,tea,unknown,3,1\n\
    k2,ann,,d1,1,1\n\
    k3,bob,tea,d1,top,1\n\
    k3,bob,tea\n\
    search_id,session_id,query,doc_id,position,clicked\n\
    robot-1,robot,q1,d1,1,1\n\
    robot-2,robot,q2,d1,1,0\n\
    robot-3,robot,q3,d1,1,1\n\
    k4,eve,an endless question about tea,d1,1,1\n\
    k5,eve,tea,d5,,1\n";

const LOOSE: [&str; 4] = [
    "ingest.clean.max_reject_fraction=0.2",
    "ingest.clean.max_lost_click_fraction=0.4",
    "ingest.clean.max_searches_per_session=2",
    "ingest.clean.max_query_chars=20",
];

#[test]
fn the_report_has_every_row_and_every_click() {
    let world = csv(LOG);
    let stage = world.output(&LOOSE);
    let expected = [
        "kept 42 21",
        "left_out 1 1 click without a position or an impression of its document",
        "left_out 1 1 document not in the document table",
        "left_out 1 1 empty query",
        "left_out 1 1 query too long",
        "left_out 3 2 session of a robot",
        "merged 1 1 event of a result that has another row",
        "no_row 1 0 repeated header",
        "rejected 1 1 position is not a whole number",
        "rejected 1 0 wrong number of fields",
    ];
    assert_eq!(report(&stage, "log"), expected);
    let facts = &stage.manifest().facts["log"];
    for (name, expected) in [("lines_in", 53), ("rows_in", 53), ("clicks_in", 29), ("rows_out", 42), ("clicks_out", 21)]
    {
        assert_eq!(facts[name], expected, "{name}");
    }
    assert_eq!(rows(&stage, "impressions", &["doc_id"]).len(), 42);
    // Every row that is not kept is a reject, at its line.
    let expected = [
        "4 event of a result that has another row",
        "5 document not in the document table",
        "6 empty query",
        "7 position is not a whole number",
        "8 wrong number of fields",
        "9 repeated header",
        "10 session of a robot",
        "11 session of a robot",
        "12 session of a robot",
        "13 query too long",
        "14 click without a position or an impression of its document",
    ];
    assert_eq!(rows(&stage, "rejects", &["line", "reason"]), expected);
    let contents = rows(&stage, "rejects", &["content"]);
    assert_eq!(contents[1], "search_id=k1 session_id=ann query=tea doc_id=unknown position=3 clicked=true");
    assert_eq!(contents[3], "k3,bob,tea,d1,top,1");
    assert_eq!(contents[10], "search_id=k5 session_id=eve query=tea doc_id=d5 clicked=true");
}

#[test]
fn the_report_has_shares_and_examples() {
    let stage = csv(LOG).output(&LOOSE);
    let shares = rows(&stage, "ingest_report", &["input", "fate", "row_share", "click_share", "example"]);
    let (of_rows, of_clicks) = (42.0 / 53.0, 21.0 / 29.0);
    assert!(shares.contains(&format!("log kept {of_rows} {of_clicks} ")), "{shares:?}");
    let (of_rows, of_clicks) = (1.0 / 53.0, 1.0 / 29.0);
    let example = "search_id=k1 session_id=ann query=tea doc_id=unknown position=3 clicked=true";
    assert!(shares.contains(&format!("log left_out {of_rows} {of_clicks} {example}")), "{shares:?}");
    assert_eq!(shares[0], "documents kept 1.0 0.0 ");
    assert_eq!(report(&stage, "documents"), ["kept 10 0"]);
}

#[test]
fn losses_are_said_aloud() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..4 {
        log += &format!("k{search},tea,gone,1,0\n");
    }
    csv(&log).warns(
        &[],
        "log: 4 of 44 rows (9.1 %) left out, with 0 of 20 clicks (0.0 %): document not in the document table, such \
        as `search_id=k0 query=tea doc_id=gone position=1 clicked=false`",
    );
}

#[test]
fn the_limit_of_lost_rows_is_a_share_of_all() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 10..20 {
        log += &format!("k{search},tea,gone,1,0\n");
    }
    let world = csv(&log);
    // 10 of 50 is the limit, and not over it.
    assert_eq!(report(&world.output(&[]), "log"), ["kept 40 20", "left_out 10 0 document not in the document table"]);
    world.file("log.csv", format!("{log}k9,tea,gone,1,0\n"));
    world.refuses(
        &[],
        "log: 11 of 51 rows are lost, which is more than ingest.clean.max_lost_fraction = 0.2; 11 of them for \
        \"document not in the document table\"",
    );
    world.refuses(&["ingest.clean.max_lost_fraction=0"], "which is more than ingest.clean.max_lost_fraction = 0;");
    assert_eq!(results(&world.output(&["ingest.clean.max_lost_fraction=1"]), &["doc_id"]).len(), 0);
    world.misconfigured(&["ingest.clean.max_lost_fraction=20"], "ingest.clean.max_lost_fraction: expected");
}

#[test]
fn the_main_reason_of_lost_clicks_is_the_one_with_most_clicks() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..4 {
        log += &format!("k{search},tea,gone,1,0\nk{search},tea,gone,2,1\n");
        log += &format!("x{search},,d1,1,1\ny{search},,d1,1,1\n");
    }
    let world = csv(&log);
    world.refuses(
        &[],
        "log: 16 of 56 rows are lost, which is more than ingest.clean.max_lost_fraction = 0.2; 8 of them for",
    );
    world.refuses(
        &["ingest.clean.max_lost_fraction=0.5", "ingest.clean.max_lost_click_fraction=0.2"],
        "log: 12 of 32 clicks are lost, which is more than \
        ingest.clean.max_lost_click_fraction = 0.2; 8 of them for \"empty query\", such as `search_id=x0 doc_id=d1 \
        position=1 clicked=true`",
    );
}

#[test]
fn merged_rows_are_not_lost() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 10..40 {
        log += &format!("k{search},tea,d1,1,0\nk{search},tea,d1,1,1\nk{search},tea,d1,1,1\n");
    }
    let stage = csv(&log).output(&["ingest.clean.max_lost_fraction=0", "ingest.clean.max_lost_click_fraction=0"]);
    assert_eq!(report(&stage, "log"), ["kept 70 50", "merged 60 30 event of a result that has another row"]);
}

#[test]
fn a_refused_log_leaves_the_earlier_tables() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\n");
    world.output(&[]);
    let manifest = world.path("runs/r/ingest").join(tables::MANIFEST_FILE);
    let before = std::fs::read(&manifest).unwrap();
    world.refuses(&["ingest.clean.max_query_chars=4"], "log: 40 of 41 rows are lost");
    assert_eq!(std::fs::read(&manifest).unwrap(), before);
    assert!(!world.path("runs/r/.ingest.partial").exists());
}
