//! A teacher that exists: with `teacher.use`, a saved ranker is the teacher as it is.

use anyhow::Context;
use models::saved_teacher;
use nn::folder::save_ranker;
use nn::ops::Precision;
use pipeline::StageContext;
use training::TrainingLog;

use crate::config::Shared;

/// Writes the ranker as the folder `rank`, with how it scores, so that later stages read it as any teacher.
pub(crate) fn take(context: &mut StageContext, log: TrainingLog, shared: &Shared) -> anyhow::Result<()> {
    let saved = shared.saved.as_ref().context("teacher.rank: expected a table, found none")?;
    let taken = saved_teacher(context.paths(), "teacher", saved, &shared.input, Precision::F32)?;
    tracing::info!("teacher: {saved} as it is, {} parameters; nothing is trained", taken.ranker.params().count());
    context.fact("taken_from", saved.to_string());
    let card = format!("# Teacher\n\nThe ranker {saved}, taken as it is by disranker {}.\n", env!("CARGO_PKG_VERSION"));
    save_ranker(&context.out().join("rank"), &taken.ranker, &taken.tokenizer, &taken.settings, &card)?;
    Ok(log.finish(context)?)
}
