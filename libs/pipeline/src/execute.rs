//! A stage's `main`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Weak};
use std::time::Instant;

use anyhow::Context;
use clap::{Command, CommandFactory, FromArgMatches, Parser};
use tables::{Manifest, OutputDir};

use crate::config::{ConfigError, load};
use crate::exit::{guarded, wait_for_first};
use crate::freshness::{input_entries, is_fresh};
use crate::interrupt::on_interrupt;
use crate::lineage::outdated;
use crate::lock::Lock;
use crate::log::{self, LogFormat};
use crate::ranks;
use crate::stage::{About, Input, NothingToDo, Stage, StageContext};

/// What `--help` of a stage ends with.
pub const EXIT_CODES: &str = "Exit codes: 0 done or up to date, 1 failed, 2 bad usage or configuration, 3 bad input data or no room for the output, 4 a regression where one was asked for.";

/// The command line every stage has.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
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
    /// Resumes a training that was interrupted; refused where there is none, or one of other data or configuration
    #[arg(long, conflicts_with = "force")]
    pub resume: bool,
    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// A command line with the stage's name, and what it does, reads and writes, in its help.
#[must_use]
pub fn described<S: Stage>(command: Command) -> Command {
    let About { does, reads, writes, keeps } = S::ABOUT;
    let name = S::NAME;
    let about = format!("Stage {name} of a disranker pipeline: {does}.");
    let kept = keeps.unwrap_or("nothing; it begins again");
    let long = format!(
        "{about}\n\nReads:  {reads}\nWrites: {writes}, below <root>/<name>/{name}/\nKeeps when it is interrupted: {kept}"
    );
    command.name(name).about(about).long_about(long)
}

/// A stage's `main`: parses the command line and runs `stage`.
pub fn execute<S: Stage>(stage: &S) -> ExitCode {
    let matches = described::<S>(Arguments::command()).try_get_matches();
    let arguments = matches.and_then(|matches| Arguments::from_arg_matches(&matches));
    match arguments {
        Ok(arguments) => execute_with(stage, &arguments),
        Err(error) => answered(&error),
    }
}

/// Prints an error of the command line, or the help that was asked for.
fn answered(error: &clap::Error) -> ExitCode {
    let code = u8::try_from(error.exit_code()).unwrap_or(1);
    if group::is_first() {
        // Nothing is left to tell the user with if the output itself is closed.
        let _ = error.print();
    }
    if code != 0 {
        wait_for_first();
        group::abort(code);
    }
    ExitCode::from(code)
}

/// Runs `stage` as `arguments` say.
pub fn execute_with<S: Stage>(stage: &S, arguments: &Arguments) -> ExitCode {
    log::start(arguments.log_format);
    guarded(|| run(stage, arguments))
}

/// Runs work outside a pipeline: with the logs and exit codes of a stage, on all cores. `interrupted` is what Ctrl-C says, which is what
/// is kept and how to go on.
pub fn execute_alone(
    log_format: LogFormat,
    interrupted: String,
    work: impl FnOnce() -> anyhow::Result<()>,
) -> ExitCode {
    execute_service(log_format, 0, || {
        on_interrupt(interrupted, || {})?;
        work()
    })
}

/// Runs work that takes the signals itself, with the logs and exit codes of a stage, on `threads` threads, or on all cores for 0.
pub fn execute_service(log_format: LogFormat, threads: usize, work: impl FnOnce() -> anyhow::Result<()>) -> ExitCode {
    log::start(log_format);
    limit_threads(threads);
    guarded(work)
}

