//! An in-memory DuckDB whose views are the run's tables.

use std::io::Write;
use std::path::PathBuf;

use duckdb::{Config, Connection};
use pipeline::{BadInput, ConfigError, Pipeline};

use crate::answer::{Format, write_answer};
use crate::{sources, views};

/// What DuckDB may hold in memory before it spills to disk.
const MEMORY_LIMIT: &str = "2GiB";

/// A run under a SQL engine.
pub struct Database {
    connection: Connection,
    run: PathBuf,
}

impl Database {
    /// Opens the run of `pipeline`; spilled data goes to a hidden folder of the run, and no extension is downloaded.
    ///
    /// # Errors
    /// [`BadInput`] where the run has no tables yet, [`tables::Error`] where a manifest cannot be read.
    pub fn open(pipeline: &Pipeline) -> anyhow::Result<Database> {
        let run = pipeline.paths().run_dir();
        let spill = run.join(".query.spill");
        let mut config = Config::default()
            .enable_autoload_extension(false)?
            .max_memory(MEMORY_LIMIT)?
            .with("temp_directory", spill.to_string_lossy())?;
        if pipeline.run.threads > 0 {
            config = config.with("threads", pipeline.run.threads.to_string())?;
        }
        let connection = Connection::open_in_memory_with_flags(config)?;
        let database = Database { connection, run };
        database.refresh()?;
        Ok(database)
    }

    /// Points the views at the files of this moment: a training that runs has grown since.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub fn refresh(&self) -> anyhow::Result<()> {
        let found = sources::find(&self.run)?;
        if found.is_empty() {
            let run = self.run.display();
            Err(BadInput(format!("{run}: expected the tables of a run, found none; run `just run-all` first")))?;
        }
        let sql = views::definitions(&found)?;
        self.connection.execute_batch(&sql).map_err(|cause| {
            BadInput(format!(
                "{}: a table of the run cannot be read: {}; re-run its stage with --force",
                self.run.display(),
                one_line(&cause)
            ))
        })?;
        Ok(())
    }

    /// Runs one statement and writes its rows in `format`.
    ///
    /// # Errors
    /// [`ConfigError`] with DuckDB's reason where the statement cannot be answered, [`std::io::Error`] where `out`
    /// cannot be written.
    pub fn answer(&self, sql: &str, format: Format, out: &mut dyn Write) -> anyhow::Result<()> {
        let refused = |cause| ConfigError::Unusable(format!("SQL: {}", one_line(&cause)));
        let mut statement = self.connection.prepare(sql).map_err(refused)?;
        let rows = statement.query([]).map_err(refused)?;
        write_answer(rows, format, out)
    }
}

/// DuckDB's reason without its picture of the statement, on one line.
pub(crate) fn one_line(error: &duckdb::Error) -> String {
    let message = error.to_string();
    let lines = message.lines().map(str::trim);
    lines.take_while(|line| !line.starts_with("LINE ")).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
