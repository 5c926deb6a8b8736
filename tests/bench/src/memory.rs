//! What low-rank updates and layers computed again save: the peak memory of the same training steps with and without them,
//! each in a process of its own.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use nn::models::{Bert, Head, Llama, Model};
use nn::ops::Precision;
use nn::text::{Kind, Sequence};
use nn::train::{AdamW, AdamWConfig, Passes, score_gradients};
use nn::weights::LoraConfig;
use ranking::loss::{Loss, LossError, PointwiseMse};
use ranking::rng::number;
use serde_json::json;

use crate::record::{self, Comparison};
use crate::{peers, worker};

/// Steps of a measurement: buffers reach their peak in the second.
const STEPS: u64 = 3;

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Memory {
    /// The pipeline whose run the results are added to, as table `benchmarks`
    #[arg(long, default_value = "pipeline.toml", value_name = "FILE")]
    config: PathBuf,
}

/// A way to train; the two of a pair share model and batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Training {
    /// A decoder of 8 layers, all weights.
    Full,
    /// The same, by updates of low rank on every linear layer.
    Lora,
    /// An encoder of 12 layers, each kept for the backward pass.
    Kept,
    /// The same, each computed again.
    Checkpointed,
}

/// (name, saving, without it)
const PAIRS: [(&str, Training, Training); 2] =
    [("lora", Training::Lora, Training::Full), ("gradient-checkpointing", Training::Checkpointed, Training::Kept)];

impl Memory {
    /// Measures, prints a table and adds it to the run's.
    pub(crate) fn run(&self) -> Result<()> {
        let run = pipeline::config::load(&self.config, &[])?.paths().run_dir();
        let mut comparisons = Vec::new();
        for (name, saving, plain) in PAIRS {
            comparisons.push(Comparison {
                work: name.to_owned(),
                quantity: "peak_bytes",
                peer: format!("disranker, {}", plain.name()),
                precision: "f32".to_owned(),
                threads: std::thread::available_parallelism().context("counting cores")?.get(),
                rounds: vec![(saving.measure()?, plain.measure()?)],
            });
        }
        println!("{}", peers::table(&comparisons));
        record::append(&run, &comparisons, json!({ "steps": STEPS }))?;
        Ok(())
    }
}

impl Training {
    fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Trains in a process of its own: its peak memory in bytes.
    fn measure(self) -> Result<f64> {
        let program = std::env::current_exe().context("finding this program")?;
        let output = Command::new(program).args(["train", &self.name()]).output().context("starting a training")?;
        if !output.status.success() {
            bail!("{}: {}", self.name(), String::from_utf8_lossy(&output.stderr));
        }
        let bytes = String::from_utf8_lossy(&output.stdout);
        bytes.trim().parse().with_context(|| format!("{}: expected a number of bytes, found `{bytes}`", self.name()))
    }

    fn model(self) -> Result<Model> {
        Ok(match self {
            Training::Full | Training::Lora => {
                let config = Llama {
                    vocab_size: 8192,
                    hidden_size: 512,
                    intermediate_size: 1408,
                    num_hidden_layers: 8,
                    num_attention_heads: 8,
                    max_position_embeddings: 128,
                    ..Llama::default()
                };
                Model::new(Arc::new(config), Head::Score, 1)?
            }
            Training::Kept | Training::Checkpointed => {
                let config = Bert {
                    vocab_size: 8192,
                    hidden_size: 384,
                    intermediate_size: 1536,
                    num_hidden_layers: 12,
                    num_attention_heads: 12,
                    max_position_embeddings: 128,
                    ..Bert::default()
                };
                Model::new(Arc::new(config), Head::Score, 1)?
            }
        })
    }

    /// Takes a few steps on sequences of 128 tokens, a list of 8 for the decoder and 32 for the encoder, and prints the
    /// process's peak memory.
    pub(crate) fn run(self) -> Result<()> {
        // As every training phase.
        models::keep_freed_memory();
        let mut ranker = self.model()?;
        if self == Training::Lora {
            let targets = vec!["all-linear".to_owned()];
            ranker = ranker.with_lora(&LoraConfig { rank: 8, alpha: 16.0, dropout: 0.0, targets }, 1)?;
        }
        let count = if ranker.backbone().kind() == Kind::Decoder { 8 } else { 32 };
        let ids =
            |sequence: u64| (0..128).map(|place| (number(sequence, "id", place) % 8192) as u32).collect::<Vec<_>>();
        let sequences: Vec<Sequence> = (0..count)
            .map(|sequence| Sequence { ids: ids(sequence), type_ids: vec![0; 128], query: 0..0, document: 0..128 })
            .collect();
        let targets: Vec<f32> = (0..count).map(|sequence| (sequence % 5) as f32).collect();
        let trained = ranker.params().trained();
        let mut optimizer = AdamW::new(AdamWConfig::default(), &trained);
        for dropout_seed in 0..STEPS {
            let passes =
                Passes { dropout_seed, checkpoint_layers: self == Training::Checkpointed, precision: Precision::F32 };
            let offsets = [0, targets.len()];
            let loss = |scores: &[f32]| {
                let output = Loss::PointwiseMse(PointwiseMse {}).compute(scores, &targets, &offsets)?;
                Ok::<_, LossError>(output.total)
            };
            let (_, gradients) = score_gradients(&ranker, &sequences, passes, loss)?;
            optimizer.step(&trained, &gradients.grads, 1e-4, &|_| 1.0)?;
        }
        println!("{}", worker::peak_bytes()?);
        Ok(())
    }
}
