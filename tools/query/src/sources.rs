//! The tables of a run as they are on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tables::{MANIFEST_FILE, Schema, StageDir};

/// The table that trainings append to while they run.
const GROWING: &str = "training_metrics";

/// One stage's files of a table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Source {
    /// The stage that writes it.
    pub(crate) stage: String,
    /// Its Parquet files, in row order.
    pub(crate) files: Vec<PathBuf>,
    /// Rows by the manifest; unknown while the stage runs.
    pub(crate) rows: Option<u64>,
}

/// Everything the run's folder holds, by table; the stages of a table in alphabetical order.
///
/// A stage that is running, or was interrupted, has its growing table in a partial folder: those rows are newer than
/// the finished ones and take their place.
///
/// # Errors
/// A manifest or schema version that cannot be read, naming the stage to run again.
pub(crate) fn find(run: &Path) -> anyhow::Result<BTreeMap<String, Vec<Source>>> {
    let mut found: BTreeMap<String, Vec<Source>> = BTreeMap::new();
    for name in folders(run)? {
        if let Some(stage) = running_stage(&name) {
            let files = parquet_files(&run.join(&name).join(GROWING))?;
            if !files.is_empty() {
                let sources = found.entry(GROWING.into()).or_default();
                sources.retain(|source| source.stage != stage);
                sources.push(Source { stage: stage.into(), files, rows: None });
            }
        } else if !name.starts_with('.') && run.join(&name).join(MANIFEST_FILE).exists() {
            for (table, source) in finished(&StageDir::open(run, &name)?)? {
                let sources = found.entry(table).or_default();
                if sources.iter().all(|other| other.stage != source.stage) {
                    sources.push(source);
                }
            }
        }
    }
    for sources in found.values_mut() {
        sources.sort_by(|a, b| a.stage.cmp(&b.stage));
    }
    Ok(found)
}

fn running_stage(folder: &str) -> Option<&str> {
    folder.strip_prefix('.')?.strip_suffix(".partial")
}

fn finished(stage: &StageDir) -> anyhow::Result<Vec<(String, Source)>> {
    let manifest = stage.manifest();
    let mut sources = Vec::new();
    for (table, entry) in &manifest.tables {
        let schema = Schema::named(table)?;
        if entry.schema_version != schema.version {
            Err(tables::Error::SchemaMismatch {
                path: stage.path().join(table),
                table: &schema.name,
                version: schema.version,
                expected: format!("schema version {}", schema.version),
                found: format!("schema version {}; re-run stage `{}`", entry.schema_version, manifest.stage),
            })?;
        }
        let source = Source {
            stage: manifest.stage.clone(),
            files: entry.files.iter().map(|file| stage.path().join(&file.path)).collect(),
            rows: Some(entry.rows),
        };
        sources.push((table.clone(), source));
    }
    Ok(sources)
}

/// Names of the run's folders, sorted, so that partial folders (which begin with a dot) come first.
fn folders(run: &Path) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(run)? {
        if let Some(name) = path.file_name().filter(|_| path.is_dir()) {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn parquet_files(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|path| path.extension().is_some_and(|e| e == "parquet"));
    Ok(files)
}

/// Sorted paths of a folder's entries; none where the folder does not exist.
fn entries(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let context = || format!("{}: listing failed", folder.display());
    let listing = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.with_context(context)?,
    };
    let mut paths =
        listing.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().with_context(context)?;
    paths.sort();
    Ok(paths)
}
