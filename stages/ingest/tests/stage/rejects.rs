//! Every record is a row or a reject with its line and reason.

use serde_json::json;

use crate::run::{CONFIG, World, csv_log, rows};

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
        "ingest.clean.max_query_chars=20",
        "ingest.clean.max_searches_per_session=2",
        "ingest.split.validation=0.0",
    ]);
    let expected = [
        "log.csv 3 event logged twice",
        "log.csv 4 document shown twice on the page",
        "log.csv 6 repeated header",
        "log.csv 7 wrong number of fields",
        "log.csv 8 position is not a whole number",
        "log.csv 9 clicked is neither true nor false",
        "log.csv 10 document not in the document table",
        "log.csv 13 empty query",
        "log.csv 14 query too long",
        "log.csv 16 session of a robot",
        "log.csv 17 session of a robot",
        "log.csv 18 session of a robot",
        "log.csv 19 session is missing",
        "log.csv 21 row count after the rows",
    ];
    assert_eq!(rows(&stage, "rejects", &["file", "line", "reason"]), expected);
    assert_eq!(rows(&stage, "rejects", &["content"])[1], "1,good,d1,3,0");

    let log = &stage.manifest().facts["log"];
    assert_eq!(log["lines_in"], 18);
    assert_eq!(log["rows_out"], 4);
    assert_eq!(log["rejects"], 14);
    assert_eq!(log["reasons"]["session of a robot"], 3);
    let documents = json!({"lines_in": 10, "rows_out": 10, "rejects": 0, "reasons": {}});
    assert_eq!(stage.manifest().facts["documents"], documents);

    let queries = rows(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries.len(), 2);
    assert!(queries.contains(&"good 2".to_string()) && queries.contains(&"two lines 1".to_string()), "{queries:?}");
    let pairs = rows(&stage, "pairs", &["doc_id", "impressions", "clicks", "satisfied_clicks", "ctr"]);
    assert!(pairs.contains(&"d1 2 2 2 1.0".to_string()), "{pairs:?}");
}

#[test]
fn documents_keep_the_first_of_an_id_and_blank_summaries() {
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&["a", "b", "c"]));
    world.file("documents.tsv", "id\ttitle\tbody\nd2\t\"two\t\nd1\tone\tx\nd2\tagain\ty\n");
    let stage = world.output(&[]);
    assert_eq!(rows(&stage, "documents", &["doc_id", "title", "summary"]), ["d1 one x", "d2 \"two "]);
    assert_eq!(rows(&stage, "rejects", &["line", "reason"]), ["4 document id seen before"]);
}
