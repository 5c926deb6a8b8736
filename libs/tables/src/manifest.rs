//! A stage's manifest: what went in, what came out, and under which configuration.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::checksum::sha256_bytes;
use crate::{Error, Result};

/// The manifest's file name inside a stage's folder.
pub const MANIFEST_FILE: &str = "manifest.json";

/// Written last, when a stage's output is complete.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq)]
pub struct Manifest {
    /// The stage that wrote the folder.
    pub stage: String,
    /// The program's version.
    pub version: String,
    /// The run's seed.
    pub seed: u64,
    /// The stage's resolved configuration.
    pub config: serde_json::Value,
    /// What the output was made from.
    pub inputs: Vec<InputEntry>,
    /// Tables by name.
    pub tables: BTreeMap<String, TableEntry>,
    /// Every other file of the folder.
    pub files: Vec<FileEntry>,
    /// Figures of the run that later stages and people read.
    pub facts: serde_json::Map<String, serde_json::Value>,
    /// Wall time of the run that finished the output.
    pub wall_seconds: f64,
    /// Highest resident memory of the process, where the system tells.
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

    /// Digest of one table's content: it changes when, and only when, a byte of its files does.
    #[must_use]
    pub fn table_digest(&self, table: &str) -> Option<String> {
        let entry = self.tables.get(table)?;
        Some(digest_of(entry.schema_version, &entry.files))
    }

    /// Digest of the files below `folder` that are not tables, such as a model's.
    #[must_use]
    pub fn folder_digest(&self, folder: &str) -> Option<String> {
        let prefix = format!("{folder}/");
        let files: Vec<FileEntry> = self.files.iter().filter(|f| f.path.starts_with(&prefix)).cloned().collect();
        (!files.is_empty()).then(|| digest_of(0, &files))
    }
}

fn digest_of(version: u32, files: &[FileEntry]) -> String {
    let lines: Vec<String> = files.iter().map(|f| format!("{} {}", f.sha256, f.path)).collect();
    sha256_bytes(format!("{version}\n{}", lines.join("\n")).as_bytes())
}
