//! Dense retrieval: vectors of a bi-encoder, and what the later stages find by them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use nn::bi_encoder::{BiEncoder, Side};
use nn::cross_encoder::Execution;
use serde_json::Value;
use tables::Columns;
use toml::Table;

use crate::sandbox::Sandbox;

/// What the values of a vector of length 1 may differ by.
const TOLERANCE: f32 = 1e-5;

/// A run whose student, as a plain encoder, gives vectors.
fn with_vectors() -> Sandbox {
    let sandbox = Sandbox::finished();
    fs::create_dir(sandbox.path("encoder")).unwrap();
    let files =
        ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"];
    for file in files {
        fs::copy(sandbox.run_path("distill/student").join(file), sandbox.path("encoder").join(file)).unwrap();
    }
    sandbox.edit_config(|tables| {
        let retrieval: Table = toml::from_str("dense = \"encoder\"\nlists = \"fused\"").unwrap();
        tables.insert("retrieval".into(), retrieval.into());
        let evaluate = tables["evaluate"].as_table_mut().unwrap();
        evaluate.insert("candidates".into(), "fused".into());
        evaluate.insert("depth".into(), 8.into());
    });
    sandbox
}

/// The vectors of a file of the stage.
fn vectors(sandbox: &Sandbox, file: &str) -> Vec<Vec<f32>> {
    let bytes = fs::read(sandbox.run_path("embed/vectors").join(file)).unwrap();
    let line = bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    let header: Value = serde_json::from_slice(&bytes[..line]).unwrap();
    let values = bytes[line..].chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
    let values: Vec<f32> = values.collect();
    let vectors: Vec<Vec<f32>> =
        values.chunks_exact(header["dimensions"].as_u64().unwrap() as usize).map(<[f32]>::to_vec).collect();
    assert_eq!(vectors.len() as u64, header["vectors"].as_u64().unwrap());
    vectors
}

fn texts(table: &Columns, columns: &[&str]) -> Vec<String> {
    let columns: Vec<_> = columns.iter().map(|name| table.strings(name).unwrap()).collect();
    let text = |row: usize| columns.iter().map(|column| column.value(row)).collect::<Vec<_>>().join(" ");
    (0..table.rows()).map(text).collect()
}

#[test]
fn later_stages_find_documents_by_vectors_too() {
    let sandbox = with_vectors();
    sandbox.run_all(&[]);
    let runs = sandbox.table("evaluate", "runs");
    let systems: BTreeSet<&str> = runs.strings("system").unwrap().iter().flatten().collect();
    for system in ["bm25", "dense", "fused", "student"] {
        assert!(systems.contains(system), "{systems:?}");
    }
    let again = sandbox.stage("embed", &[]).stderr;
    assert!(again.contains("up to date"), "{again}");

    // Vectors of another model are refused by its name.
    fs::rename(sandbox.path("encoder"), sandbox.path("other")).unwrap();
    let other = ["--set", "retrieval.dense=other"];
    let error = sandbox.try_stage("evaluate", &other).error(3).to_string();
    assert!(error.contains("expected vectors of the model other, found those of encoder; re-run embed"), "{error}");
    sandbox.assert_tidy();
}

#[test]
fn vectors_need_a_model() {
    let sandbox = Sandbox::new();
    let error = sandbox.try_stage("ingest", &["--set", "retrieval.lists=dense"]).error(2).to_string();
    assert!(error.contains("retrieval.lists: expected bm25, or retrieval.dense beside it"), "{error}");
    let nothing = sandbox.stage("embed", &[]).stderr;
    assert!(nothing.contains("names no model retrieval.dense"), "{nothing}");
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let Some(python) = std::env::var_os("DISRANKER_PYTHON") else {
        println!("skipped: DISRANKER_PYTHON names no Python with golden/requirements.txt");
        return;
    };
    let sandbox = with_vectors();
    sandbox.stage("embed", &[]);
    let queries = texts(&sandbox.table("ingest", "queries"), &["query"]);
    let documents = texts(&sandbox.table("ingest", "documents"), &["title", "summary"]);
    let ours = [vectors(&sandbox, "queries"), vectors(&sandbox, "documents")].concat();
    let all = [queries, documents].concat();
    let mut child = Command::new(python)
        .arg("golden/bi_encoder.py")
        .arg(sandbox.path("encoder"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(serde_json::to_string(&all).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let theirs: Vec<Vec<f32>> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(theirs.len(), ours.len());
    for ((ours, theirs), text) in ours.iter().zip(&theirs).zip(&all) {
        let difference = ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(ours.len() == theirs.len() && difference < TOLERANCE, "{text}: {difference}");
    }
}

#[test]
fn vectors_are_one_of_three_teachers_of_generated_queries() {
    let sandbox = with_vectors();
    sandbox.edit_config(|tables| {
        let score = tables["score"].as_table_mut().unwrap();
        let given = "standardise_over = 'list'\nchoose_weights = true\ngenerated = { titles = 3, sentences = 4 }\n\
                     [[teacher]]\nuse = 'teacher'\n[[teacher]]\nretriever = 'dense'\n[[teacher]]\nretriever = 'bm25'";
        score.extend(toml::from_str::<Table>(given).unwrap());
    });
    for stage in ["embed", "score"] {
        sandbox.stage(stage, &[]);
    }
    let weights = sandbox.manifest("score").facts["weights"].clone();
    let weights: Vec<f64> = weights.as_array().unwrap().iter().map(|weight| weight.as_f64().unwrap()).collect();
    assert!(weights.len() == 3 && (weights.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{weights:?}");

    // A document has the cosine of its vector and that of the query.
    sandbox.edit_config(|tables| {
        let score = tables["score"].as_table_mut().unwrap();
        score.extend(toml::from_str::<Table>("choose_weights = false\nstandardise_over = 'table'").unwrap());
        score.insert("teacher".into(), Table::from_iter([("retriever".into(), "dense".into())]).into());
    });
    sandbox.stage("score", &[]);
    let table = sandbox.table("score", "teacher_scores");
    let (queries, documents) = (table.strings("query_id").unwrap(), table.strings("doc_id").unwrap());
    let scores = table.float32s("score").unwrap();
    let generated = sandbox.table("score", "generated_queries");
    let (ids, texts) = (generated.strings("query_id").unwrap(), generated.strings("query").unwrap());
    let encoder = BiEncoder::open(&sandbox.path("encoder"), Execution::default()).unwrap();
    let of_documents: BTreeMap<String, Vec<f32>> = {
        let ids = sandbox.table("ingest", "documents");
        let ids = ids.strings("doc_id").unwrap();
        ids.iter().map(|id| id.unwrap().to_string()).zip(vectors(&sandbox, "documents")).collect()
    };
    let mut compared = 0;
    for number in 0..generated.rows() {
        let own = encoder.encode(Side::Query, &[texts.value(number)]).unwrap().remove(0);
        for row in (0..table.rows()).filter(|&row| queries.value(row) == ids.value(number)) {
            let cosine: f32 = own.iter().zip(&of_documents[documents.value(row)]).map(|(a, b)| a * b).sum();
            assert!((scores.value(row) - cosine).abs() < TOLERANCE, "{} {}", ids.value(number), documents.value(row));
            compared += 1;
        }
    }
    assert!(generated.rows() == 7 && compared >= 14, "{compared} of {} queries", generated.rows());
    sandbox.stage("distill", &[]);
    sandbox.assert_tidy();
}
