//! The two tokenizers: a base model's own, one from a folder, or one trained from queries and documents.

use std::path::{Path, PathBuf};

use anyhow::Context;
use nn::tokenizer::Tokenizer;
use pipeline::config::{BaseModel, TokenizerConfig};
use pipeline::{BadInput, Pipeline};
use training::{Corpus, TRAIN, open_base};

/// Learns a vocabulary of a size from texts.
type Train = fn(std::vec::IntoIter<String>, usize) -> nn::Result<Tokenizer>;

pub(crate) fn teacher(pipeline: &Pipeline, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let (base, config) = (&pipeline.teacher.base, &pipeline.cpt.teacher_tokenizer);
    tokenizer(pipeline, corpus, base.as_ref(), config.as_ref(), Tokenizer::train_byte_level_bpe)
}

pub(crate) fn student(pipeline: &Pipeline, corpus: &Corpus) -> anyhow::Result<Tokenizer> {
    let (base, config) = (pipeline.student_origin(), &pipeline.cpt.student_tokenizer);
    tokenizer(pipeline, corpus, base, config.as_ref(), Tokenizer::train_word_piece)
}

/// The files that tokenizers are read from, base models aside.
pub(crate) fn files(pipeline: &Pipeline) -> Vec<PathBuf> {
    let configured = [&pipeline.cpt.teacher_tokenizer, &pipeline.cpt.student_tokenizer].into_iter().flatten();
    let paths = configured.filter_map(|config| config.path.as_ref());
    paths.map(|path| pipeline.resolve(path).join("tokenizer.json")).collect()
}

pub(crate) fn save(tokenizer: &Tokenizer, folder: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
    Ok(tokenizer.save(folder)?)
}

fn tokenizer(
    pipeline: &Pipeline,
    corpus: &Corpus,
    base: Option<&BaseModel>,
    config: Option<&TokenizerConfig>,
    train: Train,
) -> anyhow::Result<Tokenizer> {
    if let Some(base) = base {
        return Ok(open_base(pipeline, base)?.tokenizer);
    }
    let config = config.cloned().unwrap_or_default();
    match config.path {
        Some(path) => Ok(Tokenizer::load(&pipeline.resolve(&path)).map_err(|error| BadInput(error.to_string()))?),
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
