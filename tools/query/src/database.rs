//! An in-memory DuckDB whose views are the run's tables.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use duckdb::{Config, Connection};
use pipeline::{BadInput, ConfigError, Pipeline};
use tables::Schema;
use tempfile::TempDir;

use crate::answer::Question;
use crate::format::{self, Format};
use crate::interrupt::Interrupts;
use crate::scan::{FUNCTION, Scan, Session};
use crate::sources::Run;
use crate::{targets, views};

/// What DuckDB may hold in memory before it spills to disk.
const MEMORY_LIMIT: &str = "2GiB";

/// Settings that a statement may change where files are shut: none that reaches one.
const FREE_SETTINGS: [&str; 11] = [
    "threads",
    "memory_limit",
    "default_order",
    "default_null_order",
    "default_collation",
    "integer_division",
    "error_on_division_by_zero",
    "ieee_floating_point_ops",
    "order_by_non_integer_literal",
    "scalar_subquery_error_on_multiple_rows",
    "explain_output",
];

/// Which files SQL can reach beside the run's tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// None, and no setting changes that.
    Tables,
    /// All that the user can reach; those of the run's folder can still not be written.
    Files,
}

/// A run under a SQL engine.
pub struct Database {
    connection: Connection,
    session: Session,
    interrupts: Interrupts,
    run: PathBuf,
    access: Access,
    /// True after an answer has become a Parquet file, of which stdout holds one.
    parquet: Cell<bool>,
    /// Spilled data and the answer that becomes a Parquet file; the only folder that [`Access::Tables`] leaves to DuckDB.
    scratch: TempDir,
}

impl Database {
    /// Opens the run of `pipeline`. No extension is downloaded.
    ///
    /// # Errors
    /// [`BadInput`] where the run has no tables yet.
    pub fn open(pipeline: &Pipeline, access: Access) -> anyhow::Result<Database> {
        let run = pipeline.paths().run_dir();
        let found = Run::find(&run)?;
        if found.is_empty() {
            let run = run.display();
            Err(BadInput(format!("{run}: expected the tables of a run, found none; run `just run-all` first")))?;
        }
        let scratch = tempfile::Builder::new().prefix("disranker-query-").tempdir();
        let scratch = scratch.context("a folder for temporary files cannot be made")?;
        let threads = pipeline.run.threads;
        let connection = connect(scratch.path(), threads)?;
        let interrupts = Interrupts::of(&connection);
        let session = Session::new(interrupts.clone());
        connection.register_table_function_with_extra_info::<Scan, Session>(FUNCTION, &session)?;
        connection.execute_batch(&views::of_session()?)?;
        if access == Access::Tables {
            shut_files(&connection, scratch.path())?;
        }
        Ok(Database { connection, session, interrupts, run, access, parquet: Cell::new(false), scratch })
    }

    /// Takes signals from now on, see [`Interrupts::listen`].
    ///
    /// # Errors
    /// Where the system refuses it.
    pub(crate) fn listen(&self) -> anyhow::Result<()> {
        self.interrupts.listen(self.scratch.path())
    }

