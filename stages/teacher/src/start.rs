//! The teacher before its first step: a base model, or a decoder from random weights.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nn::config::{Head, LlamaConfig};
use nn::llama::Llama;
use nn::lora::LoraConfig;
use nn::model::Ranker;
use nn::text::Encoder;
use nn::tokenizer::Tokenizer;
use pipeline::config::DecoderConfig;
use pipeline::{BadInput, ConfigError, Pipeline, StageRun};
use training::{Start, base_folder};

use crate::PRETRAINING;
use crate::titles::TITLES;

/// Why there is no phase `cpt`, where that is so.
pub(crate) fn no_pretraining(pipeline: &Pipeline, start: &Start) -> anyhow::Result<Option<&'static str>> {
    if start.base.as_ref().map_or(Ok(false), |base| base.is_encoder())? {
        return Ok(Some("the base model is an encoder, which predicts no next token"));
    }
    Ok(pipeline.teacher.cpt.is_none().then_some("the pipeline has no table teacher.cpt"))
}

/// The language model that phase `cpt` trains.
pub(crate) fn language_model(pipeline: &Pipeline, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<Llama> {
    let seed = pipeline.run.seed;
    match &start.base {
        Some(base) => Ok(base.language_model(seed).map_err(bad_base)?),
        None => Ok(Llama::new(decoder_config(pipeline, start, tokenizer)?, Head::LanguageModel, seed)?),
    }
}

/// The ranker that phase `rank` trains where there was no phase `cpt`.
pub(crate) fn ranker(pipeline: &Pipeline, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<Ranker> {
    let seed = pipeline.run.seed;
    match &start.base {
        Some(base) => Ok(base.ranker(seed).map_err(bad_base)?),
        None => Ok(Ranker::Llama(Llama::new(decoder_config(pipeline, start, tokenizer)?, Head::Score, seed)?)),
    }
}

/// How the teacher is adapted, where it is.
fn lora(pipeline: &Pipeline) -> Option<LoraConfig> {
    let lora = pipeline.teacher.lora.clone()?;
    Some(LoraConfig { rank: lora.rank, alpha: lora.alpha, dropout: lora.dropout, targets: lora.targets })
}

/// The ranker that a phase trains: with updates of low rank where the pipeline asks for them.
pub(crate) fn adapted(pipeline: &Pipeline, ranker: &Ranker) -> Result<Ranker, ConfigError> {
    lora(pipeline).map_or(Ok(ranker.clone()), |lora| ranker.with_lora(&lora, pipeline.run.seed).map_err(bad_lora))
}

/// Likewise, the language model.
pub(crate) fn adapted_language_model(pipeline: &Pipeline, model: Llama) -> Result<Llama, ConfigError> {
    lora(pipeline).map_or(Ok(model.clone()), |lora| model.with_lora(&lora, pipeline.run.seed).map_err(bad_lora))
}

fn bad_lora(error: nn::Error) -> ConfigError {
    ConfigError::Unusable(format!("teacher.{error}"))
}

/// The folder of the model that the saved adapter belongs to, as seen from the adapter's folder; `None` where the teacher
/// is saved whole.
pub(crate) fn adapter_base(run: &StageRun) -> anyhow::Result<Option<PathBuf>> {
    let teacher = &run.pipeline().teacher;
    let (Some(lora), Some(base)) = (&teacher.lora, &teacher.base) else { return Ok(None) };
    if lora.merge {
        return Ok(None);
    }
    if let Some(phase) = [TITLES, PRETRAINING].into_iter().find(|phase| run.out().join(phase).exists()) {
        // The folders of one output are moved together.
        return Ok(Some(Path::new("..").join(phase)));
    }
    let folder = base_folder(run.pipeline(), base)?;
    Ok(Some(std::path::absolute(&folder).with_context(|| format!("{}: resolving failed", folder.display()))?))
}

fn bad_base(error: nn::Error) -> BadInput {
    BadInput(format!("teacher.base: {error}"))
}

fn decoder_config(pipeline: &Pipeline, start: &Start, tokenizer: &Tokenizer) -> anyhow::Result<LlamaConfig> {
    let model = pipeline.teacher.model.clone().context("teacher.model: expected a table, found none")?;
    let DecoderConfig { hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, num_key_value_heads } =
        model;
    Ok(LlamaConfig {
        vocab_size: tokenizer.vocabulary_size(),
        hidden_size,
        intermediate_size,
        num_hidden_layers,
        num_attention_heads,
        num_key_value_heads: Some(num_key_value_heads.unwrap_or(num_attention_heads)),
        max_position_embeddings: Encoder::new(tokenizer, &start.scoring)?.max_tokens(),
        tie_word_embeddings: true,
        pad_token_id: Some(tokenizer.id("<pad>")?),
        bos_token_id: Some(tokenizer.id("<s>")?),
        eos_token_id: Some(tokenizer.id("</s>")?.into()),
        ..LlamaConfig::default()
    })
}
