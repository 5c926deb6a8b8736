//! A stage's manifest: its inputs, its outputs and its configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The manifest's file name inside a stage's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// The record of a complete output; written last.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq)]
pub struct Manifest {
    /// The stage that wrote the folder.
    pub stage: String,
    /// The program's version.
    pub version: String,
    /// Version of what the stage computes.
    pub stage_version: u32,
    /// All of the configuration that the stage read.
    pub config: serde_json::Value,
    /// What the output was made from.
    pub inputs: Vec<InputEntry>,
    /// Tables by name.
    pub tables: BTreeMap<String, TableEntry>,
    /// Every other file of the folder.
    pub files: Vec<FileEntry>,
    /// Named results of the run, such as counts and chosen weights.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Wall time of the run that finished the output.
    pub wall_seconds: f64,
    /// Highest resident memory of the process; `None` where the operating system does not report it.
    pub peak_memory_bytes: Option<u64>,
}

/// One file of an output.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct FileEntry {
    /// Relative to the stage's folder.
    pub path: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hex.
    pub sha256: String,
}

/// One table of an output.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct TableEntry {
    /// Version of the schema it was written with.
    pub schema_version: u32,
    /// Rows in all files.
    pub rows: u64,
    /// Its Parquet files, in row order.
    pub files: Vec<FileEntry>,
}

/// One input: a table or folder of an earlier stage, or a file from outside.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct InputEntry {
    /// `stage/table` or a file's path.
    pub name: String,
    /// Digest of the content.
    pub digest: String,
    /// Size of an outside file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// Modification time of an outside file, nanoseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub modified_ns: Option<u64>,
}

impl Manifest {
    /// Reads `dir/manifest.json`.
    ///
    /// # Errors
    /// [`Error::MissingStage`] where there is none, [`Error::BadManifest`] where it cannot be parsed.
    pub fn read(dir: &Path, stage: &str) -> Result<Manifest> {
        let path = dir.join(MANIFEST_FILE);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::MissingStage { path, stage: stage.to_string() });
            }
            Err(e) => return Err(Error::io(&path, "reading")(e)),
        };
        serde_json::from_slice(&text).map_err(|e| Error::BadManifest {
            path,
            stage: stage.to_string(),
            reason: e.to_string(),
        })
    }

    /// Digest of a table, of a folder such as a model's, or of a file of the output; `None` where the output has none of this
    /// name.
    #[must_use]
    pub fn digest_of(&self, name: &str) -> Option<String> {
        if let Some(table) = self.tables.get(name) {
            return Some(digest(table.schema_version, table.files.iter()));
        }
        if let Some(file) = self.files.iter().find(|file| file.path == name) {
            return Some(file.sha256.clone());
        }
        let prefix = format!("{name}/");
        let mut files = self.files.iter().filter(|file| file.path.starts_with(&prefix)).peekable();
        files.peek().is_some().then(|| digest(0, files))
    }
}

fn digest<'a>(version: u32, entries: impl Iterator<Item = &'a FileEntry>) -> String {
    let lines: Vec<String> = entries.map(|entry| format!("{} {}", entry.sha256, entry.path)).collect();
    files::sha256(format!("{version}\n{}", lines.join("\n")).as_bytes())
}