    /// What Ctrl-C does.
    pub(crate) fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// Runs one statement and writes its rows in `format`. The tables are those of this moment: a training that runs has
    /// grown since. A table is no wider than `width`, where there is one.
    ///
    /// # Errors
    /// [`ConfigError`] with DuckDB's reason where the statement cannot be answered, [`BadInput`] where a table is absent or
    /// damaged, [`io::Error`] where `out` cannot be written. Whatever the error is, the next statement can be run.
    pub fn answer(&self, sql: &str, format: Format, width: Option<usize>, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.interrupts.pending() {
            bail!("interrupted");
        }
        self.session.set_run(Run::find(&self.run)?);
        if self.access == Access::Files {
            targets::check(sql, &self.run)?;
        }
        // A defect of the engine ends its statement, not the session with its temporary tables.
        let outcome = catch_unwind(AssertUnwindSafe(|| self.ask(sql, format, width, out)));
        let failure = self.session.take_failure();
        match outcome {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.explained(error, failure)),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason");
                bail!("SQL: the statement failed within the engine: {text}; please report it")
            }
        }
    }

    fn ask(&self, sql: &str, format: Format, width: Option<usize>, out: &mut dyn Write) -> anyhow::Result<()> {
        let mut question = Question::prepare(&self.connection, sql, format == Format::Json)?;
        let is_query = question.is_query();
        if format != Format::Parquet {
            return format::write(question.ask()?, is_query, format, width, out);
        }
        if is_query {
            drop(question);
            return self.write_parquet(sql, out);
        }
        let mut answer = question.ask()?;
        while answer.next()?.is_some() {}
        if answer.is_status() {
            return Ok(());
        }
        Err(ConfigError::Unusable("--format parquet: expected a query, found a statement of another kind".into()))?
    }

    /// DuckDB writes a file, as a pipe has no place to return to.
    fn write_parquet(&self, sql: &str, out: &mut dyn Write) -> anyhow::Result<()> {
        if self.parquet.replace(true) {
            Err(ConfigError::Unusable("--format parquet: expected one query, found another".into()))?;
        }
        let file = self.scratch.path().join("answer.parquet");
        let path = views::text(&file.to_string_lossy());
        self.connection
            .execute(&format!("COPY (FROM (\n{sql}\n)) TO {path} (FORMAT parquet, COMPRESSION zstd)"), [])?;
        let mut answer = File::open(&file).with_context(|| format!("{}: reading failed", file.display()))?;
        io::copy(&mut answer, out)?;
        std::fs::remove_file(&file).with_context(|| format!("{}: removing failed", file.display()))
    }

    /// An error as the user can use it.
    fn explained(&self, error: anyhow::Error, failure: Option<anyhow::Error>) -> anyhow::Error {
        if self.interrupts.pending() {
            return anyhow::anyhow!("interrupted");
        }
        let Some(cause) = error.downcast_ref::<duckdb::Error>() else { return error };
        if let Some(failure) = failure {
            return failure;
        }
        let reason = one_line(cause);
        let shut = ["disabled by configuration", "disabled through configuration", "has been locked"];
        let shut = self.access == Access::Tables && shut.iter().any(|words| reason.contains(words));
        let hint = if shut { "; `--unsafe` opens files and settings" } else { "" };
        ConfigError::Unusable(format!("SQL: {reason}{hint}")).into()
    }

    /// The query for the columns of a table of the run or the session; of all of the run's without a name.
    ///
    /// # Errors
    /// [`BadInput`] for a table that is absent.
    pub(crate) fn columns_of(&self, table: Option<&str>) -> anyhow::Result<String> {
        let Some(table) = table else {
            return Ok("SELECT table_name, stage, column_name, type, unit, meaning FROM memory.main.tables".into());
        };
        let run = Run::find(&self.run)?;
        let named = |schema: &&Schema| schema.name.eq_ignore_ascii_case(table);
        match Schema::all()?.iter().find(|schema| named(schema) && !schema.stages.is_empty()) {
            Some(schema) => {
                run.of_table(&schema.name)?;
                let name = views::text(&schema.name);
                Ok(format!(
                    "SELECT stage, column_name, type, unit, meaning FROM memory.main.tables WHERE table_name = {name}"
                ))
            }
            None => Ok(format!("SELECT column_name, column_type AS type FROM (DESCRIBE {table})")),
        }
    }

    /// Writes a database file of views over the run's files, which every DuckDB client opens.
    ///
    /// # Errors
    /// [`BadInput`] where `path` is there already, or a file or a manifest of the run is damaged.
    pub fn write_views(&self, path: &Path) -> anyhow::Result<()> {
        if path.exists() {
            Err(BadInput(format!("{}: expected no file; remove it, or choose another", path.display())))?;
        }
        let run = Run::find(&self.run)?;
        run.whole()?;
        for (table, _) in run.tables() {
            self.session.verify(&run.of_table(table)?)?;
        }
        let made = self.scratch.path().join("run.duckdb");
        let file = views::text(&made.to_string_lossy());
        // The format of the file is DuckDB's first stable one, so that older clients open it too.
        let attach = format!("ATTACH {file} AS views (STORAGE_VERSION 'v1.0.0'); USE views;");
        let writer = Connection::open_in_memory()?;
        writer.execute_batch(&format!("{attach} {} USE memory; DETACH views;", views::of_file(&run)?))?;
        std::fs::copy(&made, path).with_context(|| format!("{}: writing failed", path.display()))?;
        Ok(())
    }
}

/// An in-memory database that spills to `scratch`.
fn connect(scratch: &Path, threads: usize) -> anyhow::Result<Connection> {
    let folder = scratch.to_string_lossy();
    let mut config = Config::default()
        .enable_autoload_extension(false)?
        .max_memory(MEMORY_LIMIT)?
        .with("autoinstall_known_extensions", "false")?
        .with("allow_persistent_secrets", "false")?
        .with("extension_directory", &folder)?
        .with("temp_directory", &folder)?;
    if threads > 0 {
        config = config.with("threads", threads.to_string())?;
    }
    Ok(Connection::open_in_memory_with_flags(config)?)
}

/// Shuts every file but those in the temporary folder, and the network, for good.
fn shut_files(connection: &Connection, scratch: &Path) -> duckdb::Result<()> {
    // An installed DuckDB may be older than the one that is compiled here, and have fewer settings.
    let known: String = connection.query_row("SELECT string_agg(name) FROM duckdb_settings()", [], |row| row.get(0))?;
    let is_known = |name: &&&str| known.split(',').any(|known| known == **name);
    let free: Vec<String> = FREE_SETTINGS.iter().filter(is_known).map(|name| views::text(name)).collect();
    // INSTALL looks here, where there is no extension.
    let nowhere = views::text(&scratch.to_string_lossy());
    connection.execute_batch(&format!(
        "SET custom_extension_repository = {nowhere}; SET allowed_configs = [{}]; SET enable_external_access = false; \
         SET lock_configuration = true;",
        free.join(", ")
    ))
}

/// DuckDB's reason without its picture of the statement, on one line.
fn one_line(error: &duckdb::Error) -> String {
    let message = error.to_string();
    let lines = message.lines().map(str::trim);
    lines.take_while(|line| !line.starts_with("LINE ")).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}
