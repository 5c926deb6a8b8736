//! SQL over the tables of a run, answered by an embedded DuckDB: one statement, a script on a pipe, or a shell.
//!
//! Every table of the run's stages is a view of its own name, with the columns and comments of its schema; the view
//! `tables` lists them all. Nothing is copied and no table of the run is written to.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod answer;
mod database;
mod shell;
mod sources;
mod statements;
mod value;
mod views;

use std::io::{self, IsTerminal, Read, Write};
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;
use pipeline::config::load;

pub use answer::Format;
pub use database::Database;

const AFTER_HELP: &str = "Without SQL: a shell on a terminal, else statements from stdin.\n\
    Exit codes: 0 done, 1 failed, 2 bad usage, configuration or SQL, 3 the run has no tables or a damaged one.";

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
    /// Statements separated by `;`; `select * from tables` shows what there is
    pub sql: Option<String>,
}

/// Answers the statements of the command line, of stdin, or of a person at a terminal.
///
/// # Errors
/// [`pipeline::ConfigError`] on a bad configuration or statement, [`pipeline::BadInput`] on a run without tables, and
/// an [`io::Error`] where stdout cannot be written; a reader that closed the pipe early is none.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let pipeline = load(&arguments.config, &arguments.overrides)?;
    let database = Database::open(&pipeline)?;
    let format = arguments.format;
    let outcome = match &arguments.sql {
        Some(sql) => script(&database, sql, format),
        None if io::stdin().is_terminal() => shell::run(&database, format),
        None => {
            let mut sql = String::new();
            io::stdin().read_to_string(&mut sql).context("stdin: reading SQL failed")?;
            script(&database, &sql, format)
        }
    };
    outcome.or_else(|error| {
        let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
        let closed = error.downcast_ref::<io::Error>().is_some_and(closed);
        if closed { Ok(()) } else { Err(error) }
    })
}

/// Answers every statement of `sql`, and stops at the first error.
pub(crate) fn script(database: &Database, sql: &str, format: Format) -> anyhow::Result<()> {
    for statement in statements::split(sql) {
        let mut out = io::stdout().lock();
        database.answer(statement, format, &mut out)?;
        out.flush()?;
    }
    Ok(())
}
