//! Grades as judgment files write them, and the splits that the files decide.

use crate::run::{World, csv, report, results, rows};

const TREC: [&str; 2] = ["ingest.judgments.format=trec", "ingest.judgments.paths=[\"qrels.txt\"]"];

/// A log of the queries `q1` to `q6`, and their judgments in `qrels.txt`.
fn judged(qrels: &str) -> World {
    let mut log = String::from("search_id,query_id,query,doc_id,position,clicked\n");
    for query in 1..=6 {
        log += &format!("k{query},q{query},tea {query},d1,1,0\nk{query},q{query},tea {query},d2,2,1\n");
    }
    let world = csv(&log);
    world.file("qrels.txt", qrels);
    world
}

#[test]
fn negative_grades_are_zero() {
    let stage = judged("q1 0 d1 -2\nq1 0 d2 2\nq2 0 d1 -1\nq2 0 d2 4.0\n").output(&TREC);
    let expected = ["q1 d1 0", "q1 d2 2", "q2 d1 0", "q2 d2 4"];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), expected);
    assert_eq!(report(&stage, "judgments"), ["kept 4 0"]);
}

#[test]
fn grades_that_are_none_name_the_entry_to_write() {
    let cases = [
        ("0.5", "found 0.5; map it, such as ingest.judgments.grade_map = { \"0.5\" = 1 }: `q1 0 d2 0.5`"),
        ("7", "found 7; map it, such as ingest.judgments.grade_map = { \"7\" = 4 }: `q1 0 d2 7`"),
        ("Relevant", "found Relevant; map it, such as ingest.judgments.grade_map = { \"Relevant\" = 1 }"),
    ];
    for (grade, expected) in cases {
        let world = judged(&format!("q1 0 d1 1\nq1 0 d2 {grade}\n"));
        world.refuses(&TREC, &format!("qrels.txt:2: expected a grade from 0 to 4, {expected}"));
    }
}

#[test]
fn a_map_gives_every_written_grade_its_meaning() {
    let world = judged("q1 0 d1 0.5\nq1 0 d2 HRel\nq2 0 d1 -1\nq2 0 d2 3\nq3 0 d1 10\nq3 0 d2 0.50\n");
    let map = "ingest.judgments.grade_map={ \"0.5\" = 1, \"HRel\" = 3, \"-1\" = 2, \"10\" = 4 }";
    let stage = world.output(&[TREC[0], TREC[1], map]);
    let expected = ["q1 d1 1", "q1 d2 3", "q2 d1 2", "q2 d2 3", "q3 d1 4", "q3 d2 1"];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), expected);

    let map = "ingest.judgments.grade_map={ \"HRel\" = 9 }";
    world.misconfigured(
        &[TREC[0], TREC[1], map],
        "ingest.judgments.grade_map.HRel: expected a grade from 0 to 4, found 9",
    );
}

#[test]
fn a_judgment_given_twice_is_accepted_once() {
    let stage = judged("q1 0 d1 1\nq1 0 d2 2\nq1 Q0 d1 1\n").output(&TREC);
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), ["q1 d1 1", "q1 d2 2"]);
    assert_eq!(report(&stage, "judgments"), ["kept 2 0", "merged 1 0 judgment given twice"]);
    assert_eq!(rows(&stage, "rejects", &["file", "line", "reason"]), ["qrels.txt 3 judgment given twice"]);

    let world = judged("q1 0 d1 1\nq1 0 d2 2\nq1 0 d1 2\n");
    world.refuses(&TREC, "qrels.txt:3: query and document judged twice, keep one of the lines: `q1 0 d1 2`");
}

#[test]
fn judgments_of_nothing_in_the_log_are_refused() {
    let world = judged("x1 0 d1 1\nx2 0 d2 2\n");
    world.refuses(
        &TREC,
        "judgments: expected judgments of the log's documents, found none, most for \"query not in the log\", such \
        as `x1 0 d1 1`; correct ingest.judgments",
    );
    let world = judged("q1 0 D1 1\nq2 0 D2 2\nq3 0 d1 x\n");
    world.refuses(&TREC, "qrels.txt:3: expected a grade from 0 to 4, found x");
}

