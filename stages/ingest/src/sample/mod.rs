//! The first records of the inputs, read and cleaned as a run would do it, with nothing written.
//!
//! Where all records of an input are among the first, what the stage would refuse is refused here too. Where there are more,
//! limits that the first ones exceed are warnings: what the share is in all of them is not known yet. Which documents of the
//! log exist is never known.

mod log;
mod texts;

use std::collections::BTreeSet;

use anyhow::{Context, Result};
use pipeline::RunPaths;
use records::{Blocks, Field, Layout, Packing, RawFile, RawFormat};

use crate::files;
use crate::report::{Fate, Tallies};
use crate::stage::Settings;

pub use log::LogSample;
pub use texts::{DocumentSample, JudgmentSample, SplitSample};

/// Records that are read of an input.
const RECORDS: u64 = 1000;
/// Files that they are taken from at most, the same number from each.
const FILES: usize = 10;
/// Names that are kept of the fields of an input.
const NAMES: usize = 1000;

/// The first records of an input.
#[derive(Debug)]
pub struct Input {
    /// The input in a word: `log`, `documents`, `judgments` or `queries`.
    pub name: &'static str,
    /// Its table in the pipeline file.
    pub table: &'static str,
    /// The format of its files, as the pipeline file names it.
    pub format: String,
    /// Its files that are not empty, with their sizes.
    pub files: Vec<(RawFile, Packing)>,
    /// By kind of records: what it is, empty where there is but one, and the names of its columns here and in the files.
    pub mapped: Vec<(String, Vec<(String, String)>)>,
    /// Fields that are mapped, and that nothing which was read has.
    pub absent: Vec<String>,
    /// Fields of the files that are mapped to nothing.
    pub unused: Vec<String>,
    /// Records that were read.
    pub records: u64,
    /// Their text in bytes; 0 of Parquet.
    pub bytes: u64,
    /// True if there are no further records.
    pub is_whole: bool,
    /// Records, or events of the log, that become no row of their own.
    pub set_aside: Vec<SetAside>,
    /// What was read.
    pub found: Found,
    /// What may be wrong.
    pub warnings: Vec<String>,
    /// What the stage would refuse.
    pub problem: Option<anyhow::Error>,
}

/// Records that become no row of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// What becomes of them, as the table `ingest_report` has it.
    pub fate: &'static str,
    /// Why.
    pub reason: String,
    /// How many.
    pub rows: u64,
    /// The beginning of one of them.
    pub example: String,
}

/// What was read.
#[derive(Debug, Default)]
pub enum Found {
    /// Nothing.
    #[default]
    Nothing,
    /// Searches and results.
    Log(LogSample),
    /// Documents.
    Documents(DocumentSample),
    /// Judgments.
    Judgments(JudgmentSample),
    /// Query texts, this many.
    Queries(u64),
}

/// Reads the first records of every input that the configuration names.
#[must_use]
pub fn inputs(settings: &Settings, paths: &RunPaths) -> Vec<Input> {
    let all = [
        log::input(settings, paths),
        texts::documents(settings, paths),
        texts::queries(settings, paths),
        texts::judgments(settings, paths),
        texts::propensities(settings, paths),
    ];
    all.into_iter().flatten().collect()
}

impl Input {
    fn new(name: &'static str, table: &'static str, format: impl Into<String>) -> Input {
        Input {
            name,
            table,
            format: format.into(),
            files: Vec::new(),
            mapped: Vec::new(),
            absent: Vec::new(),
            unused: Vec::new(),
            records: 0,
            bytes: 0,
            is_whole: true,
            set_aside: Vec::new(),
            found: Found::Nothing,
            warnings: Vec::new(),
            problem: None,
        }
    }

    /// The input as `read` fills it in, with its error as the problem.
    fn filled(mut self, read: impl FnOnce(&mut Input) -> Result<()>) -> Input {
        let outcome = read(&mut self);
        self.problem = self.problem.or(outcome.err());
        self
    }

    /// The records of all files, in proportion to their sizes where not all were read; `None` if none was read.
    #[must_use]
    pub fn all_records(&self) -> Option<u64> {
        if self.is_whole {
            return Some(self.records);
        }
        let rows: Option<u64> = self.files.iter().map(|(_, packing)| packing.rows).sum();
        let size: u64 = self.files.iter().map(|(_, packing)| packing.text_bytes).sum();
        let by_size = || (self.bytes > 0).then(|| (size as f64 * self.records as f64 / self.bytes as f64) as u64);
        rows.or_else(by_size)
    }

