//! Which files a Hugging Face folder has.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::files;
use crate::weights::PICKLE;

pub(super) const CONFIG_FILE: &str = "config.json";
pub(super) const WEIGHTS_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Weights as they were saved before safetensors.
const PICKLE_FILES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
pub(super) const CARD_FILE: &str = "README.md";
pub(super) const SETTINGS_FILE: &str = "disranker.json";

/// The file of the weights, or the files that the index names, in the order of their names.
pub(super) fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join(WEIGHTS_FILE);
    let index = folder.join(INDEX_FILE);
    if single.exists() {
        return Ok(vec![single]);
    }
    if !index.exists() {
        let pickle = PICKLE_FILES.iter().find(|name| folder.join(name).exists());
        let found = pickle.map_or("neither".to_owned(), |name| format!("{name}, {PICKLE}"));
        return Err(format_error(folder, &format!("{WEIGHTS_FILE} or {INDEX_FILE}"), found));
    }
    let content = read_json(&index)?;
    let names: Option<BTreeSet<&str>> =
        content["weight_map"].as_object().and_then(|map| map.values().map(Value::as_str).collect());
    match names {
        Some(names) if !names.is_empty() => names.into_iter().map(|name| weight_file(folder, &index, name)).collect(),
        _ => Err(format_error(&index, "a weight_map from weights to files", "none".to_owned())),
    }
}

/// The file that an index names: a safetensors file in the index's own folder, or, as in the cache of the Hugging Face
/// libraries, a link from there to the files its snapshots share.
fn weight_file(folder: &Path, index: &Path, name: &str) -> Result<PathBuf> {
    let refusal = |why: &str| format_error(index, "safetensors files in its own folder", format!("`{name}`{why}"));
    let path = folder.join(name);
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(refusal(", which is outside of it"));
    }
    if path.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(refusal(", which is of another kind"));
    }
    let (Ok(home), Ok(target)) = (folder.canonicalize(), path.canonicalize()) else {
        return Err(refusal(", which is missing"));
    };
    let shared = home.parent().filter(|snapshots| snapshots.ends_with("snapshots")).and_then(Path::parent);
    let is_shared = shared.is_some_and(|cache| target.parent() == Some(&cache.join("blobs")));
    if target.starts_with(&home) || is_shared { Ok(path) } else { Err(refusal(", a link out of it")) }
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    serde_json::from_str(&files::read_text(path)?).map_err(|error| format_error(path, "JSON", error.to_string()))
}

pub(super) fn write_json(path: &Path, value: &Value) -> Result<()> {
    files::write_atomically(path, format!("{value:#}\n").as_bytes())
}

/// A file that does not hold what it should.
pub(crate) fn format_error(path: &Path, expected: &str, found: String) -> Error {
    Error::Format { path: path.to_path_buf(), expected: expected.to_owned(), found }
}
