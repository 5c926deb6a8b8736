//! Adapters that PEFT saved, merged into their base models, against PEFT itself (`golden/adapters.py`).

// A failed unwrap is a failed test, which is what a test is for.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use nn::folder::{AdapterBase, Base, InputChoice, adapter_base, identity, load_ranker, load_ranker_on};
use nn::models::{Head, Model};
use nn::ops::Precision;
use nn::text::{Packed, Tokenizer};
use nn::weights::Mode;
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

const GOLDEN: &str = "tests/golden/adapters";
const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const EVAL: Mode<'_> = Mode::Eval(Precision::F32);

#[derive(Deserialize)]
struct Expected {
    sequences: Vec<Vec<u32>>,
    /// By folder; one loss where the adapter is of a language model.
    logits: BTreeMap<String, Vec<f32>>,
}

/// A copy of the golden folders, with a tokenizer in those of the base models.
struct Folders {
    root: TempDir,
    expected: Expected,
}

impl Folders {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let texts = ["red shoes cheap and more", "blue lamp of the desk"];
        for folder in fs::read_dir(GOLDEN).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
            let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
            let copy = root.path().join(&name);
            fs::create_dir(&copy).unwrap();
            for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
                fs::copy(&file, copy.join(file.file_name().unwrap())).unwrap();
            }
            let tokenizer = match name.as_str() {
                "bert" | "bert_ranker" => Tokenizer::train_word_piece(texts.iter(), 60).unwrap(),
                "llama" | "llama_ranker" => Tokenizer::train_byte_level_bpe(texts.iter(), 262).unwrap(),
                _ => continue,
            };
            tokenizer.save(&copy).unwrap();
        }
        let expected = serde_json::from_slice(&fs::read(Path::new(GOLDEN).join("expected.json")).unwrap()).unwrap();
        Self { root, expected }
    }

    fn path(&self, folder: &str) -> PathBuf {
        self.root.path().join(folder)
    }

    fn packed(&self) -> Packed {
        Packed::from_sequences(&self.expected.sequences).unwrap()
    }

    /// The largest difference of a ranker's logits from those of PEFT.
    fn difference(&self, folder: &str, ranker: &Model) -> f32 {
        let found: Vec<f32> = ranker.score(&self.packed(), EVAL).unwrap().to_vec1().unwrap();
        let expected = &self.expected.logits[folder];
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max)
    }

    fn change_config(&self, folder: &str, key: &str, value: Value) {
        let path = self.path(folder).join(CONFIG);
        let mut config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        config[key] = value;
        fs::write(path, config.to_string()).unwrap();
    }

    fn change_weights(&self, folder: &str, change: impl FnOnce(&mut HashMap<String, Tensor>)) {
        let path = self.path(folder).join(WEIGHTS);
        let mut weights = candle_core::safetensors::load(&path, &Device::Cpu).unwrap();
        change(&mut weights);
        candle_core::safetensors::save(&weights, path).unwrap();
    }

    fn refusal(&self, folder: &str) -> String {
        load_ranker(&self.path(folder), &a_pair()).unwrap_err().to_string()
    }
}

/// The template that a decoder's folder does not say.
fn a_pair() -> InputChoice {
    InputChoice { template: Some("pair".to_owned()), ..InputChoice::default() }
}

#[test]
fn every_adapter_scores_as_in_peft() {
    let folders = Folders::new();
    let rankers = folders.expected.logits.keys().filter(|name| *name != "language");
    for name in rankers {
        let saved = load_ranker(&folders.path(name), &a_pair()).unwrap();
        assert!(saved.is_foreign);
        let worst = folders.difference(name, &saved.ranker);
        assert!(worst < 1e-5, "{name}: {worst}");
    }
    assert_eq!(folders.expected.logits.len(), 12);
}

#[test]
fn a_language_model_is_adapted_and_becomes_a_ranker() {
    let folders = Folders::new();
    let base = Base::open(&folders.path("language")).unwrap();
    let model = base.model(Head::LanguageModel, 0).unwrap();
    let loss = model.next_token_loss(&folders.packed(), &[0; 4], EVAL).unwrap().to_scalar::<f32>().unwrap();
    let expected = folders.expected.logits["language"][0];
    assert!((loss - expected).abs() < 1e-5, "{loss}, PEFT {expected}");

    let ranker = base.model(Head::Score, 0).unwrap();
    let name = "model.layers.1.mlp.down_proj.weight";
    let values = |model: &Model| model.params().get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(&ranker), values(&model));
    let error = folders.refusal("language");
    assert!(
        error.contains(&format!("{WEIGHTS}: expected the weight `score.weight` [1, 8], as its base model ")),
        "{error}"
    );
    assert!(error.ends_with("(PEFT: modules_to_save), or train a ranker that starts from it"), "{error}");
}

