//! Query ids, splits and judgments.

use crate::run::{CONFIG, World, csv_log, report, rows};

const BEIR: [&str; 3] = [
    "ingest.judgments.format=beir",
    "ingest.judgments.paths=[\"qrels.tsv\"]",
    "ingest.judgments.queries=queries.jsonl",
];

/// A world whose log asks a, b and c, and whose judgments know `A` as 1 and 2, and `new` as 3.
fn judged(qrels: &str) -> World {
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&["a", "b", "c"]));
    let query = |id: u32, text: &str| format!("{{\"_id\": \"{id}\", \"text\": \"{text}\", \"metadata\": {{}}}}\n");
    world.file("queries.jsonl", [query(1, "A"), query(2, " a "), query(3, "New"), query(4, "unjudged")].concat());
    world.file("qrels.tsv", format!("query-id\tcorpus-id\tscore\n{qrels}"));
    world
}

#[test]
fn judgments_join_the_log_by_text() {
    let world = judged("1\td1\t1\n2\td1\t3\n2\td2\t0\n3\td3\t2.0\n3\tnowhere\t1\n");
    let stage = world.output(&BEIR);
    // printf a | sha256sum, printf new | sha256sum
    let (a, new) = ("ca978112ca1bbdca", "11507a0e2f5e69d5");
    let expected = [format!("{new} d3 2"), format!("{a} d1 3"), format!("{a} d2 0")];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), expected);
    let queries = rows(&stage, "queries", &["query", "searches"]);
    assert_eq!(queries.len(), 4);
    assert!(queries.contains(&"new 0".to_string()) && queries.contains(&"a 1".to_string()), "{queries:?}");
    let expected = [
        "qrels.tsv 2 judged as high or higher under another id of the same query text",
        "qrels.tsv 6 document not in the document table",
    ];
    assert_eq!(rows(&stage, "rejects", &["file", "line", "reason"]), expected);
    let expected = [
        "kept 3 0",
        "left_out 1 0 document not in the document table",
        "merged 1 0 judged as high or higher under another id of the same query text",
    ];
    assert_eq!(report(&stage, "judgments"), expected);
    assert_eq!(report(&stage, "judged_queries"), ["kept 4 0"]);
    assert_eq!(stage.manifest().facts["judgments_source"], "judgments");
}

#[test]
fn trec_judgments_name_the_logs_queries() {
    let world = World::new(CONFIG);
    let log = csv_log(&["a", "b", "c"]).replace("s-", "");
    world.file("log.csv", log);
    world.file("qrels.txt", "a 0 d1 4\nb Q0  d2\t1\nz 0 d1 1\n");
    let columns = "{ session_id = \"session\", query_id = \"session\", query = \"query\", doc_id = \"doc\", position = \"rank\", clicked = \"click\" }";
    let stage = world.output(&[
        "ingest.judgments.format=trec",
        "ingest.judgments.paths=[\"qrels.txt\"]",
        &format!("ingest.log.columns={columns}"),
    ]);
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), ["a d1 4", "b d2 1"]);
    assert_eq!(rows(&stage, "rejects", &["line", "reason"]), ["3 query not in the log"]);
}

