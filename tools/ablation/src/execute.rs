//! Runs the stages of a plan, one after the other.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::estimate::{Step, Timings, duration, steps};
use crate::grades;
use crate::plan::{CONFIG, Run};
use crate::study::SHARED;

/// What a condition failed with, by seed and run.
pub(crate) type Failures = BTreeMap<(u64, String), String>;

/// The folder of a run in which `evaluate` keeps the scores of each model.
const KEPT_SCORES: &str = "evaluate.parts";

/// How often a running stage is looked at, and how often the last line that it said is told.
const LOOK_EVERY: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(60);

/// The exit code of a stage that cannot work with its configuration: a fault of this program or its file, not of a training.
const BAD_CONFIG: i32 = 2;

/// Makes all that is missing. A run that fails is told, and the others go on.
///
/// # Errors
/// A stage that cannot be started, a configuration that is refused, and a failure of a shared run, without which there are no
/// others.
pub(crate) fn make(runs: &[Run], reference: &BTreeMap<String, f64>) -> anyhow::Result<Failures> {
    let all = steps(runs);
    let mut missing: Vec<Step<'_>> = all.iter().copied().filter(|step| !step.is_finished()).collect();
    let mut failures = Failures::new();
    for run in runs {
        prepare(run)?;
        for stage in run.stages() {
            let was_missing = missing.iter().any(|step| step.is(run, stage));
            let started = Instant::now();
            let left = Timings::of(&all, reference).left(&missing, reference);
            if let Err(message) = start(run, stage, left)? {
                if run.name == SHARED {
                    bail!("seed {}: {message}", run.seed);
                }
                tracing::warn!("seed {}, {}: failed: {message}", run.seed, run.name);
                failures.insert((run.seed, run.name.clone()), message);
                missing.retain(|step| !std::ptr::eq(step.run, run));
                break;
            }
            missing.retain(|step| !step.is(run, stage));
            if was_missing {
                tell(run, stage, started.elapsed().as_secs_f64(), (&all, &missing), reference);
            }
        }
        if run.name == SHARED {
            grades::write(&run.dir)?;
        }
    }
    Ok(failures)
}

/// Says how far it is after a step.
fn tell(
    run: &Run,
    stage: &str,
    took: f64,
    (all, missing): (&[Step<'_>], &[Step<'_>]),
    reference: &BTreeMap<String, f64>,
) {
    let timings = Timings::of(all, reference);
    let left = timings.left(missing, reference);
    let trainings = missing.iter().filter(|step| step.is_training()).count();
    let (seed, name, left) = (run.seed, &run.name, duration(left));
    tracing::info!("seed {seed}, {name}: {stage} took {}; trainings left: {trainings}, about {left}", duration(took));
}

impl Step<'_> {
    fn is(&self, run: &Run, stage: &str) -> bool {
        std::ptr::eq(self.run, run) && self.stage == stage
    }
}

/// Makes the folder of a run: its configuration, and links to what is the shared run's.
fn prepare(run: &Run) -> anyhow::Result<()> {
    fs::create_dir_all(&run.dir).with_context(|| format!("{}: creating failed", run.dir.display()))?;
    let path = run.dir.join(CONFIG);
    if fs::read_to_string(&path).ok().as_ref() != Some(&run.config) {
        files::write_atomically(&path, run.config.as_bytes())?;
    }
    for stage in run.linked() {
        link(&run.dir.join(stage), &Path::new("..").join(SHARED).join(stage))?;
    }
    // The scores of models that are the shared run's are computed once.
    for system in run.linked_systems() {
        let parts = run.dir.join(KEPT_SCORES);
        fs::create_dir_all(&parts).with_context(|| format!("{}: creating failed", parts.display()))?;
        // A run may have scores of its own already.
        if !parts.join(system).exists() {
            link(&parts.join(system), &Path::new("../..").join(SHARED).join(KEPT_SCORES).join(system))?;
        }
    }
    Ok(())
}

/// Makes a link, or finds it made.
fn link(link: &Path, target: &Path) -> anyhow::Result<()> {
    match fs::read_link(link) {
        Ok(found) if found == target => Ok(()),
        _ if fs::symlink_metadata(link).is_ok() => {
            bail!("{}: expected a link to {}, found something else; remove it", link.display(), target.display())
        }
        _ => symlink(target, link).with_context(|| format!("{}: linking failed", link.display())),
    }
}

/// Runs a stage, its log into the run's folder, before which all that is missing took `left` seconds; its message where it fails.
fn start(run: &Run, stage: &str, left: f64) -> anyhow::Result<Result<(), String>> {
    let log = run.dir.join(format!("{stage}.log"));
    let file = File::create(&log).with_context(|| format!("{}: creating failed", log.display()))?;
    let binary = beside(stage)?;
    let mut command = Command::new(&binary);
    command.arg("--config").arg(run.dir.join(CONFIG)).args(["--log-format", "text"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(file);
    let mut child = command.spawn().with_context(|| format!("{}: starting failed", binary.display()))?;
    let (started, mut next) = (Instant::now(), TELL_EVERY);
    let status = loop {
        if let Some(status) = child.try_wait().with_context(|| format!("{}: waiting failed", binary.display()))? {
            break status;
        }
        sleep(LOOK_EVERY);
        if started.elapsed() >= next {
            next += TELL_EVERY;
            let said = fs::read_to_string(&log).unwrap_or_default();
            let line = said.lines().next_back().unwrap_or_default().trim_start().trim_start_matches("INFO ");
            let left = duration((left - started.elapsed().as_secs_f64()).max(0.0));
            tracing::info!("seed {}, {}: {line}; all that is left: about {left}", run.seed, run.name);
        }
    };
    if status.success() {
        return Ok(Ok(()));
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    let error = said.lines().rev().find_map(|line| line.strip_prefix("error: "));
    let message = error.map_or_else(|| format!("{stage} ended with {status}"), str::to_string);
    if status.code() == Some(BAD_CONFIG) {
        bail!("{message}");
    }
    Ok(Err(message))
}

/// A stage's binary, which stands beside this one.
fn beside(stage: &str) -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("this program's own path")?;
    let path = own.with_file_name(stage);
    if !path.is_file() {
        bail!("{}: expected the binary of stage {stage}, found none; build the workspace", path.display());
    }
    Ok(path)
}