#[test]
fn official_splits_are_those_of_the_files() {
    let world = judged("");
    world.file("train.txt", "q1 0 d1 1\nq2 0 d1 1\n");
    world.file("dev.txt", "q3 0 d1 1\n");
    world.file("test.txt", "q4 0 d1 2\nq5 0 d2 0\n");
    let splits =
        "ingest.judgments.splits={ train = [\"train.txt\"], validation = [\"dev.txt\"], test = [\"test.txt\"] }";
    let stage = world.output(&["ingest.judgments.format=trec", splits]);
    let mut found = rows(&stage, "queries", &["query_id", "split"]);
    found.retain(|row| row.starts_with("q"));
    // A query without a judgment trains.
    assert_eq!(found, ["q1 train", "q2 train", "q3 validation", "q4 test", "q5 test", "q6 train"]);
    assert_eq!(stage.manifest().facts["split_rule"], "files");
    let expected = ["q1 train", "q2 train", "q3 validation", "q4 test", "q5 test"];
    assert_eq!(rows(&stage, "judgments", &["query_id", "split"]), expected);
}

#[test]
fn one_text_in_two_official_splits_is_in_the_one_further_from_training() {
    // q6 is another id of the text of q1.
    let log = "search_id,query_id,query,doc_id,position,clicked\n\
        k1,q1,tea,d1,1,0\nk6,q6,Tea,d2,1,1\nk2,q2,pot,d2,1,1\n";
    let world = csv(log);
    world.file("train.txt", "q1 0 d1 1\nq2 0 d1 1\n");
    world.file("test.txt", "q6 0 d2 2\n");
    let splits = "ingest.judgments.splits={ train = [\"train.txt\"], test = [\"test.txt\"] }";
    let stage = world.output(&["ingest.judgments.format=trec", splits]);
    let expected = ["q1 d1 1 test", "q1 d2 2 test"];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade", "split"])[..2], expected);
    let mut found = rows(&stage, "queries", &["split", "query_id"]);
    found.retain(|row| row.starts_with("test"));
    assert_eq!(found, ["test q1"]);
}

#[test]
fn splits_are_not_given_twice() {
    let world = judged("q1 0 d1 1\n");
    let splits = "ingest.judgments.splits={ test = [\"qrels.txt\"] }";
    world.misconfigured(
        &[TREC[0], TREC[1], splits],
        "ingest.judgments.splits: expected either this table or \
        ingest.judgments.paths, found both",
    );
    world.misconfigured(
        &[TREC[0], splits, "ingest.split.folds=3"],
        "ingest.split.folds: expected none beside \
        ingest.judgments.splits",
    );
}

#[test]
fn judgments_may_hold_their_documents() {
    let world = csv("search_id,query,doc_id,position,clicked\nk1,tea,d1,1,0\nk1,tea,d2,2,1\n");
    world.file("qrels.tsv", "words\tname\ttext\tlabel\ntea\tGreen tea\tleaves\t3\ntea\tBlack tea\t\t1\n");
    let stage = world.output(&[
        "ingest.judgments.format=tsv",
        "ingest.judgments.paths=[\"qrels.tsv\"]",
        "ingest.judgments.columns={ query = \"words\", title = \"name\", summary = \"text\", grade = \"label\" }",
    ]);
    let documents = rows(&stage, "documents", &["title", "summary"]);
    assert!(documents.contains(&"Green tea leaves".to_string()), "{documents:?}");
    assert!(documents.contains(&"Black tea ".to_string()), "{documents:?}");
    let mut grades = rows(&stage, "judgments", &["grade", "split"]);
    grades.sort();
    assert_eq!(grades.len(), 2);
    assert!(grades[0].starts_with("1 ") && grades[1].starts_with("3 "), "{grades:?}");
    assert_eq!(results(&stage, &["doc_id"]), ["d1", "d2"]);
}

#[test]
fn a_collection_without_a_log_has_judgments_alone() {
    let ingest = "[documents]\npaths = [\"documents.tsv\"]\nformat = \"tsv\"\n\
        columns = { doc_id = \"id\", title = \"title\", summary = [\"body\"] }\n\
        [judgments]\nformat = \"trec\"\npaths = [\"qrels.txt\"]\n\
        queries = { paths = [\"queries.tsv\"], format = \"tsv\", dialect = { header = [] }, id = \"1\", text = \"2\" }\n";
    let world = World::new(ingest);
    world.file("queries.tsv", "1\tTea pot\n2\tcup\n3\tspoon\n4\tnot judged\n");
    world.file("qrels.txt", "1 0 d1 3\n1 0 d2 0\n2 0 d3 1\n3 0 d4 2\n");
    let stage = world.output(&[]);
    let expected = ["1 d1 3", "1 d2 0", "2 d3 1", "3 d4 2"];
    assert_eq!(rows(&stage, "judgments", &["query_id", "doc_id", "grade"]), expected);
    assert_eq!(rows(&stage, "queries", &["query_id", "query", "searches"]), ["1 tea pot 0", "2 cup 0", "3 spoon 0"]);
    assert_eq!(rows(&stage, "impressions", &["doc_id"]).len(), 0);
    assert_eq!(rows(&stage, "pairs", &["doc_id"]).len(), 0);
}
