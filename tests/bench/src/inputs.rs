//! Models and inputs, written once for both sides.

use std::fs::File;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use flate2::read::GzDecoder;
use nn::folder::{Settings, save_ranker};
use nn::models::{Bert, Head, Llama, Model};
use nn::text::{Kind, PairTokenizer, Scoring, Texts, Tokenizer, Window};
use rand::{Rng, RngExt};
use ranking::rng::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::python::write;
use crate::work::{Shape, Work};

/// Of models and inputs.
pub(crate) const SEED: u64 = 42;
const INPUTS_FILE: &str = "inputs.json";
/// Documents end after so many words, so that no side has to cut a sequence.
const DOCUMENT_WORDS: usize = 150;
/// Requests of a round.
const REQUESTS: usize = 50;
const MAX_QUERY_TOKENS: usize = 64;
const MAX_DOCUMENT_TOKENS: usize = 440;

/// Sequences that go through the model together.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Batch {
    /// Token ids of each sequence.
    pub(crate) ids: Vec<Vec<u32>>,
    /// Token types of each sequence.
    pub(crate) types: Vec<Vec<u32>>,
    /// What the scores are to be, or grades.
    pub(crate) targets: Vec<f32>,
}

/// What a piece of work works on.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inputs {
    /// One step or one call each; a round does all of them.
    pub(crate) batches: Vec<Batch>,
    /// Sequences of a list within a batch.
    pub(crate) list_size: usize,
    /// Continued pre-training predicts the tokens from here on.
    pub(crate) loss_start: usize,
    /// (query, document) of all sequences, where a round begins with texts.
    pub(crate) texts: Vec<(String, String)>,
}

impl Inputs {
    /// Reads what [`Source::prepare`] wrote.
    pub(crate) fn read(folder: &Path) -> Result<Inputs> {
        let path = folder.join(INPUTS_FILE);
        let file = File::open(&path).with_context(|| format!("{}: opening failed", path.display()))?;
        serde_json::from_reader(std::io::BufReader::new(file)).with_context(|| path.display().to_string())
    }
}

/// Product texts and a vocabulary of them.
pub(crate) struct Source {
    products: Vec<Product>,
    tokenizer: Tokenizer,
}

struct Product {
    query: String,
    title: String,
    summary: String,
}

impl Source {
    /// Reads a gzipped CSV of products.
    pub(crate) fn read(path: &Path) -> Result<Source> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("{name}: expected the product file of RetroTech"))?;
        let mut reader = csv::ReaderBuilder::new().escape(Some(b'\\')).flexible(true).from_reader(GzDecoder::new(file));
        let mut products = Vec::new();
        for record in reader.records() {
            let record = record.with_context(|| format!("{name}: not CSV"))?;
            let field = |index: usize| record.get(index).unwrap_or_default();
            let words = |text: &str, count| text.split_whitespace().take(count).collect::<Vec<_>>().join(" ");
            let title = words(field(1), DOCUMENT_WORDS / 3);
            if !title.is_empty() {
                let query = words(&title, 3);
                let summary = words(&format!("{} {} {}", field(2), field(3), field(4)), DOCUMENT_WORDS);
                products.push(Product { query, title, summary });
            }
        }
        if products.is_empty() {
            bail!("{name}: expected products, found none");
        }
        let texts = products.iter().map(|product| format!("{} {}", product.title, product.summary));
        let tokenizer = Tokenizer::train_word_piece(texts, Bert::default().vocab_size)?;
        Ok(Source { products, tokenizer })
    }

    /// Writes the model and the inputs of a piece of work into a folder.
    pub(crate) fn prepare(&self, work: Work, folder: &Path) -> Result<()> {
        let inputs = match work {
            Work::StudentTrain128 => fixed(2, 32, 1),
            Work::StudentScore128 | Work::StudentScore128Bf16 | Work::StudentScore128Int8 => fixed(4, 32, 1),
            Work::StudentLatency1 => fixed(REQUESTS, 1, 1),
            Work::StudentLatency10 => fixed(REQUESTS, 10, 1),
            Work::StudentLatency50 => fixed(REQUESTS, 50, 1),
            Work::TeacherCpt => fixed(2, 16, 1),
            Work::TeacherRank => fixed(2, 32, 16),
            Work::StudentTrainReal => self.pairs(8, 32, 1)?,
            Work::StudentScoreReal => self.pairs(32, 32, 1)?,
            Work::TeacherScore => self.pairs(6, 50, 50)?,
            Work::SmolLm2Rank | Work::SmolLm2Lora => self.pairs(2, 16, 8)?,
            Work::SmolLm2Score => self.pairs(2, 50, 50)?,
            Work::Decoder1bScoreBf16 | Work::Decoder1bScoreInt8 => random(2, 8, 1, 128..=256),
        };
        write(&folder.join(INPUTS_FILE), &serde_json::to_string(&inputs)?)?;
        let head = if work == Work::TeacherCpt { Head::LanguageModel } else { Head::Score };
        let Some(llama) = llama(work.shape()) else {
            let settings = Settings { scoring: scoring(), standardisation: None };
            let ranker = Model::new(Arc::new(mini_lm()), head, SEED)?;
            save_ranker(folder, &ranker, &self.tokenizer, &settings, "A student to measure.")?;
            return Ok(());
        };
        let model = Model::new(Arc::new(llama), head, SEED)?;
        let config: Value = model.config_json()?;
        write(&folder.join("config.json"), &serde_json::to_string_pretty(&config)?)?;
        model.params().save(&folder.join("model.safetensors"))?;
        Ok(())
    }

    /// Batches of lists: each the same query with products of which the first is its own.
    fn pairs(&self, batches: usize, size: usize, list_size: usize) -> Result<Inputs> {
        let mut rng = stream(SEED, "pairs", 0);
        let scoring = scoring();
        let pairs = PairTokenizer::new(&self.tokenizer, &scoring)?;
        let mut inputs = Inputs { batches: Vec::new(), list_size, loss_start: 0, texts: Vec::new() };
        for _ in 0..batches {
            let mut batch = Batch { ids: Vec::new(), types: Vec::new(), targets: Vec::new() };
            for _ in 0..size / list_size {
                let query = &self.products[rng.random_range(0..self.products.len())];
                let others = (1..list_size).map(|_| &self.products[rng.random_range(0..self.products.len())]);
                for product in std::iter::once(query).chain(others.collect::<Vec<_>>()) {
                    let texts = Texts { query: &query.query, title: &product.title, summary: &product.summary };
                    let sequence = pairs.encode(&texts)?;
                    batch.ids.push(sequence.ids);
                    batch.types.push(sequence.type_ids);
                    batch.targets.push(rng.random_range(-1.0..1.0));
                    inputs.texts.push((texts.query(), texts.document()));
                }
            }
            inputs.batches.push(batch);
        }
        Ok(inputs)
    }
}

