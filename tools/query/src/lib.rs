//! SQL over the tables of a run, answered by an embedded DuckDB: statements, a script, or a shell.
//!
//! Every table of the run's stages is a view of its own name, with the columns and comments of its schema; the view
//! `tables` lists those that are there. Nothing is copied, no table of the run is written to, and each of its files is
//! compared with its checksum before its first row is read.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod batch;
mod database;
mod format;
mod grid;
mod interrupt;
mod listing;
mod scan;
mod script;
mod shell;
mod sources;
mod statements;
mod targets;
mod tokens;
mod views;

use std::io::{self, IsTerminal, Read};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use pipeline::ConfigError;
use pipeline::config::load;

pub use database::{Access, Database};
pub use format::Format;

const AFTER_HELP: &str = "Without SQL: a shell on a terminal, else statements from stdin, \
    of which one that fails ends nothing but itself. Between statements, the line \
    .tables lists the tables, and .schema [TABLE] their columns.\n\
    Exit codes: 0 done, 1 failed or interrupted, 2 bad usage, configuration or SQL, 3 a table is absent or damaged.";

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = "SQL over the tables of a run", after_help = AFTER_HELP)]
pub struct Arguments {
    /// The pipeline file of the run; relative paths in it start at its folder
    #[arg(long, value_name = "FILE", default_value = "pipeline.toml")]
    pub config: PathBuf,
    /// Overrides one key of the pipeline file; may be given many times, later ones win
    #[arg(long = "set", value_name = "TABLE.KEY=VALUE")]
    pub overrides: Vec<String>,
    /// How rows are written to stdout
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// Reads the statements of a file
    #[arg(short, long, value_name = "FILE", conflicts_with = "sql")]
    pub file: Option<PathBuf>,
    /// Lets SQL read and write files outside of the run's folder, and change settings
    #[arg(long = "unsafe")]
    pub files: bool,
    /// Writes a database file of views over the run's tables, for any DuckDB client: duckdb -readonly FILE
    #[arg(long, value_name = "FILE", conflicts_with_all = ["sql", "file", "format", "files"])]
    pub views: Option<PathBuf>,
    /// Statements separated by `;`; `select * from tables` shows what there is
    pub sql: Option<String>,
}

/// Answers the statements of the command line, of a file, of stdin, or of a person at a terminal.
///
/// # Errors
/// [`pipeline::ConfigError`] on a bad configuration or statement, [`pipeline::BadInput`] on an absent or damaged table, and
/// an [`io::Error`] where stdout cannot be written; a reader that closed the pipe early is none.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    let access = if arguments.files { Access::Files } else { Access::Tables };
    let database = Database::open(&pipeline, access)?;
    if let Some(path) = &arguments.views {
        return database.write_views(path);
    }
    let terminal = io::stdout().is_terminal();
    if arguments.format == Format::Parquet && terminal {
        Err(ConfigError::Unusable(
            "--format parquet: expected stdout to be a file or a pipe, found a terminal".into(),
        ))?;
    }
    let width = console::Term::stdout().size_checked().filter(|_| terminal).map(|(_, columns)| columns.into());
    let output = script::Output { format: arguments.format, width };
    database.listen()?;
    let outcome = match (&arguments.sql, &arguments.file) {
        (Some(sql), _) => script::run(&database, sql, output).map(drop),
        (None, Some(path)) => {
            let sql = std::fs::read_to_string(path)
                .map_err(|cause| ConfigError::Unusable(format!("{}: {cause}", path.display())))?;
            script::run(&database, &sql, output).map(drop).with_context(|| path.display().to_string())
        }
        (None, None) if io::stdin().is_terminal() => shell::run(&database, output),
        (None, None) => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql).context("stdin: reading SQL failed")?;
            script::run_on(&database, &sql, output)
        }
    };
    outcome.or_else(|error| if script::is_closed(&error) { Ok(()) } else { Err(error) })
}
