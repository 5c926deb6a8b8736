//! The teacher before its first step: a base model, or a decoder from random weights.

use std::path::{Path, PathBuf};

use anyhow::Context;
use models::{Start, base_folder, low_rank};
use nn::models::{Head, Model, Sizes, from_sizes};
use nn::text::{Kind, PairTokenizer};
use pipeline::config::CptPhaseConfig;
use pipeline::{BadInput, ConfigError, StageContext};

use crate::config::Shared;
use crate::parts::{PRETRAINING, Parts, TITLES};

/// The configuration of phase `cpt`, or why there is no such phase.
pub(crate) fn pretraining<'a>(
    start: &Start,
    config: Option<&'a CptPhaseConfig>,
) -> Result<&'a CptPhaseConfig, &'static str> {
    if start.base.as_ref().is_some_and(|base| base.backbone.kind() == Kind::Encoder) {
        return Err("the base model is an encoder, which predicts no next token");
    }
    config.ok_or("the pipeline has no table teacher.cpt")
}

/// The model of the first phase: a language model for phase `cpt`, else a ranker.
pub(crate) fn model(parts: &Parts<'_>, head: Head) -> anyhow::Result<Model> {
    let seed = parts.shared.seed;
    if let Some(base) = &parts.start.base {
        return Ok(base.model(head, seed).and_then(|model| read_as(parts, model)).map_err(bad_base)?);
    }
    let Parts { shared, start, tokenizer } = *parts;
    let table = shared.model.clone().context("teacher.model: expected a table, found none")?;
    let sizes = Sizes {
        hidden_size: table.hidden_size,
        intermediate_size: table.intermediate_size,
        num_hidden_layers: table.num_hidden_layers,
        num_attention_heads: table.num_attention_heads,
        num_key_value_heads: table.num_key_value_heads,
        max_tokens: PairTokenizer::new(tokenizer, &start.scoring)?.max_tokens(),
        dropout: 0.0,
    };
    Ok(read_as(parts, Model::new(from_sizes(Kind::Decoder, &sizes, tokenizer)?, head, seed)?)?)
}

/// A model whose score, if it gives one, is read as the teacher's.
pub(crate) fn read_as(parts: &Parts<'_>, model: Model) -> nn::Result<Model> {
    model.with_pooling(parts.start.scoring.pooling)
}

/// The model that a phase trains: with updates of low rank where the pipeline asks for them.
pub(crate) fn adapted(shared: &Shared, model: &Model) -> Result<Model, ConfigError> {
    let Some(lora) = &shared.lora else { return Ok(model.clone()) };
    model.with_lora(&low_rank(lora), shared.seed).map_err(bad_lora)
}

fn bad_lora(error: nn::Error) -> ConfigError {
    ConfigError::Unusable(format!("teacher.{error}"))
}

/// The folder of the model that a saved adapter belongs to, as seen from the adapter's folder; `None` without a base.
pub(crate) fn adapter_base(context: &StageContext, shared: &Shared) -> anyhow::Result<Option<PathBuf>> {
    let Some(base) = &shared.base else { return Ok(None) };
    if let Some(phase) = [TITLES, PRETRAINING].into_iter().find(|phase| context.out().join(phase).exists()) {
        // The folders of one output are moved together.
        return Ok(Some(Path::new("..").join(phase)));
    }
    let folder = base_folder(context.paths(), base)?;
    Ok(Some(std::path::absolute(&folder).with_context(|| format!("{}: resolving failed", folder.display()))?))
}

fn bad_base(error: nn::Error) -> BadInput {
    BadInput(format!("teacher.base: {error}"))
}
