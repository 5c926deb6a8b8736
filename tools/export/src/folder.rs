//! The folder that is written: a saved ranker, which transformers and sentence-transformers load, with the graphs below `onnx`, where
//! sentence-transformers, optimum and text-embeddings-inference look for them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use nn::folder::{SavedRanker, save_ranker};
use nn::text::PairTokenizer;
use pipeline::{BadInput, ConfigError};
use serde_json::{Value, json};

use crate::graph::Precision;
use crate::models::{NoGraph, model};
use crate::{card, save};

/// Where the graphs are.
pub(crate) const GRAPHS: &str = "onnx";

/// The file of a precision. A quantised model has the name that optimum gives it.
pub(crate) fn file_name(precision: Precision) -> &'static str {
    match precision {
        Precision::F32 => "model.onnx",
        Precision::Int8 => "model_quantized.onnx",
    }
}

/// Refuses an output that is there, unless it may be replaced, and one that is the model itself.
pub(crate) fn check_output(model: &Path, out: &Path, force: bool) -> Result<(), ConfigError> {
    let shown = out.display();
    if out.exists() && fs::canonicalize(out).ok() == fs::canonicalize(model).ok() {
        return Err(ConfigError::Unusable(format!("{shown}: expected another folder than --model, found the same")));
    }
    if out.exists() && !force {
        let remedy = "name another, or replace it with --force";
        return Err(ConfigError::Unusable(format!("{shown}: expected no folder of this name, found one; {remedy}")));
    }
    if out.is_file() {
        return Err(ConfigError::Unusable(format!("{shown}: expected a folder to write, found a file")));
    }
    Ok(())
}

/// Writes the folder, with a graph for each precision. It is written beside its place, and moved there when it is whole.
///
/// # Errors
/// [`BadInput`] for a model that has no graph.
pub(crate) fn write(
    (folder, saved): (&Path, &SavedRanker),
    out: &Path,
    precisions: &[Precision],
) -> anyhow::Result<()> {
    let name = out.file_name().with_context(|| format!("{}: a folder without a name", out.display()))?;
    let partial = out.with_file_name(format!(".{}.partial", name.to_string_lossy()));
    remove(&partial)?;
    let written = write_parts((folder, saved), &partial, precisions);
    if written.is_err() {
        remove(&partial)?;
    }
    written?;
    remove(out)?;
    fs::rename(&partial, out).with_context(|| format!("{}: writing failed", out.display()))
}

fn remove(folder: &Path) -> anyhow::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{}: cannot be removed", folder.display()))?;
    }
    Ok(())
}

fn write_parts((folder, saved): (&Path, &SavedRanker), out: &Path, precisions: &[Precision]) -> anyhow::Result<()> {
    let graphs: PathBuf = out.join(GRAPHS);
    fs::create_dir_all(&graphs).with_context(|| format!("{}: cannot be made", graphs.display()))?;
    for &precision in precisions {
        let model = model(&saved.ranker, precision)?;
        let model =
            model.map_err(|NoGraph(expected)| BadInput(format!("{}: expected {expected}", folder.display())))?;
        save::save(model, &graphs.join(file_name(precision)), save::LARGEST)?;
    }
    let own_card = fs::read_to_string(folder.join("README.md")).ok();
    let card = card::text(saved, own_card.as_deref(), precisions)?;
    save_ranker(out, &saved.ranker, &saved.tokenizer, &saved.settings, &card)?;
    complete_config(&out.join("config.json"))?;
    name_tokenizer(&out.join("tokenizer_config.json"))?;
    let length = PairTokenizer::new(&saved.tokenizer, &saved.settings.scoring)?.max_tokens();
    set(&out.join("sentence_bert_config.json"), "max_seq_length", json!(length))
}

/// Sizes under the names that text-embeddings-inference asks of every model: DistilBERT has others for them, and transformers takes
/// both.
fn complete_config(path: &Path) -> anyhow::Result<()> {
    let config = read(path)?;
    for (name, own) in [("hidden_size", "dim"), ("num_hidden_layers", "n_layers")] {
        if let (None, Some(value)) = (config.get(name), config.get(own)) {
            set(path, name, value.clone())?;
        }
    }
    Ok(())
}

/// transformers 5 writes a name for tokenizers without a class of their own that transformers 4, which optimum asks for, does not know;
/// both know the older one.
fn name_tokenizer(path: &Path) -> anyhow::Result<()> {
    if read(path)?["tokenizer_class"] == "TokenizersBackend" {
        set(path, "tokenizer_class", json!("PreTrainedTokenizerFast"))?;
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Value> {
    let text = if path.exists() { fs::read_to_string(path)? } else { "{}".to_owned() };
    serde_json::from_str(&text).with_context(|| format!("{}: expected JSON", path.display()))
}

/// Sets a field of a JSON file, which is made where missing.
fn set(path: &Path, field: &str, value: Value) -> anyhow::Result<()> {
    let mut object = read(path)?;
    object[field] = value;
    Ok(files::write_atomically(path, format!("{object:#}\n").as_bytes())?)
}
