//! This project's side of a measurement.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use nn::config::{Head, LlamaConfig};
use nn::llama::Llama;
use nn::model::{Mode, Ranker};
use nn::optimizer::{AdamW, AdamWConfig};
use nn::packed::Packed;
use nn::precision::Precision;
use nn::scoring::score_sequences;
use nn::shards::{Gradients, Passes, prediction_gradients, score_gradients};
use nn::text::{Encoder, Sequence, Texts};
use nn::tokenizer::Tokenizer;
use ranking::loss::{LossError, LossValue, pairwise_logistic, pointwise_mse};
use serde::Serialize;
use serde_json::Value;

use crate::inputs::{Batch, Inputs, scoring};
use crate::side::{Ready, Round};
use crate::work::Work;

const LEARNING_RATE: f64 = 2e-5;
/// Tokens scored at a time: those of 32 sequences of 128.
const TOKEN_BUDGET: usize = 4096;

/// Answers every line of stdin with a round.
pub(crate) fn run(work: Work, folder: &Path, precision: Precision) -> Result<()> {
    training::keep_freed_memory();
    let inputs = Inputs::read(folder)?;
    let config_path = folder.join("config.json");
    let config = std::fs::read(&config_path).with_context(|| config_path.display().to_string())?;
    let model = Model::load(work, folder, &serde_json::from_slice(&config)?)?;
    say(&Ready { check: model.check(&inputs, precision)? })?;
    let mut step = Step::of(work, model, inputs, folder)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        step.round(precision)?;
        say(&Round { seconds: started.elapsed().as_secs_f64(), peak_bytes: peak_bytes()? })?;
    }
    Ok(())
}

fn say(answer: &impl Serialize) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{}", serde_json::to_string(answer)?)?;
    Ok(stdout.flush()?)
}

/// The highest resident memory of this process.
pub(crate) fn peak_bytes() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status: needs Linux")?;
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    peak.map(|kib: u64| kib * 1024).context("/proc/self/status: no VmHWM")
}

enum Model {
    Ranker(Ranker),
    Language(Llama),
}

impl Model {
    fn load(work: Work, folder: &Path, config: &Value) -> Result<Model> {
        let weights = [folder.join("model.safetensors")];
        Ok(match work {
            Work::TeacherCpt => {
                Model::Language(Llama::load(LlamaConfig::from_json(config)?, Head::LanguageModel, &weights)?)
            }
            _ => Model::Ranker(Ranker::load(config, &weights)?),
        })
    }

    /// Scores of the first batch, or its loss.
    fn check(&self, inputs: &Inputs, precision: Precision) -> Result<Vec<f64>> {
        let batch = &inputs.batches[0];
        match self {
            Model::Ranker(ranker) => {
                let scores = score_sequences(ranker, &sequences(batch), TOKEN_BUDGET, precision)?;
                Ok(scores.into_iter().map(f64::from).collect())
            }
            Model::Language(model) => {
                let starts = vec![inputs.loss_start; batch.ids.len()];
                let loss = model.lm_loss(&Packed::from_sequences(&batch.ids)?, &starts, Mode::Eval(precision))?;
                Ok(vec![f64::from(loss.to_scalar::<f32>()?)])
            }
        }
    }
}

fn sequences(batch: &Batch) -> Vec<Sequence> {
    let pairs = batch.ids.iter().zip(&batch.types);
    pairs.map(|(ids, types)| Sequence { ids: ids.clone(), type_ids: types.clone(), document: 0..ids.len() }).collect()
}

/// What a round does.
enum Step {
    Train { model: Model, optimizer: AdamW, inputs: Inputs, batches: Vec<Vec<Sequence>>, steps: u64 },
    Score { ranker: Ranker, sequences: Vec<Sequence> },
    ScoreTexts { ranker: Ranker, tokenizer: Box<Tokenizer>, texts: Vec<(String, String)> },
}

impl Step {
    fn of(work: Work, model: Model, inputs: Inputs, folder: &Path) -> Result<Step> {
        Ok(match (work, model) {
            (Work::StudentScoreReal, Model::Ranker(ranker)) => {
                Step::ScoreTexts { ranker, tokenizer: Box::new(Tokenizer::load(folder)?), texts: inputs.texts }
            }
            (Work::StudentScore128 | Work::TeacherScore, Model::Ranker(ranker)) => {
                Step::Score { ranker, sequences: inputs.batches.iter().flat_map(sequences).collect() }
            }
            (_, model) => {
                let params = match &model {
                    Model::Ranker(ranker) => ranker.params(),
                    Model::Language(llama) => llama.params(),
                };
                let optimizer = AdamW::new(AdamWConfig::default(), params);
                let batches = inputs.batches.iter().map(sequences).collect();
                Step::Train { model, optimizer, inputs, batches, steps: 0 }
            }
        })
    }

    fn round(&mut self, precision: Precision) -> Result<()> {
        match self {
            Step::Train { model, optimizer, inputs, batches, steps } => {
                for (batch, sequences) in inputs.batches.iter().zip(batches) {
                    *steps += 1;
                    train(model, optimizer, inputs, (batch, sequences), passes(*steps, precision))?;
                }
            }
            Step::Score { ranker, sequences } => drop(score_sequences(ranker, sequences, TOKEN_BUDGET, precision)?),
            Step::ScoreTexts { ranker, tokenizer, texts } => {
                let scoring = scoring();
                let encoder = Encoder::new(tokenizer, &scoring)?;
                let texts: Vec<Texts<'_>> =
                    texts.iter().map(|(query, title)| Texts { query, title, summary: "" }).collect();
                score_sequences(ranker, &encoder.encode_batch(&texts)?, TOKEN_BUDGET, precision)?;
            }
        }
        Ok(())
    }
}

/// One optimizer step, with dropout as the model has it.
fn train(
    model: &Model,
    optimizer: &mut AdamW,
    inputs: &Inputs,
    (batch, sequences): (&Batch, &[Sequence]),
    passes: Passes,
) -> Result<()> {
    let (params, gradients) = match model {
        Model::Ranker(ranker) => {
            let loss = |scores: &[f32]| score_loss(inputs, batch, scores);
            (ranker.params(), score_gradients(ranker, sequences, passes, loss)?.1)
        }
        Model::Language(llama) => (llama.params(), language_gradients(llama, inputs, batch, passes)?),
    };
    optimizer.step(params, &gradients.grads, LEARNING_RATE)?;
    Ok(())
}

fn passes(dropout_seed: u64, precision: Precision) -> Passes {
    Passes { dropout_seed, checkpoint_layers: false, precision }
}

/// The squared error, or, within lists, the pair-wise logistic loss.
fn score_loss(inputs: &Inputs, batch: &Batch, scores: &[f32]) -> Result<LossValue, LossError> {
    if inputs.list_size == 1 {
        return pointwise_mse(scores, &batch.targets);
    }
    let offsets: Vec<usize> = (0..=scores.len()).step_by(inputs.list_size).collect();
    pairwise_logistic(scores, &batch.targets, &offsets)
}

fn language_gradients(llama: &Llama, inputs: &Inputs, batch: &Batch, passes: Passes) -> nn::Result<Gradients> {
    let lengths: Vec<usize> = batch.ids.iter().map(Vec::len).collect();
    let predictions: Vec<usize> = lengths.iter().map(|length| length - inputs.loss_start).collect();
    prediction_gradients(llama.params(), &lengths, &predictions, passes, |range, mode| {
        let starts = vec![inputs.loss_start; range.len()];
        llama.lm_loss(&Packed::from_sequences(&batch.ids[range])?, &starts, mode)
    })
}
