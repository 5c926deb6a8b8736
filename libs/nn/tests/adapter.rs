//! Adapter folders: what is written reads back to the same scores, and what this crate does not compute is refused.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use candle_core::Tensor;
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{InputChoice, SavedRanker, Settings, identity, load_ranker, save_adapter, save_ranker};
use nn::models::{Backbone, Bert, DistilBert, Head, Model, Roberta};
use nn::text::{Kind, PairTokenizer, Scoring, Texts, Tokenizer, Window};
use nn::weights::LoraConfig;
use serde_json::{Value, json};
use tempfile::TempDir;

const CORPUS: [&str; 2] = ["red shoes cheap and more", "blue lamp of the desk"];

fn load(folder: &Path) -> nn::Result<SavedRanker> {
    load_ranker(folder, &InputChoice::default())
}

fn tokenizer() -> Tokenizer {
    Tokenizer::train_word_piece(CORPUS.iter(), 60).unwrap()
}

fn settings() -> Settings {
    Settings { scoring: Scoring::of(Kind::Encoder, Window::LongestFirst { max_length: 27 }), standardisation: None }
}

/// A folder `base` with an encoder, and beside it `adapter` with updates and a head that differ from nothing.
fn folders() -> (TempDir, Model) {
    let config = Bert {
        vocab_size: 60,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 40,
        ..Bert::default()
    };
    folders_of(Arc::new(config), &["query", "dense"])
}

fn folders_of(backbone: Arc<dyn Backbone>, targets: &[&str]) -> (TempDir, Model) {
    let root = tempfile::tempdir().unwrap();
    let base = Model::new(backbone, Head::Score, 3).unwrap();
    save_ranker(&root.path().join("base"), &base, &tokenizer(), &settings(), "").unwrap();
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    let adapted = base.with_lora(&LoraConfig { rank: 2, alpha: 4.0, dropout: 0.1, targets }, 5).unwrap();
    for (name, var) in adapted.params().trained().iter().filter(|(name, _)| !name.ends_with("bias")) {
        let step = if name.contains("lora_") { 0.2 } else { 0.1 };
        let values: Vec<f32> = (0..var.elem_count()).map(|index| step * (index as f32 * 1.3).sin()).collect();
        var.set(&Tensor::from_vec(values, var.shape(), var.device()).unwrap()).unwrap();
    }
    save_adapter(&root.path().join("adapter"), &adapted, Path::new("../base"), &tokenizer(), &settings(), "").unwrap();
    (root, adapted)
}

fn scores(ranker: &Model) -> Vec<f32> {
    let (tokenizer, settings) = (tokenizer(), settings());
    let pairs = PairTokenizer::new(&tokenizer, &settings.scoring).unwrap();
    let texts = ["cheap red shoes", "blue lamp", ""].map(|title| Texts { query: "red shoes", title, summary: "more" });
    CrossEncoder::new(ranker, &pairs, Execution { batch_tokens: 64, ..Execution::default() }).score(&texts).unwrap()
}

/// The scores of the adapter in a folder, which are those of the model it was saved from.
fn same_scores(adapter: &Path, adapted: &Model) -> Vec<f32> {
    let saved = load(adapter).unwrap();
    assert!(!saved.is_foreign && saved.settings == settings());
    let (found, expected) = (scores(&saved.ranker), scores(adapted));
    assert!(
        found.iter().zip(&expected).all(|(found, expected)| (found - expected).abs() < 1e-5),
        "{found:?} {expected:?}"
    );
    found
}

