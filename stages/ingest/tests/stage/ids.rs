//! Ids as files write them: of documents, and of queries in judgments.

use crate::run::{csv, jsonl, report, results, rows};

const DOCUMENT: [&str; 2] = ["doc_id", "position"];

#[test]
fn whole_floats_are_integers() {
    let log = "search_id,query,doc_id,position,clicked\n\
        12.0,tea,501.0,1.0,0.0\n12,tea,502.00,2.0,1.0\n13,tea,503,1,0\n";
    let world = csv(log);
    world.file("documents.tsv", "id\ttitle\tbody\n501\tone\t\n502\ttwo\t\n503.0\tthree\t\nd8\teight\t\nd9\tnine\t\n");
    let stage = world.output(&[]);
    assert_eq!(results(&stage, &["search_id", "doc_id"]), ["12 501", "12 502", "13 503"]);
    assert_eq!(report(&stage, "log"), ["kept 43 21"]);
    assert_eq!(rows(&stage, "documents", &["doc_id"]), ["501", "502", "503", "d8", "d9"]);
}

#[test]
fn one_shard_with_float_ids_is_read_as_the_others() {
    let log = "search_id,query,doc_id,position,clicked\nk1,tea,501,1,0\nk1,tea,502,2,1\n";
    let world = csv(log);
    world.file("log-2.csv", log.replace("k1", "k2").replace("501", "501.0").replace("502", "502.0"));
    world.file("documents.tsv", "id\ttitle\tbody\n501\tone\t\n502\ttwo\t\nd8\teight\t\nd9\tnine\t\n");
    let stage = world.output(&[]);
    assert_eq!(results(&stage, &["search_id", "doc_id"]), ["k1 501", "k1 502", "k2 501", "k2 502"]);
    let pairs = rows(&stage, "pairs", &["doc_id", "impressions"]);
    assert!(pairs.contains(&"501 2".to_string()) && pairs.contains(&"502 2".to_string()), "{pairs:?}");
}

#[test]
fn ids_that_are_no_whole_floats_stand_for_themselves() {
    let ids = ["0x1F", "007", "1e5", "1.5", "12345678901234567890123", "-3", "A.0", "é", "a b"];
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    let mut documents = String::from("id\ttitle\tbody\n7\tseven\t\n100000\tmany\t\nd8\teight\t\nd9\tnine\t\n");
    let mut position = 0;
    for id in ids {
        position += 1;
        log += &format!("k1,tea,{id},{position},1\n");
        documents += &format!("{id}\tTitle\t\n");
    }
    let world = csv(&log);
    world.file("documents.tsv", documents);
    let stage = world.output(&[]);
    let expected = ["0x1F 1", "007 2", "1e5 3", "1.5 4", "12345678901234567890123 5", "-3 6", "A.0 7", "é 8", "a b 9"];
    assert_eq!(results(&stage, &DOCUMENT), expected);
}

#[test]
fn numbers_of_json_keep_all_their_digits() {
    let log = r#"{"search_id": 9007199254740993, "query": "tea", "doc_id": 98765432109876543210, "position": 1, "clicked": 0}
{"search_id": 9007199254740992, "query": "tea", "doc_id": 5.0, "position": 1.0, "clicked": 1.0}
{"search_id": 9007199254740992, "query": "tea", "doc_id": "6", "position": "2", "clicked": "1"}
"#;
    let world = jsonl(&["search_id", "query", "doc_id", "position", "clicked"], log);
    let documents =
        ["id\ttitle\tbody", "98765432109876543210\tbig\t", "5\tfive\t", "6\tsix\t", "d8\teight\t", "d9\tnine\t"];
    world.file("documents.tsv", documents.join("\n"));
    let stage = world.output(&[]);
    let expected = ["9007199254740992 5", "9007199254740992 6", "9007199254740993 98765432109876543210"];
    assert_eq!(results(&stage, &["search_id", "doc_id"]), expected);
}

