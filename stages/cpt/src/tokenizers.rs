//! The two tokenizers: loaded where `pipeline.toml` names a folder, else trained from queries and documents.

use std::path::Path;

use anyhow::Context;
use nn::tokenizer::Tokenizer;
use pipeline::config::TokenizerConfig;
use pipeline::{BadInput, Pipeline};
use training::{Corpus, TRAIN};

pub(crate) fn teacher(pipeline: &Pipeline, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let config = &pipeline.cpt.teacher_tokenizer;
    load(pipeline, config)
        .unwrap_or_else(|| Ok(Tokenizer::train_byte_level_bpe(texts(corpus).into_iter(), config.vocab_size)?))
}

pub(crate) fn student(pipeline: &Pipeline, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let config = &pipeline.cpt.student_tokenizer;
    load(pipeline, config)
        .unwrap_or_else(|| Ok(Tokenizer::train_word_piece(texts(corpus).into_iter(), config.vocab_size)?))
}

pub(crate) fn save(tokenizer: &Tokenizer, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    Ok(tokenizer.save(folder)?)
}

fn load(pipeline: &Pipeline, config: &TokenizerConfig) -> Option<anyhow::Result<Tokenizer>> {
    let folder = pipeline.resolve(config.path.as_ref()?);
    Some(Tokenizer::load(&folder).map_err(|error| BadInput(error.to_string()).into()))
}

/// The texts a vocabulary is learnt from: the queries of the training split, each as often as a search asks it at most
/// 100 times, and the documents.
fn texts(corpus: &Corpus) -> Vec<String> {
    let queries = corpus.queries.iter().filter(|query| query.split == TRAIN).flat_map(|query| {
        let times = usize::try_from(query.searches).unwrap_or(0).clamp(1, 100);
        std::iter::repeat_n(query.text.clone(), times)
    });
    let documents = corpus.documents.iter().map(|document| format!("{} {}", document.title, document.summary));
    queries.chain(documents).collect()
}