#[test]
fn heads_of_other_encoders_are_saved_whole() {
    let roberta = Roberta {
        vocab_size: 60,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 40,
        ..Roberta::default()
    };
    let distilbert = DistilBert {
        vocab_size: 60,
        dim: 16,
        hidden_dim: 24,
        n_layers: 2,
        n_heads: 2,
        max_position_embeddings: 40,
        ..DistilBert::default()
    };
    let cases: [(Arc<dyn Backbone>, Value); 2] =
        [(Arc::new(roberta), json!(["classifier"])), (Arc::new(distilbert), json!(["classifier", "pre_classifier"]))];
    for (backbone, heads) in cases {
        let (root, adapted) = folders_of(backbone, &["all-linear"]);
        let adapter = root.path().join("adapter");
        let config: Value = serde_json::from_slice(&fs::read(adapter.join("adapter_config.json")).unwrap()).unwrap();
        assert_eq!(config["modules_to_save"], heads);
        assert_eq!(
            config["target_modules"].as_array().unwrap().len(),
            12,
            "six layers of each block, none of the head"
        );
        same_scores(&adapter, &adapted);
    }
}

#[test]
fn an_encoder_with_its_adapter_reads_back_to_the_same_scores() {
    let (root, adapted) = folders();
    let adapter = root.path().join("adapter");
    let config: Value = serde_json::from_slice(&fs::read(adapter.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["modules_to_save"], json!(["pooler", "classifier"]));
    assert_eq!(config["target_modules"].as_array().unwrap().len(), 8, "the pooler is no target but saved whole");
    let found = same_scores(&adapter, &adapted);
    let base = scores(&load(&root.path().join("base")).unwrap().ranker);
    assert!(found.iter().zip(&base).all(|(found, base)| (found - base).abs() > 1e-3), "{found:?} {base:?}");
}

#[test]
fn another_base_is_refused() {
    let (root, _) = folders();
    let adapter = root.path().join("adapter");
    let before = identity(&adapter).unwrap();
    let config = root.path().join("base/config.json");
    fs::write(&config, fs::read_to_string(&config).unwrap() + "\n").unwrap();
    assert_ne!(identity(&adapter).unwrap(), before);
    let error = load(&adapter).unwrap_err().to_string();
    assert!(error.contains("base: expected the base model that the adapter"), "{error}");
    fs::remove_dir_all(root.path().join("base")).unwrap();
    assert!(load(&adapter).unwrap_err().to_string().contains("adapter/../base"));
}

#[test]
fn an_adapter_of_another_kind_is_refused() {
    let (root, _) = folders();
    let path = root.path().join("adapter/adapter_config.json");
    let whole: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let refusal = |key: &str, value: Value| {
        let mut config = whole.clone();
        config[key] = value;
        fs::write(&path, config.to_string()).unwrap();
        load(&root.path().join("adapter")).err().map(|error| error.to_string())
    };
    let plain = "expected a plain LoRA adapter (PEFT: merge_and_unload, then save_pretrained, makes any other one a whole model), found ";
    for (key, value, found) in [
        ("use_dora", json!(true), format!("{plain}use_dora = true")),
        ("fan_in_fan_out", json!(true), format!("{plain}fan_in_fan_out = true")),
        ("trainable_token_indices", json!([3]), format!("{plain}trainable_token_indices = [3]")),
        ("rank_pattern", json!({"query": 4}), "lora_A.weight` has shape [2, 16], expected [4, 16]".into()),
        ("rank_pattern", json!({"query": 0}), "expected ranks of at least 1, found rank_pattern \"query\": 0".into()),
        ("init_lora_weights", json!("pissa"), format!("{plain}init_lora_weights = \"pissa\", which changed")),
        ("peft_type", json!("IA3"), format!("{plain}peft_type = \"IA3\"")),
        ("task_type", json!("TOKEN_CLS"), "expected task_type null, SEQ_CLS, CAUSAL_LM, FEATURE".into()),
        ("target_modules", json!(["q_proj"]), "expected target_modules with every layer that has an update".into()),
        ("r", json!(3), "lora_A.weight` has shape [2, 16], expected [3, 16]".into()),
    ] {
        let error = refusal(key, value).unwrap();
        assert!(error.contains(&found), "{error}");
    }
    assert_eq!(refusal("init_lora_weights", json!(true)), None);
}