fn run<S: Stage>(stage: &S, arguments: &Arguments) -> anyhow::Result<()> {
    let started = Instant::now();
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    limit_threads(pipeline.run.threads);
    let configured = stage.configure(&pipeline);
    ranks::agree("the pipeline asks for the stage or not", &[u8::from(configured.is_ok())])?;
    let config = match configured {
        Ok(config) => config,
        Err(NothingToDo(reason)) => {
            tracing::info!("{}: nothing to do: {reason}", S::NAME);
            return Ok(());
        }
    };
    stage.check(&pipeline)?;
    let paths = pipeline.paths();
    let root = paths.run_dir();
    std::fs::create_dir_all(&root).with_context(|| format!("{}: creating failed", root.display()))?;
    let lock = match group::is_first() {
        true => Some(Arc::new(Lock::acquire(&root, S::NAME, stage.commits())?)),
        false => None,
    };

    let target = root.join(S::NAME);
    let before = Manifest::read(&target, S::NAME).ok();
    let declared = stage.inputs(&config, &paths)?;
    let manifest = Manifest {
        stage: S::NAME.into(),
        version: env!("CARGO_PKG_VERSION").into(),
        stage_version: S::VERSION,
        config: serde_json::to_value(&config).context("the configuration cannot be written as JSON")?,
        inputs: input_entries(&paths, &declared, before.as_ref())?,
        ..Manifest::default()
    };
    let earlier = declared.iter().filter_map(Input::of_stage).map(|(stage, _)| stage);
    if let Some(outdated) = outdated(&paths, &root, earlier)? {
        return Err(outdated.into());
    }
    let fingerprint = fingerprint(&manifest)?;
    ranks::check(&fingerprint)?;
    let is_fresh = !arguments.force && before.is_some_and(|before| is_fresh(&target, &before, &manifest));
    if group::first_decides(|| anyhow::Ok(is_fresh))? {
        tracing::info!("{}: up to date", S::NAME);
        if stage.commits() && group::is_first() {
            stage.clean_up(&paths)?;
        }
        return stage.conclude(&config, &paths);
    }
    if arguments.resume && !stage.resumable() {
        let stage = S::NAME;
        Err(ConfigError::Unusable(format!("--resume: stage {stage} keeps no checkpoints; run it without --resume")))?;
    }
    // Other ranks than the first compute the same, and what they write is thrown away.
    let scratch = ranks::scratch()?;
    // The thread of the signals lives as long as the process; the lock goes when the stage ends.
    let held = lock.as_ref().map(Arc::downgrade);
    let thrown_away = scratch.as_ref().map(|scratch| scratch.path().to_path_buf());
    let release = move || {
        held.iter().filter_map(Weak::upgrade).for_each(|lock| lock.release());
        // What cannot be removed is left to the system's temporary folder.
        thrown_away.iter().for_each(|folder| drop(std::fs::remove_dir_all(folder)));
    };
    on_interrupt(interrupted::<S>(), release)?;
    let output = match (&scratch, stage.commits()) {
        (Some(scratch), _) => Some(OutputDir::open(scratch.path(), S::NAME, false)?),
        (None, true) => Some(OutputDir::open(&root, S::NAME, stage.resumable() && !arguments.force)?),
        (None, false) => None,
    };
    let out = output.as_ref().map(|output| output.path().to_path_buf()).unwrap_or_default();
    let mut context = StageContext {
        bars: arguments.log_format == LogFormat::Text && group::is_first(),
        forced: arguments.force,
        resumed: arguments.resume && group::is_first(),
        inputs: manifest.inputs.clone(),
        config: manifest.config.clone(),
        fingerprint,
        ..StageContext::new(paths.clone(), out, declared)
    };
    tracing::info!("{}: running", S::NAME);
    if let Err(error) = stage.run(&config, &mut context) {
        if let Some(output) = output.filter(|_| !stage.resumable()) {
            // The first error is the one to report; what cannot be removed now is removed by the next run.
            let _ = output.discard();
        }
        return Err(error).with_context(|| format!("stage {}", S::NAME));
    }
    let Some(output) = output.filter(|_| group::is_first()) else { return Ok(()) };
    commit(output, context, manifest, started)?;
    stage.clean_up(&paths)?;
    stage.conclude(&config, &paths)
}

/// What Ctrl-C says of a stage.
fn interrupted<S: Stage>() -> String {
    match S::ABOUT.keeps {
        Some(kept) => format!("stage {} keeps {kept}; the same command goes on from there", S::NAME),
        None => format!(
            "stage {} keeps nothing of this run, and its earlier output as it was; the same command begins again",
            S::NAME
        ),
    }
}

/// Commits the stage's output with its complete manifest.
fn commit(output: OutputDir, context: StageContext, manifest: Manifest, started: Instant) -> anyhow::Result<()> {
    let wall_seconds = started.elapsed().as_secs_f64();
    let stage = manifest.stage.clone();
    output.commit(context.into_manifest(Manifest { wall_seconds, peak_memory_bytes: peak_memory(), ..manifest }))?;
    tracing::info!("{stage}: done in {wall_seconds:.1}s");
    Ok(())
}

/// Digest of what decides the output of a run: stage version, configuration and inputs of its manifest.
fn fingerprint(manifest: &Manifest) -> anyhow::Result<String> {
    let inputs: Vec<_> = manifest.inputs.iter().map(|input| (&input.name, &input.digest)).collect();
    let decides = (&manifest.stage, manifest.stage_version, &manifest.config, inputs);
    Ok(files::sha256(&serde_json::to_vec(&decides).context("the manifest cannot be written as JSON")?))
}

/// Sets the number of worker threads of the libraries that read it from the environment.
///
/// candle has a pool of its own whose idle threads spin and starve ours; the few element-wise operations left to it are
/// faster on the calling thread.
fn limit_threads(threads: usize) {
    let threads = (threads > 0).then(|| threads.to_string());
    let limits = ["RAYON_NUM_THREADS", "POLARS_MAX_THREADS"].map(|variable| (variable, threads.as_deref()));
    for (variable, value) in limits.into_iter().chain([("CANDLE_NUM_THREADS", Some("1"))]) {
        if let Some(value) = value {
            // SAFETY: called from `main` before this program has started a thread; those that MPI has started change and read no
            // variable any more.
            #[allow(unsafe_code)]
            unsafe {
                std::env::set_var(variable, value);
            }
        }
    }
}

/// Highest resident memory of this process in bytes; `None` where /proc does not have it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
}
