//! What the phases share.

use std::path::Path;

use anyhow::Context;
use models::Start;
use nn::text::Tokenizer;
use nn::train::TrainSummary;
use pipeline::StageContext;

use crate::config::Shared;

/// The phase of continued pre-training: in the log, of the checkpoint, and its folder.
pub(crate) const PRETRAINING: &str = "cpt";

/// The phase on the collection's titles, likewise.
pub(crate) const TITLES: &str = "titles";

/// What every phase works with.
pub(crate) struct Parts<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) start: &'a Start,
    pub(crate) tokenizer: &'a Tokenizer,
}

/// Removes the folder of a phase that an interrupted run of another configuration may have left.
pub(crate) fn remove_stale(folder: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{}: removing failed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Adds how a training ended to the figures of the manifest.
pub(crate) fn note(context: &mut StageContext, phase: &str, summary: &TrainSummary) {
    context.fact(&format!("{phase}_steps"), summary.steps);
    context.fact(&format!("{phase}_tokens"), summary.tokens);
    context.fact(&format!("{phase}_best_validation"), summary.best.map(|best| best.value));
    context.fact(&format!("{phase}_collapsed"), summary.collapsed);
}
