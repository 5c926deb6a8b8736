//! A teacher adapted by updates of low rank: saved as an adapter that PEFT loads, or merged.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use toml::Table;

use crate::base_models::{start_from, with_bases};
use crate::sandbox::Sandbox;

const PAIRS: [[&str; 3]; 4] = [
    ["red shoes", "running shoes", "light and red"],
    ["a", "title of another kind", ""],
    ["blue lamp", "lamp", "a lamp for the desk, blue"],
    ["wool", "scarf of wool", "warm"],
];
const LORA: &str = "rank = 4\nalpha = 8\ndropout = 0.1\n";
pub(crate) const PROJECTIONS: &str = "[\"q_proj\", \"down_proj\"]";

/// A sandbox whose teacher is adapted from one of its base models.
pub(crate) fn adapted(base: &str, targets: &str, merge: bool) -> Sandbox {
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", base);
    let lora: Table = toml::from_str(&format!("{LORA}targets = {targets}\nmerge = {merge}\n")).unwrap();
    sandbox.edit_config(|tables| {
        tables["teacher"].as_table_mut().unwrap().insert("lora".into(), lora.into());
    });
    for stage in ["cpt", "teacher"] {
        sandbox.stage(stage, &[]);
    }
    sandbox
}

/// What `score --model` gives the pairs.
fn scores(sandbox: &Sandbox, model: &str) -> Vec<f64> {
    let rows =
        PAIRS.map(|[query, title, summary]| json!({"query": query, "title": title, "summary": summary}).to_string());
    fs::write(sandbox.path("pairs.jsonl"), rows.join("\n")).unwrap();
    let model = sandbox.run_path(model);
    let arguments = ["--model", model.to_str().unwrap(), "--pairs", "pairs.jsonl", "--out", "scored.jsonl", "--force"];
    crate::process::finish(crate::process::command(&sandbox.path(""), "score", &arguments)).succeeded();
    let scored = fs::read_to_string(sandbox.path("scored.jsonl")).unwrap();
    scored.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap()).collect()
}

fn assert_close(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
}

#[test]
fn an_adapter_scores_as_the_merged_teacher_and_as_peft() {
    let [sandbox, merged] = [false, true].map(|merge| adapted("decoder", PROJECTIONS, merge));
    let rank = sandbox.run_path("teacher/rank");
    assert!(rank.join("adapter_model.safetensors").exists() && !rank.join("model.safetensors").exists());
    assert!(merged.run_path("teacher/rank/model.safetensors").exists());
    for (sandbox, library) in [(&sandbox, "peft"), (&merged, "transformers")] {
        let card = fs::read_to_string(sandbox.run_path("teacher/rank/README.md")).unwrap();
        assert!(card.starts_with(&format!("---\nlibrary_name: {library}\n")), "{card}");
    }
    sandbox.stage("score", &[]);

    let ours = scores(&sandbox, "teacher/rank");
    assert!(ours.iter().any(|score| (score - ours[0]).abs() > 1e-3), "{ours:?}");
    assert_close(&scores(&merged, "teacher/rank"), &ours);

    let Some(python) = std::env::var_os("DISRANKER_PYTHON") else {
        println!("skipped: DISRANKER_PYTHON names no Python with golden/requirements.txt");
        return;
    };
    let texts = PAIRS.map(|[query, title, summary]| {
        let document = [title, summary].join(" ");
        format!("query: {query} document: {}</s>", document.trim_end())
    });
    let mut child = Command::new(python)
        .args(["golden/peft_adapter.py".into(), sandbox.run_path("teacher/cpt"), rank])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(json!(texts).to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_close(&serde_json::from_slice::<Vec<f64>>(&output.stdout).unwrap(), &ours);
}

/// Without phase cpt the adapter belongs to the base model itself, which lies outside of the run.
#[test]
fn an_adapter_of_a_base_elsewhere_is_found() {
    let [sandbox, merged] = [false, true].map(|merge| adapted("encoder", "[\"all-linear\"]", merge));
    let config = fs::read_to_string(sandbox.run_path("teacher/rank/adapter_config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    let base = fs::canonicalize(sandbox.path("encoder")).unwrap();
    assert_eq!(fs::canonicalize(config["base_model_name_or_path"].as_str().unwrap()).unwrap(), base);
    assert_close(&scores(&sandbox, "teacher/rank"), &scores(&merged, "teacher/rank"));
    sandbox.stage("score", &[]);
}

#[test]
fn what_cannot_be_adapted_is_refused() {
    let sandbox = Sandbox::finished();
    let lora = "teacher.lora={rank = 2, alpha = 4.0, targets = [\"q_proj\"]}";
    assert_eq!(
        sandbox.try_stage("teacher", &["--set", lora]).error(2),
        "error: tiny.toml: teacher.lora: expected it beside teacher.base alone, found a table"
    );
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", "decoder");
    sandbox.stage("cpt", &[]);
    let lora = "teacher.lora={rank = 2, alpha = 4.0, targets = [\"query\"]}";
    assert_eq!(
        sandbox.try_stage("teacher", &["--set", lora]).error(2),
        "error: stage teacher: teacher.lora.targets = query: expected all-linear, or linear layers of the model: \
         down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj"
    );
}