#[test]
fn leading_zeros_are_filled_in_everywhere() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,42,1,0\nk1,tea,0007,2,1\nk2,pot,7.0,1,0\n");
    world.file("documents.tsv", "id\ttitle\tbody\n0042\tone\t\n7\ttwo\t\n00d8\teight\t\n00d9\tnine\t\n");
    world.file("qrels.csv", "text,doc,grade\ntea,042,2\npot,7,1\ntea,7.0,3\nfiller 1,d8,0\n");
    let stage = world.output(&[
        "ingest.log.doc_id_width=4",
        "ingest.judgments.format=csv",
        "ingest.judgments.paths=[\"qrels.csv\"]",
        "ingest.judgments.columns={ query = \"text\", doc_id = \"doc\", grade = \"grade\" }",
    ]);
    assert_eq!(rows(&stage, "documents", &["doc_id"]), ["0007", "0042", "00d8", "00d9"]);
    assert_eq!(results(&stage, &DOCUMENT), ["0042 1", "0007 2", "0007 1"]);
    let mut judged = rows(&stage, "judgments", &["doc_id", "grade"]);
    judged.sort();
    assert_eq!(judged, ["0007 1", "0007 3", "0042 2", "00d8 0"]);
}

#[test]
fn one_query_text_under_two_ids_has_the_judgments_of_both() {
    let log = "search_id,query_id,query,doc_id,position,clicked\n\
        k1,q7,Tea,d1,1,0\nk2,q9,tea ,d2,1,1\nk3,q5,pot,d1,1,0\nk4,q5,cup,d1,1,1\n";
    let world = csv(log);
    // q5 stands for two texts, and its judgment holds for both.
    world.file("qrels.txt", "q7 0 d1 2\nq9 0 d2 3\nq9 0 d1 1\nq5 0 d4 1\nq404 0 d1 1\n");
    let stage = world.output(&["ingest.judgments.format=trec", "ingest.judgments.paths=[\"qrels.txt\"]"]);
    let queries = rows(&stage, "queries", &["query_id", "query", "searches"]);
    assert!(queries.contains(&"q7 tea 2".to_string()), "{queries:?}");
    // printf pot | sha256sum
    let (cup, pot) = ("q5", "74a51c3ce9ff0255");
    assert!(queries.contains(&format!("{cup} cup 1")) && queries.contains(&format!("{pot} pot 1")), "{queries:?}");
    let expected = [format!("{pot} d4 1"), format!("{cup} d4 1"), "q7 d1 2".to_string(), "q7 d2 3".to_string()];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), expected);
    let expected = [
        "kept 3 0",
        "left_out 1 0 query not in the log",
        "merged 1 0 judged as high or higher under another id of the same query text",
    ];
    assert_eq!(report(&stage, "judgments"), expected);
}

#[test]
fn a_log_of_unknown_documents_is_refused_with_an_example() {
    let mut log = String::from("search_id,query,doc_id,position,clicked\n");
    for search in 0..30 {
        log += &format!("k{search},tea,SKU-{search},1,0\nk{search},tea,d2,2,1\n");
    }
    let world = csv(&log);
    world.refuses(
        &[],
        "log: 30 of 100 rows are lost, which is more than ingest.clean.max_lost_fraction = 0.2; 30 of \
        them for \"document not in the document table\", such as `search_id=k0 query=tea doc_id=SKU-0 position=1 \
        clicked=false`; ids are compared as they are written, with upper and lower case: correct ingest.documents or \
        ingest.log.columns.doc_id, or raise the limit",
    );
    let stage = world.output(&["ingest.clean.max_lost_fraction=0.3"]);
    assert_eq!(report(&stage, "log"), ["kept 70 50", "left_out 30 0 document not in the document table"]);
    let rejects = rows(&stage, "rejects", &["file", "line", "content"]);
    assert_eq!(rejects[0], "log.csv 2 search_id=k0 query=tea doc_id=SKU-0 position=1 clicked=false");

    world.file("documents.tsv", "id\ttitle\tbody\nD8\teight\t\nD9\tnine\t\n");
    world.refuses(&[], "log: 100 of 100 rows are lost");
}

#[test]
fn an_id_that_is_too_long_is_malformed() {
    let long = "x".repeat(1001);
    let log = format!("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\nk1,tea,{long},2,0\n{long},tea,d2,2,1\n");
    let stage = csv(&log).output(&["ingest.clean.max_reject_fraction=0.1"]);
    assert_eq!(report(&stage, "log"), ["kept 41 20", "rejected 2 1 an id is longer than 1000 bytes"]);
}