    /// Takes over the files but for empty ones, and looks at their sizes.
    fn list(&mut self, files: Vec<RawFile>) -> Result<()> {
        let (full, empty) = files::without_empty(files)?;
        self.warnings.extend(files::skipped(&empty));
        let count = full.len();
        let is_looked_at = |place: usize| (0..count.min(FILES)).any(|at| place == spread(at, count));
        let mut text_per_byte = 1.0;
        for (place, file) in full.into_iter().enumerate() {
            // Of many compressed files, some tell how far all are compressed.
            let packing = if is_looked_at(place) || self.format == "parquet" {
                records::packing(&file)?
            } else {
                let bytes =
                    std::fs::metadata(&file.path).with_context(|| format!("{}: opening failed", file.name))?.len();
                let compression = self.files.last().and_then(|(_, packing)| packing.compression);
                Packing { bytes, compression, text_bytes: (bytes as f64 * text_per_byte) as u64, rows: None }
            };
            text_per_byte = packing.text_bytes as f64 / packing.bytes.max(1) as f64;
            self.files.push((file, packing));
        }
        Ok(())
    }

    /// The files that records are read of, spread over all, and how many of each.
    fn chosen(&mut self) -> (Vec<RawFile>, u64) {
        let (all, count) = (self.files.len(), self.files.len().min(FILES));
        self.is_whole = count == all;
        let files: Vec<RawFile> = (0..count).map(|at| self.files[spread(at, all)].0.clone()).collect();
        (files, RECORDS / count.max(1) as u64)
    }

    /// Notes what the stage would say of these records if there were no others.
    fn judge(&mut self, outcome: Result<()>) {
        match outcome {
            Ok(()) => {}
            Err(error) if self.is_whole => self.problem = self.problem.take().or(Some(error)),
            Err(error) => {
                let told = format!("{error:#}");
                let told = told.strip_prefix(&format!("{}: ", self.name)).unwrap_or(&told);
                self.warnings.push(format!("in the first records, {told}"));
            }
        }
    }

    /// Notes what the stage refuses, whatever the records are that were not read.
    fn refuse(&mut self, outcome: Result<()>) {
        self.problem = self.problem.take().or(outcome.err());
    }

    /// Notes the fields that the files have beside `wanted` ones, of which `found` says whether they are there; `objects` are
    /// the keys of JSON objects.
    fn compare(
        &mut self,
        files: &[RawFile],
        layout: &Layout,
        wanted: &[Field],
        found: &[bool],
        objects: BTreeSet<String>,
    ) -> Result<()> {
        let missing = wanted.iter().zip(found).filter(|(_, found)| !**found);
        self.absent = missing.map(|(field, _)| field.name.clone()).collect();
        let mut names: Vec<String> = Vec::new();
        for file in files {
            let optional: Vec<Field> =
                wanted.iter().map(|field| Field::optional(&field.name).with_lists(field.lists)).collect();
            let blocks = Blocks::open(file, layout, &optional)?;
            names.extend(blocks.columns().iter().cloned());
        }
        names.extend(objects);
        let is_used = |name: &str| {
            let below = |field: &Field| field.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            wanted.iter().any(|field| field.name == name || below(field))
        };
        let mut seen = BTreeSet::new();
        names.retain(|name| !is_used(name) && seen.insert(name.clone()));
        self.unused = names;
        Ok(())
    }

    fn set_aside(&mut self, tallies: &Tallies) {
        let others = tallies.iter().filter(|(fate, _, tally)| *fate != Fate::Kept && tally.rows > 0);
        self.set_aside = others
            .map(|(fate, reason, tally)| SetAside {
                fate: fate.name(),
                reason: reason.into(),
                rows: tally.rows,
                example: tally.example.clone(),
            })
            .collect();
    }
}

/// The place of the file that is looked at as number `at`, of `all` files: the first, the last, and others between them.
fn spread(at: usize, all: usize) -> usize {
    at * all.saturating_sub(1) / all.min(FILES).saturating_sub(1).max(1)
}

/// The name of a value of the configuration, as the pipeline file has it.
fn written(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        other => other.map(|value| value.to_string()).unwrap_or_default(),
    }
}

/// The columns of a table of the configuration that are mapped, in its order: their names here and in the files.
fn mapping(columns: &impl serde::Serialize) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(columns)) = serde_json::to_value(columns) else { return Vec::new() };
    let mut mapped = Vec::new();
    for (column, field) in columns {
        match field {
            serde_json::Value::String(field) => mapped.push((column, field)),
            serde_json::Value::Array(fields) => {
                let names = fields.iter().filter_map(serde_json::Value::as_str);
                mapped.extend(names.map(|name| (column.clone(), name.to_string())));
            }
            _ => {}
        }
    }
    mapped
}

/// Adds the keys of a record of JSON.
fn add_keys(keys: &mut BTreeSet<String>, format: RawFormat, content: &[u8]) {
    if format == RawFormat::Jsonl && keys.len() < NAMES {
        keys.extend(records::object_keys(content));
    }
}
