//! One training phase of a stage: the loop of `nn`, with log, progress and checkpoint.

use std::path::{Path, PathBuf};

use anyhow::Context;
use models::{gibibytes, keep_freed_memory, machine_bytes};
use nn::ops::Precision;
use nn::train::checkpoint::{Checkpoint, Made};
use nn::train::{Checkpointing, Decay, Passes, StepReport, Task, TrainConfig, TrainSummary, parts_at_once, train};
use pipeline::config::{ScheduleKind, TrainingConfig};
use pipeline::{BadInput, ConfigError, StageContext};
use ranking::rng::number;

use crate::TrainingLog;

/// Steps between two appends to the log, without checkpoints.
const FLUSH_EVERY: usize = 50;

/// A named training of a stage.
#[derive(Debug, Clone, Copy)]
pub struct Phase<'a> {
    /// Name in the log and of the checkpoint.
    pub name: &'a str,
    /// The table of the configuration that it is from, for messages.
    pub table: &'a str,
    /// How to train.
    pub config: &'a TrainingConfig,
    /// What a validation's value is called in the log.
    pub validation: &'a str,
    /// The validation of the weights that it starts from, where it is known: they are kept where no later ones are better.
    pub start_validation: Option<f64>,
    /// A digest of what decides its result, where that is less than all of the stage's configuration and inputs: a checkpoint then
    /// stays good while the rest changes.
    pub made_from: Option<&'a str>,
}

/// Trains `task` to its end, resuming from the phase's checkpoint if an interrupted run left one. A checkpoint of other data
/// or another configuration is set aside, and the training starts anew.
///
/// # Errors
/// [`BadInput`] for a damaged checkpoint; a training that diverges, or whose model gives all documents of a list the same
/// score, with the rate it had; a disk that is full.
pub fn train_phase(
    context: &mut StageContext,
    log: &mut TrainingLog,
    phase: &Phase<'_>,
    task: &mut dyn Task,
) -> anyhow::Result<TrainSummary> {
    keep_freed_memory();
    let Phase { name, config, validation, .. } = *phase;
    let path = context.out().join(format!("{name}.checkpoint"));
    let fingerprint = phase.made_from.unwrap_or(context.fingerprint()).to_string();
    set_aside(context, log, &path, (name, &fingerprint))?;
    check_memory(phase, task)?;
    let checkpointing = Checkpointing { path: &path, fingerprint: &fingerprint, every: config.checkpoint_every };
    let mut progress = context.progress(name, config.steps as u64);
    let mut first = true;
    let mut observe = |report: &StepReport| {
        let mut values = vec![
            ("loss", report.loss),
            ("learning_rate", report.learning_rate),
            ("gradient_norm", report.grad_norm),
            ("examples", report.examples as f64),
            ("tokens", report.tokens as f64),
        ];
        values.extend(report.components.iter().copied());
        values.extend(report.validation.map(|value| (validation, value)));
        values.extend(report.spread.map(|value| ("score_spread", value)));
        log.add(name, report.step, &values);
        let last = report.step == config.steps;
        let checkpoint = config.checkpoint_every > 0 && report.step.is_multiple_of(config.checkpoint_every);
        if last || checkpoint || report.step.is_multiple_of(FLUSH_EVERY) {
            log.flush().map_err(|error| nn::Error::Caller(Box::new(error)))?;
        }
        if first {
            first = false;
            let before = report.step - 1;
            if before > 0 {
                tracing::info!("{name}: resumed after step {before}");
                // The step that is over began before its time was taken.
                progress.go_on_from(report.step as u64);
            }
        }
        if report.step == config.validate_every && report.validation.is_none() {
            tracing::warn!(
                "{name}: validate_every and patience have nothing to work on: the validation split is empty"
            );
        }
        progress.set(report.step as u64, &format!("loss {:.4}", report.loss));
        Ok(())
    };
    let keep = (config.checkpoint_every > 0).then_some(&checkpointing);
    let summary = train(&train_config(phase), task, keep, &mut observe);
    drop(progress);
    log.flush()?;
    let summary = summary.or_else(|error| failed(context, phase, task, error))?;
    if first && summary.resumed_from > 0 {
        tracing::info!("{name}: resumed after step {}, its last", summary.resumed_from);
    }
    if summary.collapsed {
        tracing::warn!(
            "{name}: all documents of a list have the same score, which {}.accept_collapse allows",
            phase.table
        );
    }
    Ok(summary)
}

/// What a training that failed means for the user. The weights of a model that became a constant are kept beside the stage's
/// output.
fn failed(
    context: &StageContext,
    phase: &Phase<'_>,
    task: &dyn Task,
    error: nn::Error,
) -> anyhow::Result<TrainSummary> {
    let Phase { name, table, config, .. } = *phase;
    let knob = format!("lower {table}.learning_rate = {}", config.learning_rate);
    match error {
        // The checkpoint is damaged.
        nn::Error::Format { .. } => Err(BadInput(error.to_string()).into()),
        nn::Error::Collapsed { .. } => {
            let path = aside(context)?.join(format!("{name}.safetensors"));
            if group::is_first() {
                task.params().save(&path)?;
            }
            let kept = path.display();
            anyhow::bail!(
                "training {name}: {error}; {knob}, or set {table}.accept_collapse = true to keep such a model; its weights \
                 are in {kept}"
            )
        }
        nn::Error::NonFinite { .. } | nn::Error::NonFiniteGradient(_) => {
            anyhow::bail!("training {name}: {error}; the training diverged: {knob}")
        }
        error => Err(anyhow::Error::new(error).context(format!("training {name}"))),
    }
}

