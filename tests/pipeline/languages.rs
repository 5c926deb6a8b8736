//! A Chinese collection without a log, from raw files to the report.

use std::fs;

use serde_json::Value;
use toml::Table;

use crate::sandbox::Sandbox;

const DOCUMENTS: &str = include_str!("../../libs/analysis/tests/fixtures/chinese.documents.jsonl");
const QUERIES: &str = include_str!("../../libs/analysis/tests/fixtures/chinese.queries.jsonl");
/// The first queries train or validate, the others test.
const TRAINING_QUERIES: usize = 5;

const OWN: &str = r#"
    documents = { paths = ["documents.jsonl"], format = "jsonl", columns = { doc_id = "doc_id", summary = ["text"] } }

    [judgments]
    format = "beir"
    queries = { paths = ["queries.jsonl"], format = "jsonl", id = "query_id", text = "text" }
    splits = { train = ["train.tsv"], test = ["test.tsv"] }
"#;

fn chinese() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::write(sandbox.path("documents.jsonl"), DOCUMENTS).unwrap();
    fs::write(sandbox.path("queries.jsonl"), QUERIES).unwrap();
    let queries: Vec<Value> = QUERIES.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let judgments = |queries: &[Value]| {
        let mut lines = String::from("query-id\tcorpus-id\tscore\n");
        for query in queries {
            for document in query["relevant"].as_array().unwrap() {
                lines += &format!("{}\t{}\t1\n", query["query_id"].as_str().unwrap(), document.as_str().unwrap());
            }
        }
        lines
    };
    let (train, test) = queries.split_at(TRAINING_QUERIES);
    fs::write(sandbox.path("train.tsv"), judgments(train)).unwrap();
    fs::write(sandbox.path("test.tsv"), judgments(test)).unwrap();
    sandbox.edit_config(|tables| {
        tables.remove("simulate");
        tables.insert("ingest".into(), toml::from_str::<Table>(OWN).unwrap().into());
        let evaluate = tables["evaluate"].as_table_mut().unwrap();
        evaluate.insert("candidates".into(), "bm25".into());
        evaluate.insert("depth".into(), 10.into());
        // Relevant documents alone are judged.
        tables["teacher"]["rank"].as_table_mut().unwrap().insert("negatives_depth".into(), 5.into());
        tables["distill"]["labels_only"].as_table_mut().unwrap().insert("negatives_depth".into(), 5.into());
    });
    sandbox
}

/// BM25's NDCG@10.
fn bm25(sandbox: &Sandbox) -> f64 {
    let metrics = sandbox.table("evaluate", "metrics");
    let text = |name| metrics.strings(name).unwrap();
    let (systems, names, slices) = (text("system"), text("metric"), text("slice"));
    let wanted =
        |row: &usize| (systems.value(*row), names.value(*row), slices.value(*row)) == ("bm25", "ndcg@10", "all");
    metrics.float64s("value").unwrap().value((0..metrics.rows()).find(wanted).unwrap())
}

#[test]
fn chinese_queries_find_their_documents() {
    let sandbox = chinese();
    sandbox.run_all(&[]);
    let found = bm25(&sandbox);
    assert!(found > 0.9, "{found}");
    let facts = &sandbox.manifest("cpt").facts;
    assert!(facts["student_unknown_tokens"].as_f64().unwrap() < 0.01, "{facts:?}");

    // Whole sentences are single tokens where words are told by white space: nothing is found, and the report says so.
    let whitespace = ["--set", "ingest.analyzer=whitespace"];
    assert!(sandbox.stage("ingest", &whitespace).stderr.contains("ingest: done"));
    assert_eq!(sandbox.manifest("ingest").facts["analyzer"], "whitespace");
}
