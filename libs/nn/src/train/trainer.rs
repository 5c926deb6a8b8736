//! The training loop of every phase: continued pre-training, rank losses, distillation.

use std::ops::Range;
use std::path::Path;
use std::time::Instant;

use super::checkpoint::{self, Best, Checkpoint, Progress, Snapshot};
use super::data_parallel::Gradients;
use super::optimizer::{AdamW, AdamWConfig};
use super::schedule::{Decay, Schedule};
use crate::error::{Error, Result};
use crate::weights::Params;

/// Scores that differ by less than this share of their size do not order anything: they differ by the rounding of `f32`.
/// Those of a model before its first step differ more, by 1e-5 and up.
const COLLAPSE_SPREAD: f64 = 2e-6;
/// How often a run looks at its scores.
const SPREAD_CHECKS: usize = 10;
/// Looks in a row at such scores that end a run: a model may start with nearly equal ones.
const COLLAPSE_CHECKS: usize = 2;

/// How to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainConfig {
    /// Optimizer steps.
    pub steps: usize,
    /// Batches whose mean gradient makes one optimizer step, at least 1.
    pub accumulation_steps: usize,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Part of the steps over which the learning rate rises, 0 to 1.
    pub warmup_fraction: f64,
    /// What the learning rate does after the warmup.
    pub decay: Decay,
    /// See [`AdamWConfig::weight_decay`].
    pub weight_decay: f64,
    /// See [`AdamWConfig::max_grad_norm`].
    pub max_grad_norm: Option<f64>,
    /// Validation after every so many steps and after the last; `None` never validates and keeps the last weights.
    pub validate_every: Option<usize>,
    /// Validations in a row without a new best that end the run early; `None` never does.
    pub patience: Option<usize>,
    /// The validation of the weights that the run starts from, where it is known: they are the best so far.
    pub start_validation: Option<f64>,
    /// Share of the steps, the last ones, after each of which the weights join an average. The average, from its first step on,
    /// is what is validated and what the run ends with (stochastic weight averaging, arXiv 1803.05407, over every step). 0 ends
    /// with the weights themselves.
    pub average_last: f64,
    /// True to go on, and to end well, where all documents of a list get the same score.
    pub accept_collapse: bool,
}

impl TrainConfig {
    /// The learning rate of each step.
    pub fn schedule(&self) -> Schedule {
        Schedule {
            warmup_steps: (self.warmup_fraction * self.steps as f64).round() as usize,
            total_steps: self.steps,
            peak: self.learning_rate,
            decay: self.decay,
        }
    }

    /// True if the weights after `step` steps are averaged.
    fn averages(&self, step: usize) -> bool {
        let averaged = (self.average_last * self.steps as f64).round() as usize;
        step + averaged > self.steps
    }

    fn check(&self) -> Result<()> {
        let refuse = |what: &str, found: &dyn std::fmt::Display, expected: &str| {
            Err(Error::Training(format!("{what} = {found}: expected {expected}")))
        };
        if self.steps == 0 {
            return refuse("steps", &self.steps, "at least 1");
        }
        if self.accumulation_steps == 0 {
            return refuse("accumulation_steps", &self.accumulation_steps, "at least 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return refuse("learning_rate", &self.learning_rate, "a positive number");
        }
        if !(0.0..=1.0).contains(&self.warmup_fraction) {
            return refuse("warmup_fraction", &self.warmup_fraction, "a number from 0 to 1");
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay * self.learning_rate < 1.0) {
            return refuse("weight_decay", &self.weight_decay, "0 or more, and less than 1 / learning_rate");
        }
        if let Some(most) = self.max_grad_norm.filter(|most| most.is_nan() || *most <= 0.0) {
            return refuse("max_grad_norm", &most, "a positive number");
        }
        if !(0.0..=1.0).contains(&self.average_last) {
            return refuse("average_last", &self.average_last, "a number from 0 to 1");
        }
        if self.validate_every == Some(0) {
            return refuse("validate_every", &0, "at least 1");
        }
        if self.patience == Some(0) || (self.patience.is_some() && self.validate_every.is_none()) {
            return refuse("patience", &"set", "at least 1, together with validate_every");
        }
        Ok(())
    }
}

/// Where and when the state of the run is saved.
#[derive(Clone, Copy, Debug)]
pub struct Checkpointing<'a> {
    /// The file. If it exists, the run goes on from it.
    pub path: &'a Path,
    /// Identifies all that decides the run: data, configuration, starting weights, code. A file of another run is refused.
    pub fingerprint: &'a str,
    /// Steps between two checkpoints, at least 1; the end of the run is kept too.
    pub every: usize,
}

