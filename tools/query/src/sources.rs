//! The tables of a run as they are on disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use pipeline::BadInput;
use tables::{FileEntry, MANIFEST_FILE, Schema, StageDir, TableFile};

/// The table that trainings append to while they run.
const GROWING: &str = "training_metrics";

/// Everything a run's folder holds, by table; the stages of a table in alphabetical order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    tables: BTreeMap<String, Vec<Source>>,
    stages: Vec<String>,
    faults: Vec<Fault>,
}

/// One stage's files of a table.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    /// The stage that writes it.
    pub(crate) stage: String,
    /// Its rows; `None` where a file of a running stage cannot be read.
    pub(crate) rows: Option<u64>,
    files: Files,
}

#[derive(Debug, Clone)]
enum Files {
    /// Those of a manifest, in row order.
    Finished(Arc<StageDir>, Vec<FileEntry>),
    /// Those that a running stage has written so far.
    Growing(Vec<PathBuf>),
}

/// Why a stage's output, or a table of it, cannot be used.
#[derive(Debug, Clone)]
struct Fault {
    stage: String,
    table: Option<String>,
    reason: String,
}

impl Run {
    /// Finds what is in the folder `run`.
    ///
    /// A stage that is running, or was interrupted, has its growing table in a partial folder: those rows are newer than
    /// the finished ones and take their place. A manifest that cannot be read is a fault of its tables alone.
    ///
    /// # Errors
    /// A folder that cannot be listed.
    pub(crate) fn find(run: &Path) -> anyhow::Result<Run> {
        let mut found = Run::default();
        for name in folders(run)? {
            if let Some(stage) = running_stage(&name) {
                let files = parquet_files(&run.join(&name).join(GROWING))?;
                if !files.is_empty() {
                    found
                        .add(GROWING, Source { stage: stage.into(), rows: rows(&files), files: Files::Growing(files) });
                }
            } else if !name.starts_with('.') && run.join(&name).join(MANIFEST_FILE).exists() {
                found.add_finished(run, &name);
            }
        }
        for sources in found.tables.values_mut() {
            sources.sort_by(|a, b| a.stage.cmp(&b.stage));
        }
        Ok(found)
    }

    /// True if there is no table, not even a damaged one.
    pub(crate) fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.faults.is_empty()
    }

    /// The tables that are there.
    pub(crate) fn tables(&self) -> impl Iterator<Item = (&str, &[Source])> {
        self.tables.iter().map(|(name, sources)| (name.as_str(), sources.as_slice()))
    }

    /// Rows of a table, where they are known.
    pub(crate) fn rows(&self, table: &str) -> Option<u64> {
        self.tables.get(table)?.iter().map(|source| source.rows).sum()
    }

    /// Requires that nothing of the run is damaged, as far as its manifests tell.
    ///
    /// # Errors
    /// [`BadInput`] with the first fault.
    pub(crate) fn whole(&self) -> Result<(), BadInput> {
        self.faults.first().map_or(Ok(()), |fault| Err(BadInput(fault.reason.clone())))
    }

    /// What there is of a table.
    ///
    /// # Errors
    /// [`BadInput`] where there is none, or not all of it, with what to do.
    pub(crate) fn of_table(&self, table: &str) -> anyhow::Result<Vec<Source>> {
        let schema = Schema::named(table)?;
        let of_table = |fault: &&Fault| match &fault.table {
            Some(of) => of == table,
            None => schema.stages.contains(&fault.stage),
        };
        if let Some(fault) = self.faults.iter().find(of_table) {
            Err(BadInput(fault.reason.clone()))?;
        }
        match self.tables.get(table) {
            Some(sources) => Ok(sources.clone()),
            None => Err(BadInput(self.why_absent(schema)))?,
        }
    }

    fn why_absent(&self, schema: &Schema) -> String {
        let (table, stages) = (&schema.name, schema.stages.join(" and "));
        match schema.stages.iter().find(|stage| !self.stages.contains(stage)) {
            None if stages.is_empty() => format!("table {table} is not one of a run's tables"),
            None => {
                format!("table {table}: stage {stages} has run without writing it; docs/tables.md says when it does")
            }
            Some(stage) if schema.stages.len() == 1 => {
                format!("table {table} is written by stage {stage}, which has not run: run {stage}")
            }
            Some(stage) => format!("table {table} is written by stages {stages}, which have not run: run {stage}"),
        }
    }

    fn add(&mut self, table: &str, source: Source) {
        let sources = self.tables.entry(table.into()).or_default();
        if sources.iter().all(|other| other.stage != source.stage) {
            sources.push(source);
        }
    }

    fn add_finished(&mut self, run: &Path, stage: &str) {
        self.stages.push(stage.into());
        let folder = match StageDir::open(run, stage) {
            Ok(folder) => Arc::new(folder),
            Err(error) => {
                return self.faults.push(Fault { stage: stage.into(), table: None, reason: error.to_string() });
            }
        };
        for (table, entry) in &folder.manifest().tables {
            match version_fault(&folder, table, entry.schema_version) {
                Some(reason) => {
                    self.faults.push(Fault { stage: stage.into(), table: Some(table.clone()), reason });
                }
                None => {
                    let files = Files::Finished(folder.clone(), entry.files.clone());
                    self.add(table, Source { stage: stage.into(), rows: Some(entry.rows), files });
                }
            }
        }
    }
}

impl Source {
    /// The Parquet files in row order; those of a finished stage with their entries in its manifest.
    pub(crate) fn files(&self) -> Vec<(PathBuf, Option<&FileEntry>)> {
        match &self.files {
            Files::Finished(folder, entries) => {
                entries.iter().map(|entry| (folder.path().join(&entry.path), Some(entry))).collect()
            }
            Files::Growing(paths) => paths.iter().map(|path| (path.clone(), None)).collect(),
        }
    }

    /// Compares a file with its checksum.
    ///
    /// # Errors
    /// [`tables::Error::Checksum`] and others.
    pub(crate) fn verify(&self, entry: &FileEntry) -> tables::Result<()> {
        match &self.files {
            Files::Finished(folder, _) => folder.verify(entry).map(drop),
            Files::Growing(_) => Ok(()),
        }
    }
}

fn running_stage(folder: &str) -> Option<&str> {
    folder.strip_prefix('.')?.strip_suffix(".partial")
}

/// Why a table cannot be read by its schema, if it cannot.
fn version_fault(folder: &StageDir, table: &str, version: u32) -> Option<String> {
    let schema = match Schema::named(table) {
        Ok(schema) if schema.version == version => return None,
        Ok(schema) => schema,
        Err(error) => return Some(error.to_string()),
    };
    let error = tables::Error::SchemaMismatch {
        path: folder.path().join(table),
        table: &schema.name,
        version: schema.version,
        expected: format!("schema version {}", schema.version),
        found: format!("schema version {version}; re-run stage `{}`", folder.manifest().stage),
    };
    Some(error.to_string())
}

/// Rows of growing files.
fn rows(files: &[PathBuf]) -> Option<u64> {
    files.iter().map(|file| Some(TableFile::open(file, GROWING).ok()?.rows())).sum()
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
