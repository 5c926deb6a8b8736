//! This project's side of a measurement.

use std::io::{BufRead, Write};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use nn::cross_encoder::{CrossEncoder, Execution, score_sequences};
use nn::models::{Head, Model, read_config};
use nn::ops::Precision;
use nn::text::{Packed, PairTokenizer, Sequence, Texts, Tokenizer};
use nn::train::{AdamW, AdamWConfig, Gradients, Passes, prediction_gradients, score_gradients};
use nn::weights::{LoraConfig, Mode, Params};
use ranking::loss::{Logistic, Loss, LossError, LossValue, PointwiseMse};
use serde::Serialize;
use serde_json::Value;

use crate::inputs::{Batch, Inputs, SEED, scoring};
use crate::side::{Ready, Round};
use crate::work::Work;

const LORA_RANK: usize = 16;
const LEARNING_RATE: f64 = 2e-5;
/// Tokens scored at a time: those of 32 sequences of 128.
const TOKEN_BUDGET: usize = 4096;

/// Answers every line of stdin with a round.
pub(crate) fn run(work: Work, folder: &Path, precision: Precision) -> Result<()> {
    models::keep_freed_memory();
    let inputs = Inputs::read(folder)?;
    let config_path = folder.join("config.json");
    let config = std::fs::read(&config_path).with_context(|| config_path.display().to_string())?;
    let model = Trainee::load(work, folder, &serde_json::from_slice(&config)?, precision)?;
    say(&Ready { check: model.check(&inputs, precision)? })?;
    let mut step = Step::of(work, model, inputs, folder)?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let started = Instant::now();
        let requests = step.round(precision)?;
        say(&Round { seconds: started.elapsed().as_secs_f64(), peak_bytes: peak_bytes()?, requests })?;
    }
    Ok(())
}

