//! A saved cross-encoder as ONNX: what ONNX Runtime, OpenVINO and sentence-transformers make of the folder, where `DISRANKER_PYTHON`
//! names a Python with the packages of golden/requirements.txt, and what servers ask of it.

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nn::folder::{Base, InputChoice, Settings, save_ranker};
use nn::models::{Head, Model, read_config};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{Outcome, command, finish};
use crate::sandbox::Sandbox;

/// Rankers of every family but BERT with their tokenizers, and pairs whose scores differ.
const FOREIGN: &str = "../libs/nn/tests/golden/foreign";
/// What scores of the model in single precision may differ by.
const TOLERANCE: f64 = 1e-4;

/// Exported models beside those they were made of.
struct Exported {
    root: TempDir,
    /// Folders of models, by name.
    models: Vec<(String, PathBuf)>,
    pairs: Vec<[String; 3]>,
}

impl Exported {
    /// Models of every family and of what they have in several ways, exported in both precisions.
    fn all() -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut models: Vec<(String, PathBuf)> =
            ["roberta", "xlm_roberta", "distilbert", "electra", "modernbert", "deberta"]
                .map(|name| (name.to_string(), fs::canonicalize(Path::new(FOREIGN).join(name)).unwrap()))
                .into();
        models.extend(variants().map(|variant| (variant.name.to_string(), variant.save(root.path()))));
        let exported = Self { root, models, pairs: pairs() };
        for (name, model) in &exported.models {
            let out = exported.folder(name);
            export(model, &["--precision", "int8", "--out", out.to_str().unwrap()]).succeeded();
        }
        exported
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.root.path().join(format!("{name}-exported"))
    }

    fn folders(&self) -> Vec<PathBuf> {
        self.models.iter().map(|(name, _)| self.folder(name)).collect()
    }

    /// The scores that `score --model` gives the pairs.
    fn own(&self, model: &Path) -> Vec<f64> {
        let lines = self
            .pairs
            .iter()
            .map(|[query, title, summary]| json!({ "query": query, "title": title, "summary": summary }).to_string());
        fs::write(self.root.path().join("pairs.jsonl"), lines.collect::<Vec<_>>().join("\n")).unwrap();
        let model = model.to_str().unwrap();
        let arguments = ["--model", model, "--pairs", "pairs.jsonl", "--out", "scored.jsonl", "--force"];
        finish(command(self.root.path(), "score", &arguments)).succeeded();
        let score = |line: &str| serde_json::from_str::<Value>(line).unwrap()["score"].as_f64().unwrap();
        fs::read_to_string(self.root.path().join("scored.jsonl")).unwrap().lines().map(score).collect()
    }

    /// The pairs as other libraries read them.
    fn joined(&self) -> Value {
        let document = |title: &str, summary: &str| format!("{title} {summary}").trim().to_string();
        self.pairs.iter().map(|[query, title, summary]| json!([query, document(title, summary)])).collect()
    }
}

/// A tiny model with random weights and the tokenizer of a foreign one.
struct Variant {
    name: &'static str,
    tokenizer_of: &'static str,
    head: Head,
    config: Value,
}

fn variants() -> impl Iterator<Item = Variant> {
    let sizes = json!({
        "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "initializer_range": 0.4,
        "max_position_embeddings": 64,
    });
    let make = move |(name, tokenizer_of, head, fields): (_, _, _, Value)| {
        let mut config = sizes.clone();
        config.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        Variant { name, tokenizer_of, head, config }
    };
    let biases = json!({"norm_bias": true, "attention_bias": true, "mlp_bias": true, "classifier_bias": true});
    let mut local = json!({"model_type": "modernbert", "local_attention": 4, "global_attn_every_n_layers": 2});
    local.as_object_mut().unwrap().extend(biases.as_object().unwrap().clone());
    [
        ("bert", "electra", Head::Score, json!({"model_type": "bert"})),
        ("bert_grades", "electra", Head::Grades(3), json!({"model_type": "bert"})),
        (
            "minilm_shaped",
            "electra",
            Head::Score,
            json!({
                "model_type": "bert", "hidden_size": 384, "intermediate_size": 1536, "num_hidden_layers": 6,
                "num_attention_heads": 12, "initializer_range": 0.06,
            }),
        ),
        ("modernbert_cls", "modernbert", Head::Score, local),
        (
            "deberta_split",
            "deberta",
            Head::Score,
            json!({
                "model_type": "deberta-v2", "relative_attention": true, "pos_att_type": ["c2p", "p2c"], "embedding_size": 12,
                "type_vocab_size": 2,
            }),
        ),
        (
            "deberta_c2p",
            "deberta",
            Head::Score,
            json!({
                "model_type": "deberta-v2", "relative_attention": true, "pos_att_type": "c2p", "share_att_key": true,
                "position_buckets": 6, "max_relative_positions": 40, "position_biased_input": false,
            }),
        ),
    ]
    .map(make)
    .into_iter()
}

