//! The two tokenizers: a base model's own, one from a folder, or one trained from queries and documents.

use std::path::{Path, PathBuf};

use anyhow::Context;
use collection::{Corpus, TRAIN};
use models::{open_base, saved_teacher_input};
use nn::text::Tokenizer;
use pipeline::config::{BaseModel, CptConfig, TokenizerConfig};
use pipeline::{BadInput, RunPaths};

use crate::{Config, TeacherModel};

/// Documents that a vocabulary is learnt from at most.
const DOCUMENTS: usize = 1 << 18;

/// Learns a vocabulary of a size from texts.
type Train = fn(Box<dyn Iterator<Item = String> + '_>, usize) -> nn::Result<Tokenizer>;

pub(crate) fn teacher(
    config: &Config,
    teacher: &TeacherModel,
    paths: &RunPaths,
    corpus: &Corpus,
) -> anyhow::Result<Tokenizer> {
    if let Some(saved) = &teacher.saved {
        return Ok(saved_teacher_input(paths, saved, &teacher.input)?.0);
    }
    let source = (teacher.base.as_ref(), config.cpt.teacher_tokenizer.as_ref());
    tokenizer(paths, corpus, source, |texts, size| Tokenizer::train_byte_level_bpe(texts, size))
}

pub(crate) fn student(config: &Config, paths: &RunPaths, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let source = (config.student_base.as_ref(), config.cpt.student_tokenizer.as_ref());
    tokenizer(paths, corpus, source, |texts, size| Tokenizer::train_word_piece(texts, size))
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
        None => Ok(train(Box::new(texts(corpus)), config.vocab_size)?),
    }
}

/// The texts a vocabulary is learnt from: the queries of the training split, each as often as a search asks it at most
/// 100 times, and the documents, of a large collection [`DOCUMENTS`] at equal distances.
fn texts(corpus: &Corpus) -> impl Iterator<Item = String> + '_ {
    let queries = corpus.queries.iter().filter(|query| query.split == TRAIN).flat_map(|query| {
        let times = usize::try_from(query.searches).unwrap_or(0).clamp(1, 100);
        std::iter::repeat_n(query.text.clone(), times)
    });
    queries.chain(document_texts(corpus, DOCUMENTS))
}

/// The texts of at most `count` documents at equal distances.
pub(crate) fn document_texts(corpus: &Corpus, count: usize) -> impl Iterator<Item = String> + '_ {
    let documents = (0..corpus.documents().len()).step_by(corpus.documents().len().div_ceil(count).max(1));
    documents.map(|document| format!("{} {}", corpus.title(document), corpus.summary(document)))
}
