//! The two tokenizers: a base model's own, one from a folder, or one trained from queries and documents.

use std::path::{Path, PathBuf};

use anyhow::Context;
use collection::{Corpus, TRAIN};
use models::open_base;
use nn::text::Tokenizer;
use pipeline::config::{BaseModel, CptConfig, TokenizerConfig};
use pipeline::{BadInput, RunPaths};

use crate::Config;

/// Learns a vocabulary of a size from texts.
type Train = fn(std::vec::IntoIter<String>, usize) -> nn::Result<Tokenizer>;

pub(crate) fn teacher(config: &Config, paths: &RunPaths, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let source = (config.teacher_base.as_ref(), config.cpt.teacher_tokenizer.as_ref());
    tokenizer(paths, corpus, source, Tokenizer::train_byte_level_bpe)
}

pub(crate) fn student(config: &Config, paths: &RunPaths, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let source = (config.student_base.as_ref(), config.cpt.student_tokenizer.as_ref());
    tokenizer(paths, corpus, source, Tokenizer::train_word_piece)
}

/// The files that tokenizers are read from, base models aside.
pub(crate) fn files(config: &CptConfig, paths: &RunPaths) -> Vec<PathBuf> {
    let configured = [&config.teacher_tokenizer, &config.student_tokenizer].into_iter().flatten();
    let folders = configured.filter_map(|config| config.path.as_ref());
    folders.map(|folder| paths.resolve(folder).join("tokenizer.json")).collect()
}

pub(crate) fn save(tokenizer: &Tokenizer, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    Ok(tokenizer.save(folder)?)
}

fn tokenizer(
    paths: &RunPaths,
    corpus: &Corpus,
    (base, config): (Option<&BaseModel>, Option<&TokenizerConfig>),
    train: Train,
) -> anyhow::Result<Tokenizer> {
    if let Some(base) = base {
        return Ok(open_base(paths, base)?.tokenizer);
    }
    let config = config.cloned().unwrap_or_default();
    match config.path {
        Some(path) => Ok(Tokenizer::load(&paths.resolve(&path)).map_err(|error| BadInput(error.to_string()))?),
        None => Ok(train(texts(corpus).into_iter(), config.vocab_size)?),
    }
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
