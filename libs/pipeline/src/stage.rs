//! What a stage is, and what it works with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use tables::{GroupEncoder, GroupWriter, InputEntry, StageDir, TableEntry, TableWriter, WriteOptions};

use crate::config::Pipeline;
use crate::counted;
use crate::paths::RunPaths;
use crate::progress::Progress;

/// The stages in the order they run. The file is the only list of them; the justfile reads it too.
const ORDER: &str = include_str!("../../../stages/order");

/// The names of the stages in the order they run.
pub fn stages() -> impl DoubleEndedIterator<Item = &'static str> {
    ORDER.lines()
}

/// One step of the pipeline: inputs to one output folder.
pub trait Stage {
    /// The stage's name: its binary, its table in `pipeline.toml`, its folder.
    const NAME: &'static str;

    /// Version of what the stage computes. A commit that changes the output for the same inputs and configuration raises
    /// it, so that outputs of earlier versions are made again.
    const VERSION: u32;

    /// What the stage does, reads and writes, for `--help`.
    const ABOUT: About;

    /// Everything the stage takes from `pipeline.toml`: its own table, the keys of other tables that it reads, and of
    /// `[run]` the seed and the precision if it uses them. It is all the configuration that [`Stage::run`] sees, and, as
    /// JSON, what decides whether an output is up to date.
    type Config: Serialize;

    /// Takes the stage's configuration from the pipeline's.
    ///
    /// # Errors
    /// [`NothingToDo`] where the pipeline does not ask for this stage.
    fn configure(&self, pipeline: &Pipeline) -> Result<Self::Config, NothingToDo>;

    /// Checks what later stages will need as far as this stage can see it, so that a fault is told before hours of work. What it
    /// reads does not decide whether an output is up to date.
    ///
    /// # Errors
    /// What a later stage would refuse.
    fn check(&self, pipeline: &Pipeline) -> anyhow::Result<()> {
        let _ = pipeline;
        Ok(())
    }

    /// Everything the stage reads.
    ///
    /// # Errors
    /// Where an input cannot even be named, such as a pattern that no file matches.
    fn inputs(&self, config: &Self::Config, paths: &RunPaths) -> anyhow::Result<Vec<Input>>;

    /// True if an interrupted run leaves checkpoints to resume from.
    fn resumable(&self) -> bool {
        false
    }

    /// False if this run makes a share of the work beside other processes and commits nothing: it holds the stage's lock with
    /// them, and has no folder [`StageContext::out`].
    fn commits(&self) -> bool {
        true
    }

    /// Removes what the stage kept beside its output while it ran; called when the output is committed or up to date.
    ///
    /// # Errors
    /// Files that cannot be removed.
    fn clean_up(&self, paths: &RunPaths) -> anyhow::Result<()> {
        let _ = paths;
        Ok(())
    }

    /// Looks at the output, which was just committed or is up to date. It stays, whatever is found.
    ///
    /// # Errors
    /// What the user asked to be told of.
    fn conclude(&self, config: &Self::Config, paths: &RunPaths) -> anyhow::Result<()> {
        let _ = (config, paths);
        Ok(())
    }

    /// Makes the output in [`StageContext::out`].
    ///
    /// # Errors
    /// Anything; the earlier output stays as it was.
    fn run(&self, config: &Self::Config, context: &mut StageContext) -> anyhow::Result<()>;
}

/// What a stage does, in the words of its `--help`.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// What it does, in one line.
    pub does: &'static str,
    /// The tables, folders and files it reads.
    pub reads: &'static str,
    /// The tables and folders it writes.
    pub writes: &'static str,
    /// What an interrupted run leaves for the next one to go on from.
    pub keeps: Option<&'static str>,
}

/// The pipeline does not ask for a stage; the text is the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NothingToDo(pub String);

/// Something a stage reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A table of an earlier stage.
    Table {
        /// The stage.
        stage: &'static str,
        /// The table.
        table: &'static str,
    },
    /// A folder of an earlier stage, such as a model's.
    Folder {
        /// The stage.
        stage: &'static str,
        /// The folder.
        folder: &'static str,
    },
    /// A file from outside the run.
    File(PathBuf),
}

