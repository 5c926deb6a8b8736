//! What a stage is, and what it works with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tables::{InputEntry, StageDir, TableEntry, TableWriter, WriteOptions};

use crate::config::Pipeline;
use crate::progress::Progress;

/// One step of the pipeline: inputs to one output folder.
pub trait Stage {
    /// The stage's name: its binary, its table in `pipeline.toml`, its folder.
    const NAME: &'static str;

    /// Why there is nothing to do under this configuration, where that is so.
    fn not_configured(&self, pipeline: &Pipeline) -> Option<String> {
        let _ = pipeline;
        None
    }

    /// Everything the stage reads.
    ///
    /// # Errors
    /// Where an input cannot even be named, such as a pattern no file matches.
    fn inputs(&self, pipeline: &Pipeline) -> anyhow::Result<Vec<Input>>;

    /// Keys of other tables of the configuration that decide the output too, such as `evaluate.depth`.
    fn config_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// Whether an interrupted run leaves checkpoints to go on from.
    fn resumable(&self) -> bool {
        false
    }

    /// Makes the output in [`StageRun::out`].
    ///
    /// # Errors
    /// Anything; the earlier output stays as it was.
    fn run(&self, run: &mut StageRun) -> anyhow::Result<()>;
}

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

/// A stage at work.
#[derive(Debug)]
pub struct StageRun {
    pub(crate) pipeline: Pipeline,
    pub(crate) out: PathBuf,
    pub(crate) tables: BTreeMap<String, TableEntry>,
    pub(crate) facts: serde_json::Map<String, serde_json::Value>,
    pub(crate) bars: bool,
    pub(crate) fingerprint: String,
    pub(crate) forced: bool,
    pub(crate) resumed: bool,
    pub(crate) inputs: Vec<InputEntry>,
    pub(crate) config: serde_json::Value,
}

impl StageRun {
    /// A run that writes below `out`, for tests of a stage's library.
    #[must_use]
    pub fn new(pipeline: Pipeline, out: PathBuf) -> StageRun {
        StageRun {
            pipeline,
            out,
            tables: BTreeMap::new(),
            facts: serde_json::Map::new(),
            bars: false,
            fingerprint: String::new(),
            forced: false,
            resumed: false,
            inputs: Vec::new(),
            config: serde_json::Value::Null,
        }
    }

    /// The whole configuration.
    #[must_use]
    pub fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// The run's seed.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.pipeline.run.seed
    }

    /// Digest of all that decides the output: inputs, configuration, seed and version. A checkpoint of another one
    /// must not be resumed.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Whether the user asked to make everything anew.
    #[must_use]
    pub fn forced(&self) -> bool {
        self.forced
    }

    /// Whether the user asked to go on with an interrupted run, and with nothing else.
    #[must_use]
    pub fn resumed(&self) -> bool {
        self.resumed
    }

    /// What the stage reads, with digests.
    #[must_use]
    pub fn inputs(&self) -> &[InputEntry] {
        &self.inputs
    }

    /// The stage's own table of the configuration, resolved.
    #[must_use]
    pub fn config(&self) -> &serde_json::Value {
        &self.config
    }

    /// The folder to write into; it becomes the stage's output when the run succeeds.
    #[must_use]
    pub fn out(&self) -> &Path {
        &self.out
    }

    /// An earlier stage's committed output.
    ///
    /// # Errors
    /// [`tables::Error::MissingStage`] where it has not been run.
    pub fn input(&self, stage: &str) -> tables::Result<StageDir> {
        StageDir::open(&self.pipeline.run_dir(), stage)
    }

    /// Begins a table of the output.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn create_table(&self, name: &str, metadata: &[(&str, &str)]) -> tables::Result<TableWriter> {
        TableWriter::create(&self.out, name, WriteOptions::default(), metadata)
    }

    /// Closes a table and enters it into the manifest; returns its rows.
    ///
    /// # Errors
    /// [`tables::Error`].
    pub fn finish_table(&mut self, name: &str, table: TableWriter) -> tables::Result<u64> {
        let entry = table.finish()?;
        let rows = entry.rows;
        tracing::info!("{name}: {rows} rows");
        self.tables.insert(name.to_string(), entry);
        Ok(rows)
    }

    /// Notes a figure in the manifest.
    pub fn fact(&mut self, name: &str, value: impl Into<serde_json::Value>) {
        self.facts.insert(name.to_string(), value.into());
    }

    /// Begins a progress bar (or, off a terminal, a log line now and then).
    #[must_use]
    pub fn progress(&self, label: &str, total: u64) -> Progress {
        Progress::new(label, total, self.bars)
    }
}
