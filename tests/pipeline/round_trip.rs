//! Other libraries load the models we save and score as we do. Runs where `DISRANKER_PYTHON` names a Python with the
//! packages of golden/requirements.txt.

use std::collections::HashMap;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use tables::{Columns, StageDir};

use crate::sandbox::Sandbox;

/// Pairs to compare.
const PAIRS: usize = 60;
/// What raw logits may differ by.
const TOLERANCE: f64 = 1e-4;

#[test]
fn transformers_and_sentence_transformers_score_as_we_do() {
    let Some(python) = std::env::var_os("DISRANKER_PYTHON") else {
        println!("skipped: DISRANKER_PYTHON names no Python with golden/requirements.txt");
        return;
    };
    let sandbox = Sandbox::finished();
    let (pairs, ours) = scored_pairs(&sandbox);
    let mut child = Command::new(python)
        .arg("golden/round_trip.py")
        .args([sandbox.run_path("teacher/rank"), sandbox.run_path("distill/student")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&pairs).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Value = serde_json::from_slice(&output.stdout).unwrap();
    let readers = [("transformers", "teacher"), ("sentence_transformers", "student"), ("chat_template", "teacher")];
    for (reader, ours) in readers.map(|(reader, system)| (reader, &ours[system])) {
        let theirs = theirs[reader].as_array().unwrap();
        assert_eq!(theirs.len(), PAIRS);
        for (theirs, ours) in theirs.iter().zip(ours) {
            let theirs = theirs.as_f64().unwrap();
            assert!((theirs - ours).abs() < TOLERANCE, "{reader}: expected {ours}, found {theirs}");
        }
    }
}

/// Queries with documents, and each system's score of them.
fn scored_pairs(sandbox: &Sandbox) -> (Vec<[String; 2]>, HashMap<String, Vec<f64>>) {
    let root = sandbox.run_path("");
    let ingest = StageDir::open(&root, "ingest").unwrap();
    let queries = texts(&ingest.table("queries").unwrap(), "query_id", &["query"]);
    let documents = texts(&ingest.table("documents").unwrap(), "doc_id", &["title", "summary"]);
    let runs = StageDir::open(&root, "evaluate").unwrap().table("runs").unwrap();
    let column = |name| runs.strings(name).unwrap();
    let (systems, query_ids, doc_ids) = (column("system"), column("query_id"), column("doc_id"));
    let scores = runs.float64s("score").unwrap();
    let mut by_pair: HashMap<(&str, &str), HashMap<&str, f64>> = HashMap::new();
    let mut order = Vec::new();
    for row in 0..runs.rows() {
        let pair = (query_ids.value(row), doc_ids.value(row));
        if systems.value(row) == "teacher" && order.len() < PAIRS {
            order.push(pair);
        }
        by_pair.entry(pair).or_default().insert(systems.value(row), scores.value(row));
    }
    let ours = ["teacher", "student"]
        .map(|system| (system.to_string(), order.iter().map(|pair| by_pair[pair][system]).collect()));
    let pairs = order.iter().map(|(query, document)| [queries[*query].clone(), documents[*document].clone()]);
    (pairs.collect(), HashMap::from(ours))
}

/// The joined texts of each row by its id.
fn texts(table: &Columns, id: &str, parts: &[&str]) -> HashMap<String, String> {
    let ids = table.strings(id).unwrap();
    let parts: Vec<_> = parts.iter().map(|part| table.strings(part).unwrap()).collect();
    let text = |row: usize| parts.iter().map(|part| part.value(row)).collect::<Vec<_>>().join(" ");
    (0..table.rows()).map(|row| (ids.value(row).to_string(), text(row))).collect()
}
