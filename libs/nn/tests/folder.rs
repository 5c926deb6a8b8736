//! Model folders: what is written reads back to the same scores, and what does not fit is refused.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use nn::bert::Bert;
use nn::config::{Architecture, BertConfig, Head, LlamaConfig};
use nn::folder::{self, Base, Settings, Standardisation};
use nn::llama::Llama;
use nn::model::Ranker;
use nn::scoring::score_sequences;
use nn::text::{Encoder, Scoring, Texts};
use nn::tokenizer::Tokenizer;
use tempfile::TempDir;

const CORPUS: [&str; 3] = ["query: red shoes document: cheap", "cheap red shoes and more shoes", "blue shoes"];

fn llama(head: Head) -> Llama {
    let config = LlamaConfig {
        vocab_size: 280,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
        pad_token_id: Some(0),
        ..LlamaConfig::default()
    };
    Llama::new(config, head, 3).unwrap()
}

fn bert(vocab_size: usize) -> Ranker {
    let config = BertConfig {
        vocab_size,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 40,
        ..BertConfig::default()
    };
    Ranker::Bert(Bert::new(config, 3).unwrap())
}

fn byte_level() -> Tokenizer {
    Tokenizer::train_byte_level_bpe(CORPUS.iter(), 280).unwrap()
}

fn word_piece() -> Tokenizer {
    Tokenizer::train_word_piece(CORPUS.iter(), 60).unwrap()
}

fn settings(architecture: Architecture) -> Settings {
    Settings {
        scoring: Scoring::of(architecture, 8, 16),
        standardisation: Some(Standardisation { mean: 0.25, std: 1.5 }),
    }
}

fn scores(ranker: &Ranker, tokenizer: &Tokenizer, settings: &Settings, token_budget: usize) -> Vec<f32> {
    let titles = ["cheap red shoes", "blue", "", "red red red red red and more cheap shoes", "shoes"];
    let texts = titles.map(|title| Texts { query: "red shoes", title, summary: "and more" });
    let encoder = Encoder::new(tokenizer, &settings.scoring).unwrap();
    score_sequences(ranker, &encoder.encode_batch(&texts).unwrap(), token_budget).unwrap()
}

fn saved_student() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    folder::save_ranker(folder.path(), &bert(60), &word_piece(), &settings(Architecture::Bert), "# Card\n").unwrap();
    folder
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn rankers_read_back_to_the_same_scores_and_bytes() {
    let cases = [
        (Ranker::Llama(llama(Head::Score)), byte_level(), settings(Architecture::Llama)),
        (bert(60), word_piece(), settings(Architecture::Bert)),
    ];
    for (ranker, tokenizer, settings) in cases {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        folder::save_ranker(one.path(), &ranker, &tokenizer, &settings, "# Card\n").unwrap();
        let saved = folder::load_ranker(one.path()).unwrap();
        assert_eq!(saved.settings, settings);
        assert_eq!(
            scores(&saved.ranker, &saved.tokenizer, &saved.settings, 64),
            scores(&ranker, &tokenizer, &settings, 64)
        );
        folder::save_ranker(two.path(), &saved.ranker, &saved.tokenizer, &saved.settings, "# Card\n").unwrap();
        assert_eq!(files(one.path()), files(two.path()));
        assert_eq!(folder::identity(one.path()).unwrap(), folder::identity(two.path()).unwrap());
    }
}

#[test]
fn the_token_budget_changes_no_order_and_no_score_beyond_rounding() {
    let (ranker, tokenizer, settings) = (bert(60), word_piece(), settings(Architecture::Bert));
    let all = scores(&ranker, &tokenizer, &settings, 10_000);
    assert_eq!(all.len(), 5);
    assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "different texts must differ in score");
    for budget in [0, 1, 20, 33] {
        for (a, b) in all.iter().zip(scores(&ranker, &tokenizer, &settings, budget)) {
            assert!((a - b).abs() < 1e-5);
        }
    }
}

#[test]
fn a_language_model_becomes_a_ranker_of_the_same_body() {
    let folder = tempfile::tempdir().unwrap();
    let model = llama(Head::LanguageModel);
    folder::save_language_model(folder.path(), &model, &byte_level(), "# Card\n").unwrap();
    let base = Base::open(folder.path()).unwrap();
    let ranker = base.ranker(9).unwrap();
    let name = "model.layers.1.mlp.up_proj.weight";
    let values =
        |params: &nn::params::Params| params.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(values(ranker.params()), values(model.params()));
    assert_eq!(values(base.language_model(9).unwrap().params()), values(model.params()));
    let error = folder::load_ranker(folder.path()).unwrap_err().to_string();
    assert!(error.contains("config.json") && error.contains("LlamaForCausalLM"), "{error}");
}

#[test]
fn every_missing_file_is_named() {
    for (name, mentioned) in [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors"),
        ("tokenizer.json", "tokenizer.json"),
        ("disranker.json", "disranker.json"),
    ] {
        let folder = saved_student();
        std::fs::remove_file(folder.path().join(name)).unwrap();
        let error = folder::load_ranker(folder.path()).unwrap_err().to_string();
        assert!(error.contains(mentioned), "{name}: {error}");
    }
}

#[test]
fn another_tokenizer_is_refused() {
    let folder = saved_student();
    Tokenizer::train_word_piece(CORPUS[..2].iter(), 50).unwrap().save(folder.path()).unwrap();
    let error = folder::load_ranker(folder.path()).unwrap_err().to_string();
    assert!(error.contains("expected the tokenizer.json it was trained with, sha256"), "{error}");
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let tokenizer = word_piece();
    let rows = tokenizer.vocabulary_size() - 1;
    let folder = tempfile::tempdir().unwrap();
    let error = folder::save_ranker(folder.path(), &bert(rows), &tokenizer, &settings(Architecture::Bert), "");
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&format!("{} ids", rows + 1)) && error.contains(&format!("{rows} rows")), "{error}");
}

#[test]
fn a_scoring_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let refuse = |settings: &Settings| {
        folder::save_ranker(folder.path(), &bert(60), &word_piece(), settings, "").unwrap_err().to_string()
    };
    let error = refuse(&settings(Architecture::Llama));
    assert!(error.contains("Bert models do not score"), "{error}");
    let long = Settings { scoring: Scoring::of(Architecture::Bert, 20, 18), standardisation: None };
    assert!(refuse(&long).contains("sequences take up to 41 tokens"), "{}", refuse(&long));
    let nothing = Settings { scoring: Scoring::of(Architecture::Bert, 0, 18), standardisation: None };
    assert!(refuse(&nothing).contains("at least 1"));
}

#[test]
fn identity_follows_every_file_that_decides_a_score() {
    let folder = saved_student();
    let before = folder::identity(folder.path()).unwrap();
    std::fs::write(folder.path().join("README.md"), "another card").unwrap();
    assert_eq!(folder::identity(folder.path()).unwrap(), before);
    for name in ["config.json", "model.safetensors", "tokenizer.json", "disranker.json"] {
        let folder = saved_student();
        let mut bytes = std::fs::read(folder.path().join(name)).unwrap();
        bytes.push(b' ');
        std::fs::write(folder.path().join(name), bytes).unwrap();
        assert_ne!(folder::identity(folder.path()).unwrap(), before, "{name}");
    }
}