/// Answers with a line of JSON.
pub(crate) fn say(answer: &impl Serialize) -> Result<()> {
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

/// A model and the kind of work it does.
enum Trainee {
    Ranker(Model),
    Language(Model),
}

impl Trainee {
    fn load(work: Work, folder: &Path, config: &Value, precision: Precision) -> Result<Trainee> {
        let weights = [folder.join("model.safetensors")];
        let trains_nothing = work.only_scores() || work.is_latency() || work == Work::StudentScoreReal;
        if trains_nothing && precision.rounds_once() {
            let stored = Model::load_to_round(read_config(config)?, Head::Score, &weights)?;
            return Ok(Trainee::Ranker(stored.rounded(precision)?));
        }
        let load = |head| Model::load(read_config(config)?, head, &weights, None);
        Ok(match work {
            Work::TeacherCpt => Trainee::Language(load(Head::LanguageModel)?),
            Work::SmolLm2Lora => {
                let targets = vec!["all-linear".to_owned()];
                let lora = LoraConfig { rank: LORA_RANK, alpha: 2.0 * LORA_RANK as f64, dropout: 0.0, targets };
                Trainee::Ranker(load(Head::Score)?.with_lora(&lora, SEED)?)
            }
            _ => Trainee::Ranker(load(Head::Score)?),
        })
    }

    /// Scores of the first batch, or its loss.
    fn check(&self, inputs: &Inputs, precision: Precision) -> Result<Vec<f64>> {
        let batch = &inputs.batches[0];
        match self {
            Trainee::Ranker(ranker) => {
                let scores = score_sequences(ranker, &sequences(batch), execution(precision))?;
                Ok(scores.into_iter().map(f64::from).collect())
            }
            Trainee::Language(model) => {
                let starts = vec![inputs.loss_start; batch.ids.len()];
                let loss =
                    model.next_token_loss(&Packed::from_sequences(&batch.ids)?, &starts, Mode::Eval(precision))?;
                Ok(vec![f64::from(loss.to_scalar::<f32>()?)])
            }
        }
    }
}

fn sequences(batch: &Batch) -> Vec<Sequence> {
    let pairs = batch.ids.iter().zip(&batch.types);
    pairs
        .map(|(ids, types)| Sequence { ids: ids.clone(), type_ids: types.clone(), query: 0..0, document: 0..ids.len() })
        .collect()
}

/// What a round does.
enum Step {
    Train(Box<Training>),
    Score {
        ranker: Model,
        sequences: Vec<Sequence>,
    },
    /// Requests in turn.
    Serve {
        ranker: Model,
        requests: Vec<Vec<Sequence>>,
    },
    ScoreTexts {
        ranker: Model,
        tokenizer: Tokenizer,
        texts: Vec<(String, String)>,
    },
}

impl Step {
    fn of(work: Work, model: Trainee, inputs: Inputs, folder: &Path) -> Result<Step> {
        Ok(match (work, model) {
            (Work::StudentScoreReal, Trainee::Ranker(ranker)) => Step::ScoreTexts {
                ranker: ranker.for_scoring(),
                tokenizer: Tokenizer::load(folder)?,
                texts: inputs.texts,
            },
            (work, Trainee::Ranker(ranker)) if work.only_scores() => Step::Score {
                ranker: ranker.for_scoring(),
                sequences: inputs.batches.iter().flat_map(sequences).collect(),
            },
            (work, Trainee::Ranker(ranker)) if work.is_latency() => {
                Step::Serve { ranker: ranker.for_scoring(), requests: inputs.batches.iter().map(sequences).collect() }
            }
            (_, model) => {
                let params = match &model {
                    Trainee::Ranker(ranker) => ranker.params().trained(),
                    Trainee::Language(llama) => llama.params().trained(),
                };
                let optimizer = AdamW::new(AdamWConfig::default(), &params);
                let batches = inputs.batches.iter().map(sequences).collect();
                Step::Train(Box::new(Training { model, params, optimizer, inputs, batches, steps: 0 }))
            }
        })
    }

    /// The times of the requests, where the work is requests in turn.
    fn round(&mut self, precision: Precision) -> Result<Vec<f64>> {
        match self {
            Step::Serve { ranker, requests } => {
                let serve = |request: &Vec<Sequence>| {
                    let started = Instant::now();
                    score_sequences(ranker, request, execution(precision))?;
                    Ok(started.elapsed().as_secs_f64())
                };
                return requests.iter().map(serve).collect();
            }
            Step::Train(training) => training.round(precision)?,
            Step::Score { ranker, sequences } => drop(score_sequences(ranker, sequences, execution(precision))?),
            Step::ScoreTexts { ranker, tokenizer, texts } => {
                let pairs = PairTokenizer::new(tokenizer, &scoring())?;
                let texts: Vec<Texts<'_>> =
                    texts.iter().map(|(query, title)| Texts { query, title, summary: "" }).collect();
                CrossEncoder::new(ranker, &pairs, execution(precision)).score(&texts)?;
            }
        }
        Ok(Vec::new())
    }
}

/// Optimizer steps, with dropout as the model has it.
struct Training {
    model: Trainee,
    /// Those of the model that are trained.
    params: Params,
    optimizer: AdamW,
    inputs: Inputs,
    batches: Vec<Vec<Sequence>>,
    steps: u64,
}

impl Training {
    fn round(&mut self, precision: Precision) -> Result<()> {
        let Self { model, params, optimizer, inputs, batches, steps } = self;
        for (batch, sequences) in inputs.batches.iter().zip(batches) {
            *steps += 1;
            let passes = passes(*steps, precision);
            let gradients = match model {
                Trainee::Ranker(ranker) => {
                    score_gradients(ranker, sequences, passes, |scores: &[f32]| score_loss(inputs, batch, scores))?.1
                }
                Trainee::Language(llama) => language_gradients(llama, inputs, batch, passes)?,
            };
            optimizer.step(params, &gradients.grads, LEARNING_RATE, &|_| 1.0)?;
        }
        Ok(())
    }
}

fn execution(precision: Precision) -> Execution {
    Execution { precision, batch_tokens: TOKEN_BUDGET }
}

fn passes(dropout_seed: u64, precision: Precision) -> Passes {
    Passes { dropout_seed, checkpoint_layers: false, precision }
}

/// The squared error, or, within lists, the pair-wise logistic loss.
fn score_loss(inputs: &Inputs, batch: &Batch, scores: &[f32]) -> Result<LossValue, LossError> {
    let loss = match inputs.list_size {
        1 => Loss::PointwiseMse(PointwiseMse {}),
        _ => Loss::Logistic(Logistic {}),
    };
    let offsets: Vec<usize> = (0..=scores.len()).step_by(inputs.list_size).collect();
    Ok(loss.compute(scores, &batch.targets, &offsets)?.total)
}

fn language_gradients(llama: &Model, inputs: &Inputs, batch: &Batch, passes: Passes) -> nn::Result<Gradients> {
    let lengths: Vec<usize> = batch.ids.iter().map(Vec::len).collect();
    let predictions: Vec<usize> = lengths.iter().map(|length| length - inputs.loss_start).collect();
    prediction_gradients(llama.params(), &lengths, &predictions, passes, |range, mode| {
        let starts = vec![inputs.loss_start; range.len()];
        llama.next_token_loss(&Packed::from_sequences(&batch.ids[range])?, &starts, mode)
    })
}