/// Refuses a training whose steps need more memory than there is.
fn check_memory(phase: &Phase<'_>, task: &mut dyn Task) -> anyhow::Result<()> {
    let (Some(needed), Some(there)) = (task.memory()?, machine_bytes()) else { return Ok(()) };
    if needed > there {
        let table = phase.table;
        Err(ConfigError::Unusable(format!(
            "training {}: expected steps that fit the memory of this machine, {}, found about {}; lower the batch \
             in the table {table} or the input's max_length, set {table}.gradient_checkpointing = true, or take a smaller model",
            phase.name,
            gibibytes(there),
            gibibytes(needed),
        )))?;
    }
    Ok(())
}

/// The folder for what a stage keeps beside its output.
fn aside(context: &StageContext) -> anyhow::Result<PathBuf> {
    let out = context.out();
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let folder = out.with_file_name(format!("{}.aside", name.trim_end_matches(".partial")));
    std::fs::create_dir_all(&folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    Ok(folder)
}

/// Moves a checkpoint of other data or another configuration out of the way, and drops what its training logged. Says where one
/// goes on with another number of threads, which gives other last bits.
fn set_aside(
    context: &StageContext,
    log: &mut TrainingLog,
    path: &Path,
    (name, wanted): (&str, &str),
) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let Made { fingerprint, threads } = Checkpoint::made(path).map_err(|error| BadInput(error.to_string()))?;
    if fingerprint == wanted {
        let now = parts_at_once();
        if let Some(before) = threads.filter(|&before| before != now) {
            tracing::warn!(
                "{name}: goes on with {now} threads, of all ranks together, where the interrupted training had {before}: the \
                 result will not be equal byte for byte to that of an undisturbed run; run it with {before} threads for that"
            );
        }
        return Ok(());
    }
    let kept = aside(context)?.join(path.file_name().unwrap_or_default());
    std::fs::rename(path, &kept).with_context(|| format!("{}: renaming failed", path.display()))?;
    log.forget_phase(name)?;
    tracing::warn!(
        "{name}: the interrupted training was of other data or another configuration: it starts anew, and the old checkpoint \
         is kept as {}",
        kept.display()
    );
    Ok(())
}

/// What a phase decides of the passes of a step.
#[must_use]
pub fn passes(seed: u64, step: usize, config: &TrainingConfig, precision: Precision) -> Passes {
    Passes {
        dropout_seed: number(seed, "dropout", step as u64),
        checkpoint_layers: config.gradient_checkpointing,
        precision,
    }
}

fn train_config(&Phase { config, start_validation, .. }: &Phase<'_>) -> TrainConfig {
    TrainConfig {
        steps: config.steps,
        accumulation_steps: config.accumulation_steps,
        learning_rate: config.learning_rate,
        warmup_fraction: config.warmup_fraction,
        decay: match config.schedule {
            ScheduleKind::Constant => Decay::Constant,
            ScheduleKind::Linear => Decay::Linear,
            ScheduleKind::Cosine => Decay::Cosine,
            ScheduleKind::Wsd => Decay::Wsd,
        },
        weight_decay: config.weight_decay,
        max_grad_norm: Some(config.max_gradient_norm),
        validate_every: Some(config.validate_every).filter(|&every| every > 0),
        patience: Some(config.patience).filter(|&patience| patience > 0),
        start_validation: start_validation.filter(|_| config.validate_every > 0),
        average_last: config.average_last,
        accept_collapse: config.accept_collapse,
    }
}

/// Where the user asked to go on with an interrupted run, requires that one left checkpoints, all of them of this data and
/// configuration: of the whole stage, or of a phase that has one of `made_from` ([`Phase::made_from`]).
///
/// # Errors
/// [`ConfigError`] where there is nothing to go on with; [`BadInput`] for a checkpoint of something else.
pub fn check_resumed(context: &StageContext, made_from: &[&str]) -> anyhow::Result<()> {
    if !context.resumed() {
        return Ok(());
    }
    let checkpoints = checkpoints(context.out())?;
    if checkpoints.is_empty() {
        let out = context.out().display();
        Err(ConfigError::Unusable(format!(
            "--resume: {out}: expected checkpoints of an interrupted run, found none; run without --resume to begin one"
        )))?;
    }
    let stage = context.fingerprint();
    for path in checkpoints {
        let made = Checkpoint::made(&path).map_err(|error| BadInput(error.to_string()))?;
        if made.fingerprint != stage && !made_from.contains(&made.fingerprint.as_str()) {
            Err(BadInput(format!(
                "{}: expected a checkpoint of this data and configuration, {stage} (remove the file to train from the start), \
                 found one of {}",
                path.display(),
                made.fingerprint
            )))?;
        }
    }
    Ok(())
}

/// Removes the checkpoints of a stage's phases: its models are saved.
///
/// # Errors
/// A file that cannot be removed.
pub fn remove_checkpoints(context: &StageContext) -> anyhow::Result<()> {
    // Nothing is removed before every rank has come to its end.
    group::gather(Vec::new());
    for path in checkpoints(context.out())? {
        std::fs::remove_file(&path).with_context(|| format!("{}: removing failed", path.display()))?;
    }
    Ok(())
}

/// The checkpoints in a folder.
fn checkpoints(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).with_context(|| format!("{}: listing failed", folder.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "checkpoint")).collect())
}
