//! Bad input data: exit code 3, one line that names the file, and the earlier output as it was.

use std::fs;
use std::path::Path;

use crate::process::{Outcome, without_digests};
use crate::sandbox::Sandbox;

/// A pipeline over the raw files that [`raw`] writes.
const RAW: [&str; 8] = [
    "--set",
    "ingest.log.paths=[\"log.jsonl\"]",
    "--set",
    "ingest.documents.paths=[\"documents.jsonl\"]",
    "--set",
    "ingest.judgments.paths=[\"qrels.tsv\"]",
    "--set",
    "ingest.judgments.queries=\"queries.jsonl\"",
];

/// Queries of the raw files; each has three shown and judged documents.
const QUERIES: usize = 10;

/// A sandbox with small raw files, ingested.
fn raw() -> Sandbox {
    let sandbox = Sandbox::new();
    let (mut log, mut documents, mut queries) = (String::new(), String::new(), String::new());
    let mut qrels = String::from("query-id\tcorpus-id\tscore\n");
    for query in 1..=QUERIES {
        queries += &format!("{{\"_id\": \"q{query}\", \"text\": \"query {query}\"}}\n");
        for position in 1..=3 {
            let (document, clicked) = (query * 10 + position, position == 1);
            log += &format!(
                "{{\"search_id\": \"s{query}\", \"session_id\": \"v{query}\", \"user_id\": \"u1\", \"query\": \"query {query}\", \
                 \"doc_id\": \"d{document}\", \"position\": {position}, \"clicked\": {clicked}, \"dwell_seconds\": 40.0, \
                 \"shown_at\": \"2026-01-01T00:00:00Z\"}}\n"
            );
            documents +=
                &format!("{{\"doc_id\": \"d{document}\", \"title\": \"Title\", \"summary\": \"Text {document}\"}}\n");
            qrels += &format!("q{query}\td{document}\t{}\n", 4 - position);
        }
    }
    for (name, text) in
        [("log.jsonl", log), ("documents.jsonl", documents), ("queries.jsonl", queries), ("qrels.tsv", qrels)]
    {
        fs::write(sandbox.path(name), text).unwrap();
    }
    sandbox.stage("ingest", &RAW);
    sandbox
}

/// Replaces the one place of `file` that reads `from`.
fn replace(file: &Path, from: &str, to: &[u8]) {
    let text = fs::read_to_string(file).unwrap();
    let (before, after) = text.split_once(from).unwrap_or_else(|| panic!("no {from:?} in {}", file.display()));
    fs::write(file, [before.as_bytes(), to, after.as_bytes()].concat()).unwrap();
}

/// Runs ingest over raw files that `damage` has changed; the output of the good files must stand.
fn ingest_damaged(damage: impl FnOnce(&Sandbox)) -> Outcome {
    let sandbox = raw();
    let before = sandbox.digests("ingest");
    damage(&sandbox);
    let outcome = sandbox.try_stage("ingest", &RAW);
    assert_eq!(sandbox.digests("ingest"), before);
    sandbox.assert_whole("ingest");
    sandbox.assert_tidy();
    outcome
}

#[test]
fn a_missing_column() {
    let outcome = ingest_damaged(|sandbox| {
        let text = fs::read_to_string(sandbox.path("log.jsonl")).unwrap();
        fs::write(sandbox.path("log.jsonl"), text.replace("\"position\"", "\"place\"")).unwrap();
    });
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./log.jsonl: expected a column `position`, found `search_id`, `session_id`, `user_id`, \
         `query`, `doc_id`, `place`, `clicked`, `dwell_seconds`, `shown_at`; no record of any file has it; correct \
         the columns in the configuration, or remove the key's line where it is optional"
    );
}

#[test]
fn a_value_of_the_wrong_type() {
    let outcome =
        ingest_damaged(|sandbox| replace(&sandbox.path("log.jsonl"), "\"position\": 2", b"\"position\": \"top\""));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./log.jsonl:2: position is not a whole number: `{\"search_id\": \"s1\", \"session_id\": \"v1\", \
         \"user_id\": \"u1\", \"query\": \"query 1\", \"doc_id\": \"d12\", \"position\": \"top\", \"clicked\": false, \
         \"dwell_seconds\": 40.0, \"shown_at\": \"2026-01-01T00:00:00Z\"}`, the first of 1 malformed among 30 lines, which is \
         more than ingest.clean.max_reject_fraction = 0.01; correct the files, or their format in the configuration"
    );
}

#[test]
fn an_empty_log() {
    let outcome = ingest_damaged(|sandbox| fs::write(sandbox.path("log.jsonl"), "").unwrap());
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./log.jsonl: expected records, found an empty file; remove it or write it again"
    );
}

#[test]
fn a_log_that_is_a_header_alone() {
    let sandbox = raw();
    let header = "search_id,session_id,user_id,query,doc_id,position,clicked,dwell_seconds,shown_at\n";
    fs::write(sandbox.path("log.csv"), header).unwrap();
    let csv = ["--set", "ingest.log.paths=[\"log.csv\"]", "--set", "ingest.log.format=csv"];
    assert_eq!(
        sandbox.try_stage("ingest", &[&RAW[..], &csv].concat()).error(3),
        "error: stage ingest: ./log.csv: expected records, found none in any file of the log; name files that hold searches"
    );
}