#[test]
fn bad_judgments_are_errors_at_their_line() {
    for (qrels, expected) in [
        ("1\td1\t5\n", "qrels.tsv:2: expected a grade from 0 to 4, found 5"),
        ("1\td1\t1\n1\td1\t2\n", "qrels.tsv:3: query and document judged twice"),
        ("1\td1\n", "qrels.tsv:2: wrong number of fields"),
        ("9\td1\t1\n", "qrels.tsv:2: the query id is not in ingest.judgments.queries"),
        ("1\tnowhere\t1\n", "expected judgments of the log's documents, found none"),
    ] {
        let (code, stderr) = judged(qrels).run(&BEIR);
        assert_eq!(code, 3, "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
    }
}

#[test]
fn a_query_is_in_one_split_in_every_table() {
    let names: Vec<String> = (0..200).map(|i| format!("query {i}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = World::new(CONFIG);
    world.file("log.csv", csv_log(&names));
    let stage = world.output(&[]);
    let splits = rows(&stage, "queries", &["query_id", "split"]);
    let count = |split: &str| splits.iter().filter(|row| row.ends_with(split)).count();
    assert!((90..150).contains(&count(" train")) && (5..40).contains(&count(" validation")), "{splits:?}");
    for table in ["pairs", "judgments"] {
        let mut found = rows(&stage, table, &["query_id", "split"]);
        found.dedup();
        assert_eq!(found, splits, "{table}");
    }
    assert_eq!(stage.manifest().facts["split_rule"], "hash");

    // Another seed and more queries move none.
    world.file("log-more.csv", csv_log(&["another", "and another"]));
    let more = rows(&world.output(&["run.seed=7"]), "queries", &["query_id", "split"]);
    assert!(more.len() == 202 && splits.iter().all(|row| more.contains(row)));
}

#[test]
fn a_fold_of_the_judged_queries_is_the_test_split() {
    let world = judged("");
    let query = |id: u32| format!("{{\"_id\": \"{id}\", \"text\": \"judged {id}\"}}\n");
    world.file("queries.jsonl", (1..=12).map(query).collect::<String>());
    let qrel = |id: u32| format!("{id}\td1\t1\n");
    world.file("qrels.tsv", format!("query-id\tcorpus-id\tscore\n{}", (1..=12).map(qrel).collect::<String>()));
    let folds = [&BEIR[..], &["ingest.split.folds=4", "ingest.split.test_fold=3"]].concat();
    let splits = rows(&world.output(&folds), "queries", &["query", "split"]);
    assert_eq!(splits.len(), 15);
    let mut tested: Vec<&String> = splits.iter().filter(|row| row.ends_with(" test")).collect();
    tested.sort();
    assert_eq!(tested, ["judged 11 test", "judged 3 test", "judged 7 test"]);

    let (code, stderr) = world.run(&[&BEIR[..], &["ingest.split.test_fold=1"]].concat());
    assert_eq!(code, 2);
    assert!(stderr.contains("ingest.split.test_fold: expected a fold below 1, found 1"), "{stderr}");
}

#[test]
fn a_query_without_a_visible_character_is_left_out_and_counted() {
    let world = judged("1\td1\t1\n3\td2\t1\n5\td1\t1\n");
    let queries = std::fs::read_to_string(world.path("queries.jsonl")).unwrap();
    world.file("queries.jsonl", format!("{queries}{{\"_id\": \"5\", \"text\": \"\\u200b\"}}\n"));
    let stage = world.output(&BEIR);
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id"]).len(), 2);
    assert!(report(&stage, "judged_queries").contains(&"left_out 1 0 query without a visible character".into()));
    assert!(report(&stage, "judgments").contains(&"left_out 1 0 query without a visible character".into()));
}

#[test]
fn a_file_of_a_header_alone_has_no_judgments() {
    let world = judged("1\td1\t1\n");
    world.file("qrels2.tsv", "query-id\tcorpus-id\tscore\n");
    let both = "ingest.judgments.paths=[\"qrels.tsv\", \"qrels2.tsv\"]";
    assert_eq!(rows(&world.output(&[BEIR[0], both, BEIR[2]]), "judgments", &["doc_id"]), ["d1"]);
}

#[test]
fn beir_files_with_other_columns_are_told_of_tables() {
    let world = judged("1\td1\t1\n");
    world.file("qrels.tsv", "qid\tpid\tgrade\n1\td1\t1\n");
    world.refuses(&BEIR, "; for either, set ingest.judgments.format = \"tsv\"");
    world.misconfigured(
        &[BEIR[0], BEIR[1], "ingest.judgments.queries=[\"queries.jsonl\"]"],
        "expected a path with * for several files, or a table with paths, format, id and text",
    );
}