#[test]
fn an_adapter_of_an_adapter_adds_both() {
    let folders = Folders::new();
    let names = ["some_layers", "embedding"];
    folders.change_config("embedding", "base_model_name_or_path", json!("../some_layers"));
    let [both, first] =
        ["embedding", "some_layers"].map(|name| load_ranker(&folders.path(name), &a_pair()).unwrap().ranker);
    let weight = |model: &Model, name: &str| model.params().get(name).unwrap().as_detached_tensor();
    let layer = "model.layers.1.self_attn.v_proj.weight";
    assert_eq!(
        weight(&both, layer).to_vec2::<f32>().unwrap(),
        weight(&first, layer).to_vec2::<f32>().unwrap(),
        "the update of the first"
    );
    assert!(folders.difference("embedding", &both) > 1e-3);
    assert_eq!(
        adapter_base(&folders.path(names[1])).unwrap(),
        adapter_base(&folders.path(names[0])).unwrap().map(|base| {
            let AdapterBase::Folder(path) = base else { panic!("{base:?}") };
            assert!(path.ends_with("llama"));
            AdapterBase::Folder(folders.path("embedding").join("../some_layers").join("../llama"))
        })
    );
    let before = identity(&folders.path("embedding")).unwrap();
    folders.change_config("some_layers", "lora_alpha", json!(4));
    assert_ne!(identity(&folders.path("embedding")).unwrap(), before);

    folders.change_config("some_layers", "base_model_name_or_path", json!("../embedding"));
    let error = folders.refusal("embedding");
    assert!(
        error.ends_with(
            "expected at most 8 adapters from here to the model that they adapt, found more, or a circle of them"
        ),
        "{error}"
    );
}

#[test]
fn a_base_model_of_the_hub_is_named() {
    let folders = Folders::new();
    folders.change_config("some_layers", "base_model_name_or_path", json!("org/tiny-llama"));
    let adapter = folders.path("some_layers");
    let hub = AdapterBase::Hub { repository: "org/tiny-llama".into(), revision: "main".into() };
    assert_eq!(adapter_base(&adapter).unwrap(), Some(hub));
    let error = folders.refusal("some_layers");
    assert!(
        error.ends_with("found org/tiny-llama, which is none: fetch that model and write its folder there"),
        "{error}"
    );
    let saved = load_ranker_on(&adapter, Some(&folders.path("llama")), &a_pair()).unwrap();
    assert!(folders.difference("some_layers", &saved.ranker) < 1e-5);
    let files = Base::files_on(&adapter, Some(&folders.path("llama"))).unwrap();
    assert!(files.contains(&adapter.join(WEIGHTS)) && files.contains(&folders.path("llama").join("tokenizer.json")));

    assert_eq!(adapter_base(&folders.path("llama")).unwrap(), None);
    folders.change_config("some_layers", "base_model_name_or_path", json!("../../no/such/folder"));
    assert!(folders.refusal("some_layers").contains("some_layers/../../no/such/folder: expected the folder of a"));
    folders.change_config("some_layers", "base_model_name_or_path", Value::Null);
    assert!(folders.refusal("some_layers").contains("expected base_model_name_or_path: the folder or name of"));
}

#[test]
fn a_head_that_nobody_has_is_refused() {
    let folders = Folders::new();
    for (name, weight) in [("some_layers", "score.weight"), ("pooler_of_base", "classifier.bias")] {
        folders.change_weights(name, |weights| weights.retain(|stored, _| !stored.ends_with(weight)));
        let error = folders.refusal(name);
        assert!(error.contains(&format!("expected the weight `{weight}`")), "{error}");
    }
}

#[test]
fn weights_that_contradict_the_configuration_are_refused() {
    let folders = Folders::new();
    folders.change_config("some_layers", "target_modules", json!(["q_proj"]));
    let error = folders.refusal("some_layers");
    assert!(
        error.contains("adapter_config.json: expected target_modules with every layer that has an update"),
        "{error}"
    );
    folders.change_config("some_layers", "target_modules", json!("(unclosed"));
    assert!(folders.refusal("some_layers").contains("expected regular expressions of modules, found \"(unclosed\""));

    let factor = "base_model.model.model.layers.0.mlp.up_proj.lora_B.weight";
    folders.change_weights("head_of_base", |weights| drop(weights.remove(factor)));
    let error = folders.refusal("head_of_base");
    assert!(
        error.contains("expected both factors of the update of `model.layers.0.mlp.up_proj`, found no B"),
        "{error}"
    );

    folders.change_config("half", "r", json!(3));
    let error = folders.refusal("half");
    assert!(error.contains("lora_A.weight` has shape [2, 8], expected [3, 8]"), "{error}");
    folders.change_weights("excluded", |weights| {
        let bias = Tensor::zeros(8, candle_core::DType::F32, &Device::Cpu).unwrap();
        weights.insert("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias".into(), bias);
    });
    let error = folders.refusal("excluded");
    assert!(error.ends_with("found lora_bias of `model.layers.0.self_attn.q_proj`, which has no bias"), "{error}");
    fs::rename(folders.path("embedding").join(WEIGHTS), folders.path("embedding").join("adapter_model.bin")).unwrap();
    assert!(folders.refusal("embedding").contains("found adapter_model.bin, a pickle file"));
}
