//! Dense retrieval: vectors of a bi-encoder, and what the later stages find by them.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

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
