//! Phases that an earlier output holds already, so that trying another rank loss, or another fold of a cross-validation,
//! does not train them again.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use models::base_identity;
use pipeline::config::CptPhaseConfig;
use pipeline::{RunPaths, Stage, StageContext};
use serde::Serialize;
use tables::StageDir;
use training::TrainingLog;

use crate::Teacher;
use crate::config::{Config, Shared};
use crate::parts::Parts;
use crate::start::pretraining;

/// The fact of a manifest that says what a phase was made from.
pub(crate) fn fingerprint_fact(phase: &str) -> String {
    format!("{phase}_fingerprint")
}

/// Digests of all that decides the results of the phases that no judgment decides. Phase `titles` goes on from `cpt`.
pub(crate) struct MadeFrom {
    pub(crate) cpt: String,
    pub(crate) titles: String,
}

impl MadeFrom {
    pub(crate) fn of(context: &StageContext, parts: &Parts<'_>, config: &Config) -> anyhow::Result<MadeFrom> {
        let shared = parts.shared;
        // All weights are read for it, so once for both.
        let base = shared.base.as_ref().map(|base| base_identity(context.paths(), base)).transpose()?;
        let base = base.as_deref();
        let any_pooling = shared.without_pooling();
        let cpt = match pretraining(parts.start, config.cpt.as_ref()) {
            Ok(cpt) => fingerprint(context, (&any_pooling, base), cpt, &["cpt/cpt_examples"])?,
            Err(_) => fingerprint(context, (&any_pooling, base), &None::<CptPhaseConfig>, &[])?,
        };
        let titles = fingerprint(context, (shared, base), &(&cpt, &config.titles), &["ingest/collection"])?;
        Ok(MadeFrom { cpt, titles })
    }
}

/// Digest of all that decides a phase's result: the stage's version, what every phase reads, the phase's own table, the
/// base model, the tokenizer, and `inputs`, the tables that it reads, as `stage/table`.
fn fingerprint(
    context: &StageContext,
    (shared, base): (&Shared, Option<&str>),
    phase: &impl Serialize,
    inputs: &[&str],
) -> anyhow::Result<String> {
    let digest = |input: &str| context.inputs().iter().find(|entry| entry.name == input).map(|entry| &entry.digest);
    let inputs: Vec<_> = ["cpt/teacher_tokenizer"].iter().chain(inputs).map(|&input| (input, digest(input))).collect();
    Ok(files::sha256(&serde_json::to_vec(&(Teacher::VERSION, shared, base, phase, inputs))?))
}

/// Takes the model, the curves and the facts of a phase over from an earlier output that was made from the same, of this
/// run or of another one of the same root.
///
/// # Errors
/// An earlier output that is damaged, or cannot be copied.
pub(crate) fn take_over(
    context: &mut StageContext,
    log: &mut TrainingLog,
    phase: &str,
    fingerprint: &str,
) -> anyhow::Result<bool> {
    let fact = fingerprint_fact(phase);
    let same =
        |earlier: &StageDir| earlier.manifest().facts.get(&fact).and_then(|fact| fact.as_str()) == Some(fingerprint);
    if context.forced() {
        return Ok(false);
    }
    // Of several ranks, the first chooses: others may not see yet, or no more, what another run has written.
    let chosen = group::of_first(|| -> anyhow::Result<Vec<u8>> {
        let found = outputs(context.paths())?.into_iter().find(same);
        let run = found.as_ref().and_then(|earlier| earlier.path().parent());
        Ok(run.map_or(Vec::new(), |run| run.as_os_str().as_bytes().to_vec()))
    })?;
    if chosen.is_empty() {
        return Ok(false);
    }
    let earlier = StageDir::open(Path::new(OsStr::from_bytes(&chosen)), Teacher::NAME)?;
    let prefix = format!("{phase}_");
    for (name, value) in earlier.manifest().facts.iter().filter(|(name, _)| name.starts_with(&prefix)) {
        context.fact(name, value.clone());
    }
    log.copy_phase(&earlier, phase)?;
    let (from, to) = (earlier.folder(phase)?, context.out().join(phase));
    std::fs::create_dir_all(&to).with_context(|| format!("{}: creating failed", to.display()))?;
    for entry in std::fs::read_dir(&from).with_context(|| format!("{}: listing failed", from.display()))? {
        let file = entry?.file_name();
        let copied = std::fs::copy(from.join(&file), to.join(&file));
        copied.with_context(|| format!("{}: copying failed", to.join(&file).display()))?;
    }
    tracing::info!("teacher: phase {phase} is taken over from {}", earlier.path().display());
    Ok(true)
}

/// Finished outputs of this stage: this run's, then those of the root's other runs by name.
fn outputs(paths: &RunPaths) -> anyhow::Result<Vec<StageDir>> {
    let own = paths.run_dir();
    let root = own.parent().context("the run's folder has none around it")?;
    let listed = std::fs::read_dir(root).with_context(|| format!("{}: listing failed", root.display()))?;
    let mut others = listed.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()?;
    others.sort_by_key(|path| (path.file_name() != own.file_name(), path.clone()));
    Ok(others.iter().filter_map(|path| StageDir::open(path, Teacher::NAME).ok()).collect())
}
