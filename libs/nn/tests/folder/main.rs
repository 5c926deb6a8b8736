//! Model folders: those of this library, and those of others.

#![allow(clippy::unwrap_used)]

mod library;
mod own;

use std::path::Path;
use std::sync::Arc;

use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{self, InputChoice, SavedRanker, Settings, Standardisation};
use nn::models::{Bert, Head, Llama, Model};
use nn::ops::Precision;
use nn::text::{Kind, PairTokenizer, Scoring, Texts, Tokenizer, Window};
use tempfile::TempDir;

const CORPUS: [&str; 3] = ["query: red shoes document: cheap", "cheap red shoes and more shoes", "blue shoes"];

fn llama(head: Head) -> Model {
    let config = Llama {
        vocab_size: 280,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 64,
        pad_token_id: Some(0),
        ..Llama::default()
    };
    Model::new(Arc::new(config), head, 3).unwrap()
}

fn bert(vocab_size: usize) -> Model {
    let config = Bert {
        vocab_size,
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 40,
        ..Bert::default()
    };
    Model::new(Arc::new(config), Head::Score, 3).unwrap()
}

fn byte_level() -> Tokenizer {
    Tokenizer::train_byte_level_bpe(CORPUS.iter(), 280).unwrap()
}

fn word_piece() -> Tokenizer {
    Tokenizer::train_word_piece(CORPUS.iter(), 60).unwrap()
}

fn scoring(kind: Kind, max_query_tokens: usize, max_document_tokens: usize) -> Scoring {
    Scoring::of(kind, Window::Fields { max_query_tokens, max_document_tokens })
}

fn load(folder: &Path) -> nn::Result<SavedRanker> {
    folder::load_ranker(folder, &InputChoice::default())
}

fn settings(kind: Kind) -> Settings {
    Settings { scoring: scoring(kind, 8, 16), standardisation: Some(Standardisation { mean: 0.25, std: 1.5 }) }
}

fn scores(ranker: &Model, tokenizer: &Tokenizer, settings: &Settings, batch_tokens: usize) -> Vec<f32> {
    let titles = ["cheap red shoes", "blue", "", "red red red red red and more cheap shoes", "shoes"];
    let texts = titles.map(|title| Texts { query: "red shoes", title, summary: "and more" });
    let pairs = PairTokenizer::new(tokenizer, &settings.scoring).unwrap();
    CrossEncoder::new(ranker, &pairs, Execution { precision: Precision::F32, batch_tokens }).score(&texts).unwrap()
}

fn saved_student() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    folder::save_ranker(folder.path(), &bert(60), &word_piece(), &settings(Kind::Encoder), "# Card\n").unwrap();
    folder
}
