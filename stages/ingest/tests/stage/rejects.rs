//! Every record is a row or a reject with its line and reason.

use crate::run::{CONFIG, World, csv_log, report, rows};

/// A log as they come: each line is named by what is wrong with it.
const MESSY: &str = "\u{feff}session,query,doc,rank,click\r
1,good,d1,1,1\r
1,good,d1,1,0\r
1,good,d1,3,0\r
1,good,d2,2,f\r
session,query,doc,rank,click\r
1,ragged\r
1,good,d3,x,1\r
1,good,d4,3,maybe\r
1,good,unknown,4,1\r
1,\"two\r
lines\",d1,1,t\r
1,\" \",d1,1,1\r
1,endless query that goes on and on,d1,1,1\r
\r
robot,q1,d1,1,0\r
robot,q2,d1,1,0\r
robot,q3,d1,1,0\r
,good,d1,1,1\r
2,ＧＯＯＤ,d1,1.0,True\r
(18 rows affected)\r
";

#[test]
fn every_line_of_a_messy_log_is_accounted_for() {
    let world = World::new(CONFIG);
    world.file("log.csv", MESSY);
    let stage = world.output(&[
        "ingest.clean.max_reject_fraction=0.5",
        "ingest.clean.max_lost_fraction=0.8",
        "ingest.clean.max_lost_click_fraction=0.5",
        "ingest.clean.max_query_chars=20",
        "ingest.clean.max_searches_per_session=2",
        "ingest.split.validation=0.0",
    ]);
    let expected = [
        "log.csv 2 event of a result that has another row",
        "log.csv 4 result of a search logged again",
        "log.csv 6 repeated header",
        "log.csv 7 wrong number of fields",
        "log.csv 8 position is not a whole number",
        "log.csv 9 clicked is neither true nor false; say what its values mean in ingest.log.clicked_values",
        "log.csv 10 document not in the document table",
        "log.csv 13 event of a result that has another row",
        "log.csv 14 query too long",
        "log.csv 16 session of a robot",
        "log.csv 17 session of a robot",
        "log.csv 18 session of a robot",
        "log.csv 21 row count after the rows",
    ];
    assert_eq!(rows(&stage, "rejects", &["file", "line", "reason"]), expected);
    // A row that could be read is shown as it was understood, and any other as it is written.
    let contents = rows(&stage, "rejects", &["content"]);
    assert_eq!(contents[1], "session_id=1 query=good doc_id=d1 position=3 clicked=false");
    assert_eq!(contents[4], "1,good,d3,x,1");

    let expected = [
        "kept 5 4",
        "left_out 1 1 document not in the document table",
        "left_out 1 1 query too long",
        "left_out 3 0 session of a robot",
        "merged 2 1 event of a result that has another row",
        "merged 1 0 result of a search logged again",
        "no_row 1 0 repeated header",
        "no_row 1 0 row count after the rows",
        "rejected 1 0 clicked is neither true nor false; say what its values mean in ingest.log.clicked_values",
        "rejected 1 1 position is not a whole number",
        "rejected 1 0 wrong number of fields",
    ];
    assert_eq!(report(&stage, "log"), expected);
    assert_eq!(report(&stage, "documents"), ["kept 10 0"]);
    let log = &stage.manifest().facts["log"];
    // One record has two lines.
    assert_eq!((&log["lines_in"], &log["rows_in"]), (&19.into(), &18.into()));

    let queries = rows(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries.len(), 2);
    assert!(queries.contains(&"good 3".to_string()) && queries.contains(&"two lines 1".to_string()), "{queries:?}");
    let pairs = rows(&stage, "pairs", &["doc_id", "impressions", "clicks", "satisfied_clicks", "ctr"]);
    assert!(pairs.contains(&"d1 3 3 3 1.0".to_string()), "{pairs:?}");
}

#[test]
fn documents_keep_the_fullest_of_an_id_and_blank_summaries() {
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&["a", "b", "c"]));
    world.file("documents.tsv", "id\ttitle\tbody\nd2\t\"two\t\nd1\tone\tx\nd2\tagain\ty\nd3\t\"three\t\n");
    let stage = world.output(&[]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), ["d1 one x", "d2 again y", "d3 \"three "]);
    let rejects = rows(&stage, "rejects", &["line", "reason", "content"]);
    assert_eq!(rejects, ["2 document id seen before with another text doc_id=d2 title=\"two"]);
}

#[test]
fn another_text_of_a_document_is_said_aloud_and_may_be_the_one() {
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&["a", "b", "c"]));
    world.file("documents.tsv", "id\ttitle\tbody\nd1\told\tx\nd2\ttwo\tx\nd2\ttwo\tx\nd1\tupdated\tx\n");
    world.warns(
        &[],
        "documents: 1 record with the id of an earlier one and another text, such as `doc_id=d1 title=updated`",
    );
    let titles = |overrides: &[&str]| rows(&world.output(overrides), "documents", &["doc_id", "title"]);
    assert_eq!(titles(&[]), ["d1 old", "d2 two"]);
    assert_eq!(titles(&["ingest.documents.repeated=last"]), ["d1 updated", "d2 two"]);
    let stage = world.output(&["ingest.documents.repeated=last"]);
    let merged =
        ["kept 2 0", "merged 1 0 document id seen before", "merged 1 0 document id seen before with another text"];
    assert_eq!(report(&stage, "documents"), merged);
}
