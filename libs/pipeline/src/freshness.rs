//! Freshness: finds out if a stage's output is up to date.

use std::path::Path;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use tables::{FileEntry, InputEntry, Manifest, StageDir};

use crate::paths::RunPaths;
use crate::stage::Input;

/// Digests of a stage's inputs as they are now. A file from outside whose size and time are those `before` noted is
/// not read again.
pub(crate) fn input_entries(
    paths: &RunPaths,
    inputs: &[Input],
    before: Option<&Manifest>,
) -> anyhow::Result<Vec<InputEntry>> {
    inputs.iter().map(|input| entry(paths, input, before)).collect()
}

fn entry(paths: &RunPaths, input: &Input, before: Option<&Manifest>) -> anyhow::Result<InputEntry> {
    let (stage, name) = match input {
        Input::Table { stage, table: name } | Input::Folder { stage, folder: name } => (stage, name),
        Input::File(path) => return file_entry(paths, path, before),
    };
    let dir = StageDir::open(&paths.run_dir(), stage)?;
    let digest = dir.manifest().digest_of(name).ok_or_else(|| tables::Error::NotListed {
        path: dir.path().join(tables::MANIFEST_FILE),
        stage: stage.to_string(),
        wanted: format!("`{name}`"),
    })?;
    Ok(InputEntry { name: format!("{stage}/{name}"), digest, bytes: None, modified_ns: None })
}

fn file_entry(paths: &RunPaths, path: &Path, before: Option<&Manifest>) -> anyhow::Result<InputEntry> {
    let name = paths.display_name(path);
    let metadata = std::fs::metadata(path).with_context(|| format!("{}: reading failed", path.display()))?;
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let bytes = Some(metadata.len());
    let modified_ns = modified.and_then(|since| u64::try_from(since.as_nanos()).ok());
    let known = before.and_then(|m| m.inputs.iter().find(|i| i.name == name && i.bytes == bytes));
    let digest = match known {
        Some(known) if modified_ns.is_some() && known.modified_ns == modified_ns => known.digest.clone(),
        _ => files::sha256_of_file(path)?,
    };
    Ok(InputEntry { name, digest, bytes, modified_ns })
}

/// True if `before` was made by the same version of the stage from the same inputs and configuration, and its files are
/// still there.
pub(crate) fn is_fresh(dir: &Path, before: &Manifest, now: &Manifest) -> bool {
    let content = |m: &Manifest| m.inputs.iter().map(|i| (i.name.clone(), i.digest.clone())).collect::<Vec<_>>();
    let there =
        |file: &FileEntry| std::fs::metadata(dir.join(&file.path)).is_ok_and(|metadata| metadata.len() == file.bytes);
    before.stage_version == now.stage_version
        && before.config == now.config
        && content(before) == content(now)
        && before.files.iter().chain(before.tables.values().flat_map(|table| &table.files)).all(there)
}
