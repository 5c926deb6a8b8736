//! A stage's `main`.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Parser;
use tables::{Manifest, OutputDir};

use crate::config::{ConfigError, Pipeline, load};
use crate::exit::guarded;
use crate::freshness::{input_entries, is_fresh};
use crate::log::{self, LogFormat};
use crate::stage::{Stage, StageRun};

/// What `--help` of a stage ends with.
pub const EXIT_CODES: &str = "Exit codes: 0 done or up to date, 1 failed, 2 bad usage or configuration, 3 bad input data or no room for the output.";

/// The command line every stage has.
#[derive(Debug, Parser)]
#[command(version, about = "One stage of a disranker pipeline", after_help = EXIT_CODES)]
pub struct Arguments {
    /// The pipeline file; relative paths in it start at its folder
    #[arg(long, value_name = "FILE", default_value = "pipeline.toml")]
    pub config: PathBuf,
    /// Overrides one key of the pipeline file; may be given many times, later ones win
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub overrides: Vec<String>,
    /// Runs even if the output is up to date, and from the beginning even if there is a checkpoint
    #[arg(long)]
    pub force: bool,
    /// Goes on with a training that was interrupted; refused where there is none, or one of other data or configuration
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// Parses the command line and runs `stage`.
pub fn execute<S: Stage>(stage: &S) -> ExitCode {
    execute_with(stage, &Arguments::parse())
}

/// Runs `stage` as `arguments` say.
pub fn execute_with<S: Stage>(stage: &S, arguments: &Arguments) -> ExitCode {
    log::start(arguments.log_format);
    guarded(|| run(stage, arguments))
}

/// Runs work outside a pipeline: with the logs and exit codes of a stage, on all cores.
pub fn execute_alone(log_format: LogFormat, work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    log::start(log_format);
    limit_threads(0);
    guarded(work)
}

fn run<S: Stage>(stage: &S, arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    limit_threads(pipeline.run.threads);
    if let Some(reason) = stage.not_configured(&pipeline) {
        tracing::info!("{}: nothing to do: {reason}", S::NAME);
        return Ok(());
    }
    let root = pipeline.run_dir();
    std::fs::create_dir_all(&root).with_context(|| format!("{}: creating failed", root.display()))?;
    let _lock = lock(&root, S::NAME)?;

    let target = root.join(S::NAME);
    let before = Manifest::read(&target, S::NAME).ok();
    let inputs = input_entries(&pipeline, &stage.inputs(&pipeline)?, before.as_ref())?;
    let mut manifest = Manifest {
        stage: S::NAME.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        seed: pipeline.run.seed,
        config: stage_config(&pipeline, S::NAME, stage.config_keys())?,
        inputs,
        tables: BTreeMap::new(),
        files: Vec::new(),
        facts: serde_json::Map::new(),
        wall_seconds: 0.0,
        peak_memory_bytes: None,
    };
    if !arguments.force && before.is_some_and(|before| is_fresh(&target, &before, &manifest)) {
        tracing::info!("{}: up to date", S::NAME);
        return Ok(());
    }

    if arguments.resume && !stage.resumable() {
        let stage = S::NAME;
        Err(ConfigError::Unusable(format!("--resume: stage {stage} keeps no checkpoints; run it without --resume")))?;
    }
    let output = OutputDir::open(&root, S::NAME, stage.resumable() && !arguments.force)?;
    let bars = arguments.log_format == LogFormat::Text;
    let mut work = StageRun {
        bars,
        forced: arguments.force,
        resumed: arguments.resume,
        inputs: manifest.inputs.clone(),
        config: manifest.config.clone(),
        fingerprint: fingerprint(&manifest)?,
        ..StageRun::new(pipeline, output.path().to_path_buf())
    };
    tracing::info!("{}: running", S::NAME);
    if let Err(error) = stage.run(&mut work) {
        if !stage.resumable() {
            // The first error is the one to report; what cannot be removed now is removed by the next run.
            let _ = output.discard();
        }
        return Err(error).with_context(|| format!("stage {}", S::NAME));
    }
    manifest.tables = work.tables;
    manifest.facts = work.facts;
    manifest.wall_seconds = started.elapsed().as_secs_f64();
    manifest.peak_memory_bytes = peak_memory();
    let wall = manifest.wall_seconds;
    output.commit(manifest)?;
    tracing::info!("{}: done in {wall:.1}s", S::NAME);
    Ok(())
}

/// The stage's own table of the configuration, resolved, and the values of `keys` of other tables.
fn stage_config(pipeline: &Pipeline, stage: &str, keys: &[&str]) -> anyhow::Result<serde_json::Value> {
    let mut all = serde_json::to_value(pipeline).context("the configuration cannot be written as JSON")?;
    let mut own = all.get_mut(stage).map(serde_json::Value::take).unwrap_or_default();
    for &key in keys {
        own[key] = all.pointer(&format!("/{}", key.replace('.', "/"))).cloned().unwrap_or_default();
    }
    Ok(own)
}

/// Digest of what decides the output of a run, as its still empty manifest says it.
fn fingerprint(manifest: &Manifest) -> anyhow::Result<String> {
    let inputs: Vec<_> = manifest.inputs.iter().map(|input| (&input.name, &input.digest)).collect();
    let decides = (&manifest.stage, &manifest.version, manifest.seed, &manifest.config, inputs);
    Ok(tables::sha256_bytes(&serde_json::to_vec(&decides).context("the manifest cannot be written as JSON")?))
}

/// Keeps a second process from running the same stage of the same run.
fn lock(root: &Path, stage: &str) -> anyhow::Result<File> {
    let path = root.join(format!(".{stage}.lock"));
    let file = File::create(&path).with_context(|| format!("{}: creating failed", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(ConfigError::Unusable(format!(
            "{}: stage {stage} of this run is being run by another process; wait for it or set another run.name",
            path.display()
        )))?,
    }
}

/// Sets the worker threads of every library that asks the environment.
///
/// candle has a pool of its own whose idle threads spin and starve ours; the few element-wise operations left to it are
/// faster on the calling thread.
fn limit_threads(threads: usize) {
    let threads = (threads > 0).then(|| threads.to_string());
    let limits = ["RAYON_NUM_THREADS", "POLARS_MAX_THREADS"].map(|variable| (variable, threads.as_deref()));
    for (variable, value) in limits.into_iter().chain([("CANDLE_NUM_THREADS", Some("1"))]) {
        if let Some(value) = value {
            // SAFETY: called from `main` before any other thread has been started.
            #[allow(unsafe_code)]
            unsafe {
                std::env::set_var(variable, value);
            }
        }
    }
}

/// Highest resident memory of this process in bytes, where Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