#[test]
fn no_log_at_all() {
    let outcome = ingest_damaged(|sandbox| fs::remove_file(sandbox.path("log.jsonl")).unwrap());
    assert_eq!(
        outcome.error(3),
        "error: ./log.jsonl: expected at least one file, found none; correct ingest.log.paths"
    );
}

#[test]
fn bytes_that_are_not_utf_8() {
    let outcome = ingest_damaged(|sandbox| replace(&sandbox.path("log.jsonl"), "query 4", b"query \xff"));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./log.jsonl:10: expected text, found invalid UTF-8; write the file again, or set \
         ingest.clean.binary = \"reject\" to leave such lines out"
    );
}

#[test]
fn a_nul_byte() {
    let outcome = ingest_damaged(|sandbox| replace(&sandbox.path("log.jsonl"), "query 5", b"query \0"));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./log.jsonl:13: expected text, found NUL byte; write the file again, or set \
         ingest.clean.binary = \"reject\" to leave such lines out"
    );
}

#[test]
fn a_judgment_given_twice_with_other_grades() {
    let outcome = ingest_damaged(|sandbox| replace(&sandbox.path("qrels.tsv"), "q2\td22\t2\n", b"q2\td21\t2\n"));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./qrels.tsv:6: query and document judged twice, keep one of the lines: \
         `q2\\u{9}d21\\u{9}2`"
    );
}

#[test]
fn a_grade_out_of_range() {
    let outcome = ingest_damaged(|sandbox| replace(&sandbox.path("qrels.tsv"), "q3\td31\t3", b"q3\td31\t5"));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./qrels.tsv:8: expected a grade from 0 to 4, found 5; map it, such as \
         ingest.judgments.grade_map = { \"5\" = 4 }: `q3\\u{9}d31\\u{9}5`"
    );
}

#[test]
fn a_judged_query_nobody_knows() {
    let outcome = ingest_damaged(|sandbox| replace(&sandbox.path("qrels.tsv"), "q3\td31", b"q77\td31"));
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./qrels.tsv:8: the query id is not in ingest.judgments.queries: `q77\\u{9}d31\\u{9}3`"
    );
}

#[test]
fn a_truncated_zstd_file() {
    let finished = Sandbox::finished();
    let mut days: Vec<_> =
        fs::read_dir(finished.run_path("simulate/log")).unwrap().map(|day| day.unwrap().path()).collect();
    days.sort();
    let sandbox = raw();
    let before = sandbox.digests("ingest");
    let whole = fs::read(&days[0]).unwrap();
    fs::write(sandbox.path("cut.jsonl.zst"), &whole[..whole.len() / 2]).unwrap();
    let outcome = sandbox.try_stage("ingest", &[&RAW[..], &["--set", "ingest.log.paths=[\"cut.jsonl.zst\"]"]].concat());
    assert_eq!(
        outcome.error(3),
        "error: stage ingest: ./cut.jsonl.zst: expected a whole zstd file, found a truncated or damaged one (incomplete frame); \
         copy it again"
    );
    assert_eq!(sandbox.digests("ingest"), before);
    sandbox.assert_tidy();
}

#[test]
fn a_flipped_byte_in_a_table() {
    let sandbox = Sandbox::finished();
    let tokenizers = sandbox.digests("cpt");
    let table = sandbox.run_path("ingest/queries/part-00000.parquet");
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&table, bytes).unwrap();
    let outcome = sandbox.try_stage("cpt", &["--force"]);
    assert_eq!(
        without_digests(outcome.error(3)),
        "error: stage cpt: ./runs/tiny/ingest/queries/part-00000.parquet: expected sha256 <sha256>, found <sha256>: the file \
         was changed or damaged; re-run stage `ingest` with --force"
    );
    assert_eq!(sandbox.digests("cpt"), tokenizers);
    sandbox.stage("ingest", &["--force"]);
    sandbox.stage("cpt", &["--force"]);
    assert_eq!(sandbox.digests("cpt"), tokenizers);
}

#[test]
fn a_flipped_byte_in_a_model() {
    let sandbox = Sandbox::finished();
    let weights = sandbox.run_path("teacher/rank/model.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&weights, bytes).unwrap();
    let outcome = sandbox.try_stage("score", &["--force"]);
    assert_eq!(
        without_digests(outcome.error(3)),
        "error: stage score: ./runs/tiny/teacher/rank/model.safetensors: expected sha256 <sha256>, found <sha256>: the file \
         was changed or damaged; re-run stage `teacher` with --force"
    );
    sandbox.assert_tidy();
}

#[test]
fn a_lack_of_judged_queries_is_told_before_the_phases_that_need_none() {
    let sandbox = Sandbox::new();
    let few = ["--set", "simulate.world.judged_queries=3", "--set", "ingest.split.train=0.005"];
    for stage in ["simulate", "ingest", "cpt"] {
        sandbox.stage(stage, &few);
    }
    let refused = sandbox.try_stage("teacher", &few);
    let expected = "judgments: expected judged queries in the training split, found none; judge more queries";
    assert!(refused.error(3).contains(expected), "{}", refused.stderr);
    assert!(!refused.stderr.contains(" parameters"), "trained before the refusal: {}", refused.stderr);
}