impl Input {
    /// The stage and the table or folder of it that is read; `None` for a file.
    pub(crate) fn of_stage(&self) -> Option<(&'static str, &'static str)> {
        match *self {
            Input::Table { stage, table: name } | Input::Folder { stage, folder: name } => Some((stage, name)),
            Input::File(_) => None,
        }
    }
}

/// What a running stage works with: its inputs, its output folder, the tables and figures it has written.
#[derive(Debug)]
pub struct StageContext {
    pub(crate) paths: RunPaths,
    pub(crate) out: PathBuf,
    pub(crate) tables: BTreeMap<String, TableEntry>,
    pub(crate) facts: serde_json::Map<String, serde_json::Value>,
    pub(crate) bars: bool,
    pub(crate) fingerprint: String,
    pub(crate) forced: bool,
    pub(crate) resumed: bool,
    pub(crate) declared: Vec<Input>,
    pub(crate) inputs: Vec<InputEntry>,
    pub(crate) config: serde_json::Value,
}

impl StageContext {
    /// A context that reads `declared` and writes below `out`, for work outside a pipeline and for tests.
    #[must_use]
    pub fn new(paths: RunPaths, out: PathBuf, declared: Vec<Input>) -> StageContext {
        StageContext {
            paths,
            out,
            tables: BTreeMap::new(),
            facts: serde_json::Map::new(),
            bars: false,
            fingerprint: String::new(),
            forced: false,
            resumed: false,
            declared,
            inputs: Vec::new(),
            config: serde_json::Value::Null,
        }
    }

    /// Where the pipeline's files are.
    #[must_use]
    pub fn paths(&self) -> &RunPaths {
        &self.paths
    }

    /// Digest of all that decides the output: stage version, configuration and inputs. A checkpoint of another one must
    /// not be resumed.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// True if the user asked to make everything anew.
    #[must_use]
    pub fn forced(&self) -> bool {
        self.forced
    }

    /// True if the user asked to resume an interrupted run, and to do nothing else.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// The declared inputs with their digests.
    #[must_use]
    pub fn inputs(&self) -> &[InputEntry] {
        &self.inputs
    }

    /// The stage's configuration, as the manifest keeps it.
    #[must_use]
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// The folder to write into; it becomes the stage's output when the run succeeds.
    #[must_use]
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// An earlier stage's committed output, of which the declared inputs can be read.
    ///
    /// # Errors
    /// [`tables::Error::MissingStage`] where the stage has not been run; reading what is not declared as an input is
    /// [`tables::Error::Undeclared`].
    pub fn input(&self, stage: &str) -> tables::Result<StageDir> {
        let declared = self.declared.iter().filter_map(Input::of_stage);
        let declared = declared.filter(|&(of, _)| of == stage).map(|(_, name)| name.to_string());
        Ok(StageDir::open(&self.paths.run_dir(), stage)?.restricted_to(declared.collect()))
    }

    /// Begins a table of the output.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn create_table(&self, name: &str, metadata: &[(&str, &str)]) -> tables::Result<TableWriter> {
        TableWriter::create(&self.out, name, WriteOptions::default(), metadata)
    }

    /// Begins a table of the output whose row groups several threads encode.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn create_groups(&self, name: &str) -> tables::Result<(GroupWriter, GroupEncoder)> {
        GroupWriter::create(&self.out, name, WriteOptions::default())
    }

    /// Closes a table and enters it into the manifest; returns the number of its rows.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn finish_table(&mut self, name: &str, table: TableWriter) -> tables::Result<u64> {
        Ok(self.enter_table(name, table.finish()?))
    }

    /// Enters a closed table into the manifest; returns the number of its rows.
    pub fn enter_table(&mut self, name: &str, entry: TableEntry) -> u64 {
        let rows = entry.rows;
        tracing::info!("{name}: {}", counted(rows, "row"));
        self.tables.insert(name.to_string(), entry);
        rows
    }

    /// Adds a figure to the manifest.
    pub fn fact(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.facts.insert(name.to_string(), value.into());
    }

    /// The manifest, with the tables and figures that were written.
    #[must_use]
    pub fn into_manifest(self, manifest: tables::Manifest) -> tables::Manifest {
        let (tables, facts) = (self.tables, self.facts);
        tables::Manifest { tables, facts, ..manifest }
    }

    /// Begins a progress bar (or, without a terminal, a log line every ten seconds).
    #[must_use]
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        Progress::new(label, total, self.bars)
    }
}