impl Variant {
    fn save(mut self, root: &Path) -> PathBuf {
        let base = Base::open(&Path::new(FOREIGN).join(self.tokenizer_of)).unwrap();
        let (base, scoring) = base.for_training(&InputChoice::default()).unwrap();
        self.config["vocab_size"] = base.tokenizer.vocabulary_size().into();
        let ranker = Model::new(read_config(&self.config).unwrap(), self.head, 11).unwrap();
        let settings =
            Settings { scoring: nn::text::Scoring { pooling: ranker.pooling(), ..scoring }, standardisation: None };
        save_ranker(&root.join(self.name), &ranker, &base.tokenizer, &settings, "# A ranker\n").unwrap();
        root.join(self.name)
    }
}

/// The pairs of the foreign models, and longer ones.
fn pairs() -> Vec<[String; 3]> {
    let golden: Value = serde_json::from_slice(&fs::read(Path::new(FOREIGN).join("scores.json")).unwrap()).unwrap();
    let mut pairs: Vec<[String; 3]> = serde_json::from_value(golden["pairs"].clone()).unwrap();
    let words = "cheap red shoes for running on wet roads and a desk lamp with a warm light";
    for end in (7..words.len()).step_by(9) {
        let summary = words.char_indices().filter(|&(at, _)| at < end).map(|(_, letter)| letter).collect();
        pairs.push(["red lamp".to_string(), "Shoes".to_string(), summary]);
    }
    // Longer than any of the models takes.
    pairs.push(["wet roads".to_string(), words.to_string(), words.repeat(3)]);
    pairs
}

fn export(model: &Path, arguments: &[&str]) -> Outcome {
    let first = ["--model", model.to_str().unwrap(), "--to", "onnx"];
    finish(command(Path::new("."), "export", &[&first, arguments].concat()))
}

/// A Python that has these modules; prints why the test is skipped where there is none.
fn python_with(variable: &str, modules: &str) -> Option<OsString> {
    let Some(python) = std::env::var_os(variable) else {
        println!("skipped: {variable} names no Python with {modules}");
        return None;
    };
    let found = Command::new(&python).args(["-c", &format!("import {modules}")]).output().unwrap();
    if !found.status.success() {
        println!("skipped: {variable}: {}", String::from_utf8_lossy(&found.stderr).lines().last().unwrap_or_default());
        return None;
    }
    Some(python)
}