/// Batches of 128 random tokens; targets are grades.
fn fixed(batches: usize, size: usize, list_size: usize) -> Inputs {
    random(batches, size, list_size, 128..=128)
}

/// Batches of random tokens; targets are grades.
fn random(batches: usize, size: usize, list_size: usize, lengths: RangeInclusive<usize>) -> Inputs {
    let mut rng = stream(SEED, "random", 0);
    let loss_start = lengths.start() / 8;
    let mut batch = || {
        let lengths: Vec<usize> = (0..size).map(|_| rng.random_range(lengths.clone())).collect();
        Batch {
            ids: lengths.iter().map(|&length| (0..length).map(|_| rng.random_range(5..30_000)).collect()).collect(),
            types: lengths
                .iter()
                .map(|&length| (0..length).map(|index| u32::from(2 * index >= length)).collect())
                .collect(),
            targets: (0..size).map(|_| (rng.next_u32() % 5) as f32).collect(),
        }
    };
    let batches = (0..batches).map(|_| batch()).collect();
    Inputs { batches, list_size, loss_start, texts: Vec::new() }
}

/// How the student scores.
pub(crate) fn scoring() -> Scoring {
    let (max_query_tokens, max_document_tokens) = (MAX_QUERY_TOKENS, MAX_DOCUMENT_TOKENS);
    Scoring::of(Kind::Encoder, Window::Fields { max_query_tokens, max_document_tokens })
}

/// The shape of MiniLM-L6-H384 (arXiv 2002.10957).
fn mini_lm() -> Bert {
    Bert { hidden_size: 384, intermediate_size: 1536, num_hidden_layers: 6, num_attention_heads: 12, ..Bert::default() }
}

/// The configuration of a decoder.
fn llama(shape: Shape) -> Option<Llama> {
    let small = Llama {
        hidden_size: 512,
        intermediate_size: 1376,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        vocab_size: 32_000,
        pad_token_id: Some(0),
        ..Llama::default()
    };
    match shape {
        Shape::MiniLm => None,
        Shape::SmallLlama => Some(small),
        Shape::SmolLm2 => Some(Llama {
            hidden_size: 576,
            intermediate_size: 1536,
            num_hidden_layers: 30,
            num_attention_heads: 9,
            num_key_value_heads: Some(3),
            vocab_size: 49_152,
            tie_word_embeddings: true,
            ..small
        }),
        Shape::Decoder1b => Some(Llama {
            hidden_size: 2048,
            intermediate_size: 5632,
            num_hidden_layers: 22,
            num_attention_heads: 32,
            num_key_value_heads: Some(4),
            ..small
        }),
    }
}
