//! A teacher adapted by updates of low rank: saved as an adapter that PEFT loads, or merged.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::base_models::{start_from, with_bases};
use crate::sandbox::Sandbox;

const PAIRS: [[&str; 3]; 4] = [
    ["red shoes", "running shoes", "light and red"],
    ["a", "title of another kind", ""],
    ["blue lamp", "lamp", "a lamp for the desk, blue"],
    ["wool", "scarf of wool", "warm"],
];
const LORA: &str = "\n[teacher.lora]\nrank = 4\nalpha = 8\ndropout = 0.1\ntargets = [\"q_proj\", \"down_proj\"]\n";

/// A sandbox whose teacher is adapted from the folder `decoder`.
fn adapted(merge: bool) -> Sandbox {
    let sandbox = with_bases();
    start_from(&sandbox, "teacher", "decoder");
    let config = sandbox.path("tiny.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(config, format!("{text}{LORA}merge = {merge}\n")).unwrap();
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
    let arguments = ["--model", model.to_str().unwrap(), "--pairs", "pairs.jsonl", "--out", "scored.jsonl"];
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
    let (sandbox, merged) = (adapted(false), adapted(true));
    let rank = sandbox.run_path("teacher/rank");
    assert!(rank.join("adapter_model.safetensors").exists() && !rank.join("model.safetensors").exists());
    assert!(merged.run_path("teacher/rank/model.safetensors").exists());
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