/// What one batch computed.
#[derive(Debug)]
pub struct StepLoss {
    /// The loss and its gradient.
    pub gradients: Gradients,
    /// Parts of the loss by name, for the record.
    pub components: Vec<(&'static str, f64)>,
    /// Examples in the batch.
    pub examples: usize,
    /// Tokens in the batch.
    pub tokens: usize,
}

/// A training task. Its batches may depend on its own constants and the number of the batch alone, so that a run that goes
/// on from a checkpoint repeats what an undisturbed run does.
pub trait Task {
    /// All weights to train; called once.
    fn params(&self) -> Params;

    /// The loss of a batch, counted from 0.
    ///
    /// # Errors
    /// Data that cannot be read ([`Error::Caller`]), or a model that refuses it.
    fn step(&mut self, batch: usize) -> Result<StepLoss>;

    /// The validation value of the current weights, higher is better; `None` where there is nothing to validate on.
    ///
    /// # Errors
    /// As for [`Self::step`].
    fn validate(&mut self) -> Result<Option<f64>>;

    /// The share of the learning rate at which a weight is trained, above 0.
    fn rate_share(&self, weight: &str) -> f64 {
        let _ = weight;
        1.0
    }

    /// About how many bytes a step needs, see [`step_bytes`](super::step_bytes); `None` where nobody can say.
    ///
    /// # Errors
    /// As for [`Self::step`].
    fn memory(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    /// How much the current scores of the same few lists differ, without dropout, see [`spread`]; `None` where nothing is
    /// scored.
    ///
    /// # Errors
    /// As for [`Self::step`].
    fn spread(&mut self) -> Result<Option<f64>> {
        Ok(None)
    }
}

/// The record of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepReport {
    /// Steps taken, this one included. A run that goes on from a checkpoint reports the steps after it again.
    pub step: usize,
    /// The loss before the update.
    pub loss: f64,
    /// Parts of the loss by name.
    pub components: Vec<(&'static str, f64)>,
    /// The learning rate.
    pub learning_rate: f64,
    /// The norm of the gradient before clipping.
    pub grad_norm: f64,
    /// Examples in the step.
    pub examples: usize,
    /// Tokens in the step.
    pub tokens: usize,
    /// Wall time of the step without its validation, in seconds.
    pub seconds: f64,
    /// The validation value, where this step was followed by one.
    pub validation: Option<f64>,
    /// The spread of the scores of a few lists, where this step was followed by a look at them, see [`spread`].
    pub spread: Option<f64>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSummary {
    /// Steps taken.
    pub steps: usize,
    /// Steps that an earlier, interrupted run had taken.
    pub resumed_from: usize,
    /// The loss of the last step.
    pub loss: f64,
    /// The best validation; the weights left in the model are those it was reached with.
    pub best: Option<Best>,
    /// True if the patience ended the run before all steps were taken.
    pub stopped_early: bool,
    /// True if the scores of the weights left in the model do not order anything.
    pub collapsed: bool,
    /// Examples seen.
    pub examples: u64,
    /// Tokens seen.
    pub tokens: u64,
}

/// How much scores differ within their lists: the largest standard deviation of a list's scores, as a share of one more than
/// the mean size of a score. List `i` is `scores[offsets[i]..offsets[i + 1]]`.
pub fn spread(scores: &[f32], offsets: &[usize]) -> f64 {
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count.max(1) as f64;
    let size = mean(&mut scores.iter().map(|&score| f64::from(score.abs())), scores.len());
    let deviation = |list: &[f32]| {
        let center = mean(&mut list.iter().map(|&score| f64::from(score)), list.len());
        mean(&mut list.iter().map(|&score| (f64::from(score) - center).powi(2)), list.len()).sqrt()
    };
    let deviations = offsets.windows(2).map(|ends| deviation(&scores[ends[0]..ends[1]]));
    deviations.fold(0.0, f64::max) / (1.0 + size)
}

/// Trains until the steps or the patience run out, and leaves the best validated weights in the model, or the last ones, or
/// their average, if nothing was validated. `observer` gets each step before the checkpoint that holds it is written; its error ends the run.
///
/// An interrupted run goes on from its checkpoint to the same bits as an undisturbed one. Of several ranks, the first reads and
/// writes it.
///
/// # Errors
/// An impossible configuration, a checkpoint of another run, a loss, gradient or validation that is not finite, scores that
/// are the same for all documents of a list ([`Error::Collapsed`]), and what the task or the observer return.
pub fn train(
    config: &TrainConfig,
    task: &mut dyn Task,
    checkpointing: Option<&Checkpointing<'_>>,
    observer: &mut dyn FnMut(&StepReport) -> Result<()>,
) -> Result<TrainSummary> {
    config.check()?;
    let mut run = Run::start(config, task.params(), checkpointing)?;
    let resumed_from = run.progress.step;
    while !run.ended(config) {
        let report = run.step(config, task)?;
        observer(&report)?;
        if let Some(keep) = checkpointing
            && (run.progress.step.is_multiple_of(keep.every.max(1)) || run.ended(config))
        {
            run.save(keep)?;
        }
    }
    checkpoint::compare_ranks(&run.params, run.progress.step)?;
    if let Some(kept) = run.best_weights.as_ref().or(run.average.as_ref()) {
        checkpoint::restore(&run.params, kept)?;
    }
    let collapsed = task.spread()?.filter(|&spread| is_flat(spread));
    if let Some(spread) = collapsed.filter(|_| !config.accept_collapse) {
        return Err(Error::Collapsed { step: run.progress.step, spread });
    }
    Ok(TrainSummary {
        steps: run.progress.step,
        resumed_from,
        loss: run.progress.loss,
        best: run.progress.best,
        stopped_early: run.progress.step < config.steps,
        collapsed: collapsed.is_some(),
        examples: run.progress.examples,
        tokens: run.progress.tokens,
    })
}

/// The mean loss over batches. No more than two gradients are kept at a time.
fn mean_loss(task: &mut dyn Task, params: &Params, batches: Range<usize>) -> Result<StepLoss> {
    let share = 1.0 / batches.len() as f64;
    let mut total = task.step(batches.start)?;
    if batches.len() == 1 {
        return Ok(total);
    }
    for batch in batches.skip(1) {
        let next = task.step(batch)?;
        total.gradients = total.gradients.add(next.gradients, params)?;
        for ((_, total), (_, next)) in total.components.iter_mut().zip(next.components) {
            *total += next;
        }
        total.examples += next.examples;
        total.tokens += next.tokens;
    }
    total.gradients = total.gradients.scale(share, params)?;
    total.components.iter_mut().for_each(|(_, value)| *value *= share);
    Ok(total)
}

/// True if scores of this spread do not order anything; not a number is no order either.
fn is_flat(spread: f64) -> bool {
    spread.is_nan() || spread < COLLAPSE_SPREAD
}

struct Run {
    params: Params,
    schedule: Schedule,
    optimizer: AdamW,
    progress: Progress,
    /// The mean of the weights after the last steps, as many as the progress tells.
    average: Option<Snapshot>,
    best_weights: Option<Snapshot>,
}

impl Run {
    fn start(config: &TrainConfig, params: Params, checkpointing: Option<&Checkpointing<'_>>) -> Result<Self> {
        let schedule = config.schedule();
        let adamw = AdamWConfig {
            weight_decay: config.weight_decay,
            max_grad_norm: config.max_grad_norm,
            ..AdamWConfig::default()
        };
        let kept = checkpointing.map(|keep| Checkpoint::load_of_first(keep.path, keep.fingerprint));
        if let Some(kept) = kept.transpose()?.flatten() {
            let Checkpoint { progress, weights, moments, average, best_weights } = kept;
            checkpoint::restore(&params, &weights)?;
            let optimizer = AdamW::restore(adamw, progress.step, moments);
            return Ok(Self { params, schedule, optimizer, progress, average, best_weights });
        }
        let progress = Progress {
            step: 0,
            examples: 0,
            tokens: 0,
            loss: f64::NAN,
            averaged: 0,
            best: None,
            stale_validations: 0,
            flat_checks: 0,
        };
        let optimizer = AdamW::new(adamw, &params);
        let mut run = Self { params, schedule, optimizer, progress, average: None, best_weights: None };
        if let Some(value) = config.start_validation {
            run.judge(0, value)?;
        }
        Ok(run)
    }

    fn ended(&self, config: &TrainConfig) -> bool {
        let impatient = config.patience.is_some_and(|patience| self.progress.stale_validations >= patience);
        self.progress.step >= config.steps || impatient
    }

    fn step(&mut self, config: &TrainConfig, task: &mut dyn Task) -> Result<StepReport> {
        let started = Instant::now();
        let index = self.progress.step;
        let batches = index * config.accumulation_steps..(index + 1) * config.accumulation_steps;
        let StepLoss { gradients, components, examples, tokens } = mean_loss(task, &self.params, batches)?;
        let value = gradients.loss;
        if !value.is_finite() {
            return Err(Error::NonFinite { what: format!("the loss of step {}", index + 1), value });
        }
        let learning_rate = self.schedule.at(index);
        let rate_share = |weight: &str| task.rate_share(weight);
        let stats = self.optimizer.step(&self.params, &gradients.grads, learning_rate, &rate_share)?;
        let progress = &mut self.progress;
        progress.step += 1;
        progress.loss = value;
        progress.examples += examples as u64;
        progress.tokens += tokens as u64;
        self.join_average(config)?;
        let seconds = started.elapsed().as_secs_f64();
        let validation = self.validate(config, task)?;
        let spread = self.spread(config, task)?;
        Ok(StepReport {
            step: self.progress.step,
            loss: value,
            components,
            learning_rate,
            grad_norm: stats.grad_norm,
            examples,
            tokens,
            seconds,
            validation,
            spread,
        })
    }

    /// Adds the weights to their average where that has begun.
    fn join_average(&mut self, config: &TrainConfig) -> Result<()> {
        if !config.averages(self.progress.step) {
            return Ok(());
        }
        let weights = checkpoint::snapshot(&self.params)?;
        self.progress.averaged += 1;
        match &mut self.average {
            Some(average) => checkpoint::move_towards(average, &weights, 1.0 / self.progress.averaged as f32),
            None => self.average = Some(weights),
        }
        Ok(())
    }

    /// Validates where a validation is due and keeps the best weights; a tie keeps the earlier ones. What is validated is what
    /// the run would end with: the average, where that has begun.
    fn validate(&mut self, config: &TrainConfig, task: &mut dyn Task) -> Result<Option<f64>> {
        let step = self.progress.step;
        let due = config.validate_every.is_some_and(|every| step.is_multiple_of(every) || step == config.steps);
        if !due {
            return Ok(None);
        }
        let Some(average) = &self.average else {
            let value = task.validate()?;
            return value.map(|value| self.judge(step, value)).transpose();
        };
        let own = checkpoint::snapshot(&self.params)?;
        checkpoint::restore(&self.params, average)?;
        let value = task.validate()?;
        let value = value.map(|value| self.judge(step, value)).transpose()?;
        checkpoint::restore(&self.params, &own)?;
        Ok(value)
    }

    /// Keeps the weights in the model if `value` is the best validation so far.
    fn judge(&mut self, step: usize, value: f64) -> Result<f64> {
        // Patience and the best weights are the same on all ranks.
        let value = group::number_of_first(value);
        if !value.is_finite() {
            return Err(Error::NonFinite { what: format!("the validation after step {step}"), value });
        }
        if self.progress.best.is_none_or(|best| value > best.value) {
            self.progress.best = Some(Best { step, value });
            self.progress.stale_validations = 0;
            self.best_weights = Some(checkpoint::snapshot(&self.params)?);
        } else {
            self.progress.stale_validations += 1;
        }
        Ok(value)
    }

    /// Looks at the scores where that is due, and ends a run whose model has become a constant.
    fn spread(&mut self, config: &TrainConfig, task: &mut dyn Task) -> Result<Option<f64>> {
        let step = self.progress.step;
        if !step.is_multiple_of(config.steps.div_ceil(SPREAD_CHECKS)) {
            return Ok(None);
        }
        let Some(spread) = task.spread()? else { return Ok(None) };
        self.progress.flat_checks = if is_flat(spread) { self.progress.flat_checks + 1 } else { 0 };
        if self.progress.flat_checks >= COLLAPSE_CHECKS && !config.accept_collapse {
            return Err(Error::Collapsed { step, spread });
        }
        Ok(Some(spread))
    }

    fn save(&self, keep: &Checkpointing<'_>) -> Result<()> {
        checkpoint::compare_ranks(&self.params, self.progress.step)?;
        if !group::is_first() {
            return Ok(());
        }
        let state = Checkpoint {
            progress: self.progress.clone(),
            weights: checkpoint::snapshot(&self.params)?,
            moments: self.optimizer.moments().clone(),
            average: self.average.clone(),
            best_weights: self.best_weights.clone(),
        };
        state.save(keep.path, keep.fingerprint)
    }
}