/// What a script of golden/ prints.
fn answer<T: for<'de> Deserialize<'de>>(python: OsString, script: &str, folders: &[PathBuf], input: &Value) -> T {
    let mut child = Command::new(python)
        .arg(format!("golden/{script}"))
        .args(folders)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What onnx_scores.py found of a folder: the logits of each pair.
#[derive(Deserialize)]
struct Found {
    onnx_runtime: Vec<Vec<f64>>,
    openvino: Vec<Vec<f64>>,
    onnx_runtime_int8: Vec<Vec<f64>>,
    openvino_int8: Vec<Vec<f64>>,
    quantize_dynamic: Vec<Vec<f64>>,
    operations_int8: Vec<String>,
}

/// The score of each pair: its logit, or the expected grade.
fn scores(logits: &[Vec<f64>]) -> Vec<f64> {
    let score = |logits: &Vec<f64>| match &logits[..] {
        [logit] => *logit,
        grades => {
            let shares: Vec<f64> = grades.iter().map(|logit| logit.exp()).collect();
            shares.iter().enumerate().map(|(grade, share)| grade as f64 * share).sum::<f64>()
                / shares.iter().sum::<f64>()
        }
    };
    logits.iter().map(score).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// The share of pairs of different scores that two systems order alike.
fn ordered_alike(a: &[f64], b: &[f64]) -> f64 {
    let pairs = || (0..a.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
    let alike = pairs().filter(|&(i, j)| ((a[i] - a[j]) * (b[i] - b[j])).is_sign_positive()).count();
    alike as f64 / pairs().count() as f64
}

#[test]
fn every_family_scores_alike_in_the_runtimes() {
    let Some(python) = python_with("DISRANKER_PYTHON", "onnx, onnxruntime, openvino, transformers") else { return };
    let exported = Exported::all();
    let found: Vec<Found> = answer(python, "onnx_scores.py", &exported.folders(), &exported.joined());
    assert_eq!(found.len(), exported.models.len());
    for ((name, model), found) in exported.models.iter().zip(&found) {
        let own = exported.own(model);
        let spread = own.iter().copied().fold(f64::MIN, f64::max) - own.iter().copied().fold(f64::MAX, f64::min);
        assert!(spread > 0.01, "{name}: the scores hardly differ: {own:?}");
        for (runtime, logits) in [("ONNX Runtime", &found.onnx_runtime), ("OpenVINO", &found.openvino)] {
            let difference = largest_difference(&own, &scores(logits));
            println!("{name}, {runtime}, f32: {difference:.1e} of {spread:.2}");
            assert!(difference < TOLERANCE, "{name}, {runtime}: {difference}");
        }
        let theirs = largest_difference(&own, &scores(&found.quantize_dynamic));
        for (runtime, logits) in [("ONNX Runtime", &found.onnx_runtime_int8), ("OpenVINO", &found.openvino_int8)] {
            let quantised = scores(logits);
            let (difference, alike) = (largest_difference(&own, &quantised), ordered_alike(&own, &quantised));
            println!("{name}, {runtime}, int8: {difference:.1e} (quantize_dynamic {theirs:.1e}), {alike:.2} alike");
            assert!(difference > 0.0, "{name}, {runtime}: nothing was quantised");
            assert!(difference < 0.25 * spread, "{name}, {runtime}: {difference} of {spread}");
            assert!(alike > 0.85, "{name}, {runtime}: {alike}");
        }
        for operation in ["DynamicQuantizeLinear", "MatMulInteger"] {
            assert!(found.operations_int8.iter().any(|found| found == operation), "{name}: no {operation}");
        }
    }
}

#[test]
fn sentence_transformers_runs_the_graphs() {
    let Some(python) = python_with("DISRANKER_OPTIMUM_PYTHON", "sentence_transformers, optimum.onnxruntime") else {
        return;
    };
    let mut exported = Exported::all();
    // It would squash each logit of several.
    exported.models.retain(|(name, _)| name != "bert_grades");
    let found: Vec<[Vec<f64>; 2]> = answer(python, "cross_encoder_onnx.py", &exported.folders(), &exported.joined());
    for ((name, model), [exact, quantised]) in exported.models.iter().zip(&found) {
        let own = exported.own(model);
        let difference = largest_difference(&own, exact);
        assert!(difference < TOLERANCE, "{name}: {difference}");
        assert!(largest_difference(&own, quantised) > difference, "{name}: not the quantised model");
    }
}

#[test]
fn the_card_says_how_to_serve() {
    let exported = Exported::all();
    let card = |name: &str| fs::read_to_string(exported.folder(name).join("README.md")).unwrap();
    let bert = card("bert");
    assert!(bert.starts_with(
        "# A ranker\n\n## Serving\n\n`onnx/model.onnx` takes `input_ids`, `attention_mask` and `token_type_ids`"
    ));
    for section in
        ["sentence-transformers", "transformers", "text-embeddings-inference", "ONNX Runtime", "OpenVINO", "Vespa"]
    {
        assert!(bert.contains(&format!("\n### {section}\n\n")), "{section}: {bert}");
    }
    assert!(bert.contains("customTokenInputIds(2, 3, 64, query(q), attribute(tokens))"), "{bert}");
    assert!(bert.contains("function token_type_ids()"), "{bert}");
    let roberta = card("roberta");
    assert!(roberta.starts_with("---\nlibrary_name: transformers\npipeline_tag: text-ranking\n"), "{roberta}");
    assert!(roberta.contains("where this model has 2,") && !roberta.contains("token_type_ids"), "{roberta}");
    assert!(card("bert_grades").contains("the sum of softmax(logits) times 0 to 2"));
    // Exported again, it says it once.
    let again = exported.root.path().join("again");
    export(&exported.folder("bert"), &["--precision", "int8", "--out", again.to_str().unwrap()]).succeeded();
    assert_eq!(fs::read_to_string(again.join("README.md")).unwrap(), bert);

    let Some(python) = python_with("DISRANKER_PYTHON", "onnxruntime, openvino, transformers") else { return };
    let [query, title, summary] = &exported.pairs[0];
    let pair = json!([query, format!("{title} {summary}")]);
    let found: Value = answer(python, "card_code.py", &[exported.folder("bert")], &pair);
    let own = exported.own(&exported.folder("bert"))[0];
    for runtime in ["ONNX Runtime", "OpenVINO"] {
        let difference = (found[runtime][0].as_f64().unwrap() - own).abs();
        assert!(difference < TOLERANCE, "{runtime}: {difference}");
    }
}

/// What text-embeddings-inference 1.9 reads of a folder (`router/src/lib.rs`, `backends/ort/src/lib.rs`): without one of these it
/// does not start, or not as a reranker.
#[test]
fn text_embeddings_inference_finds_what_it_asks_for() {
    let exported = Exported::all();
    for (name, _) in &exported.models {
        let folder = exported.folder(name);
        let json = |file: &str| -> Value { serde_json::from_slice(&fs::read(folder.join(file)).unwrap()).unwrap() };
        let config = json("config.json");
        let architecture = config["architectures"][0].as_str().unwrap();
        assert!(architecture.ends_with("ForSequenceClassification"), "{name}: {architecture}");
        let labels = if name == "bert_grades" { 3 } else { 1 };
        for map in ["id2label", "label2id"] {
            assert_eq!(config[map].as_object().unwrap().len(), labels, "{name}: {map}");
        }
        assert!(config["id2label"].as_object().unwrap().values().all(Value::is_string));
        for number in ["max_position_embeddings", "hidden_size", "num_hidden_layers", "pad_token_id"] {
            assert!(config[number].is_u64(), "{name}: {number} = {}", config[number]);
        }
        assert!(config["auto_map"].is_null());
        // Else it would take texts up to the end of the position table, which is longer than many models read.
        let length = json("sentence_bert_config.json")["max_seq_length"].as_u64().unwrap();
        assert!(length <= config["max_position_embeddings"].as_u64().unwrap(), "{name}: {length}");
        // Padding is to the right unless tokenizer_config.json says otherwise.
        assert_ne!(json("tokenizer_config.json")["padding_side"], "left");
        for file in ["tokenizer.json", "model.safetensors", "onnx/model.onnx", "onnx/model_quantized.onnx"] {
            assert!(folder.join(file).is_file(), "{name}: {file}");
        }
        // It would be taken before the one below onnx.
        assert!(!folder.join("model.onnx").exists());
    }
}

#[test]
fn equal_models_give_equal_bytes() {
    let root = tempfile::tempdir().unwrap();
    let read = |name: &str| {
        let out = root.path().join(name);
        export(&Path::new(FOREIGN).join("deberta"), &["--precision", "int8", "--out", out.to_str().unwrap()])
            .succeeded();
        ["model.onnx", "model_quantized.onnx"].map(|file| fs::read(out.join("onnx").join(file)).unwrap())
    };
    assert!(read("a") == read("b"));
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let sandbox = Sandbox::finished();
    let root = sandbox.path("");
    let export = |arguments: &[&str]| finish(command(&root, "export", &[&["--to", "onnx"], arguments].concat()));
    let decoder = export(&["--model", "runs/tiny/teacher/rank"]);
    assert_eq!(
        decoder.error(3),
        "error: runs/tiny/teacher/rank: expected an encoder, found the decoder Llama; distil it into an encoder, and export that"
    );
    assert!(!sandbox.path("runs/tiny/teacher/rank-onnx").exists());
    assert!(!sandbox.path("runs/tiny/teacher/.rank-onnx.partial").exists());

    let student = ["--model", "runs/tiny/distill/student"];
    export(&student).succeeded();
    let out = "runs/tiny/distill/student-onnx";
    assert!(sandbox.path(out).join("onnx/model.onnx").exists());
    assert!(!sandbox.path(out).join("onnx/model_quantized.onnx").exists());
    let again = export(&student);
    let remedy = "name another, or replace it with --force";
    assert_eq!(again.error(2), format!("error: {out}: expected no folder of this name, found one; {remedy}"));
    export(&[&student[..], &["--force", "--precision", "int8"]].concat()).succeeded();
    assert!(sandbox.path(out).join("onnx/model_quantized.onnx").exists());
    let itself = export(&[&student[..], &["--force", "--out", "runs/tiny/distill/student"]].concat());
    assert!(itself.error(2).ends_with("expected another folder than --model, found the same"));
    let missing = export(&["--model", "nothing"]);
    assert!(missing.error(3).starts_with("error: nothing"), "{}", missing.stderr);
}

/// Rows with grades by which the student's order is measured.
fn judged(sandbox: &Sandbox) {
    let rows = pairs().into_iter().enumerate().map(|(row, [_, title, summary])| {
        json!({ "query": format!("q{}", row % 3), "title": title, "summary": summary, "grade": row % 4 }).to_string()
    });
    fs::write(sandbox.path("pairs.jsonl"), rows.collect::<Vec<_>>().join("\n")).unwrap();
}

#[test]
fn pairs_compare_the_models() {
    let sandbox = Sandbox::finished();
    judged(&sandbox);
    let student = ["--model", "runs/tiny/distill/student", "--to", "onnx", "--precision", "int8", "--force"];
    let export = |arguments: &[&str]| finish(command(&sandbox.path(""), "export", &[&student, arguments].concat()));
    let without = export(&["--pairs", "pairs.jsonl", "--python", "no-such-python"]);
    let expected = "error: --python no-such-python: expected a Python, found none: No such file or directory (os error 2); name another";
    assert_eq!(without.error(2), expected);
    fs::write(sandbox.path("empty.jsonl"), "").unwrap();
    let empty = export(&["--pairs", "empty.jsonl"]);
    assert_eq!(empty.error(3), "error: empty.jsonl: expected rows to compare scores of, found none");

    let Some(python) = python_with("DISRANKER_PYTHON", "onnxruntime, openvino") else { return };
    let compared = export(&["--pairs", "pairs.jsonl", "--python", python.to_str().unwrap()]).succeeded();
    let rows: Vec<Vec<&str>> = compared
        .stdout
        .lines()
        .filter(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert_eq!(rows.len(), 2 + 5, "{}", compared.stdout);
    let number = |row: usize, column: usize| rows[row][column].parse::<f64>().unwrap();
    assert_eq!(rows[2][..2], ["disranker", "f32"]);
    for row in [3, 5] {
        assert_eq!(rows[row][1], "f32");
        assert!(number(row, 2) < TOLERANCE, "{}", compared.stdout);
        assert_eq!(number(row, 3), number(2, 3));
    }
    for row in [4, 6] {
        assert_eq!(rows[row][1], "int8");
        assert!(number(row, 2) > 0.0 && number(row, 2) < 0.5, "{}", compared.stdout);
    }
}
