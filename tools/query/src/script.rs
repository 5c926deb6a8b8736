//! Statements and the shell's commands, one after the other.

use std::io::{self, Write};

use pipeline::{BadInput, ConfigError};

use crate::database::Database;
use crate::format::Format;
use crate::statements::{Piece, split};

/// What the commands are.
pub(crate) const HELP: &str = "Statements end with `;`. .tables lists the tables, .schema [TABLE] their columns, \
    .quit (or Ctrl-D) leaves.";

/// The tables of the run, then those that the session has made.
const TABLES: &str = "SELECT DISTINCT table_name, stage, rows FROM memory.main.tables \
    UNION ALL SELECT table_name, '(this session)', estimated_size FROM duckdb_tables() WHERE NOT internal \
    UNION ALL SELECT view_name, '(this session)', NULL FROM duckdb_views() WHERE NOT internal AND comment IS NULL \
    ORDER BY stage, table_name";

/// How answers are written to stdout.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    pub(crate) format: Format,
    /// Columns of the terminal, if stdout is one.
    pub(crate) width: Option<usize>,
}

/// What a script came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// Its last line.
    Reached,
    /// The command `.quit`.
    Quit,
}

/// Answers every statement and command of `script` on stdout, and stops at the first error.
///
/// # Errors
/// That of a statement, with its number and line where there are several.
pub(crate) fn run(database: &Database, script: &str, output: Output) -> anyhow::Result<End> {
    let pieces = split(script);
    for (index, piece) in pieces.iter().enumerate() {
        let place = |error: anyhow::Error| if pieces.len() == 1 { error } else { error.context(piece.place(index)) };
        if step(database, piece, output).map_err(place)? == End::Quit {
            return Ok(End::Quit);
        }
    }
    Ok(End::Reached)
}

/// Answers every statement and command of `script` on stdout as the shell does: an error is told and ends its statement only.
///
/// # Errors
/// How many there were, of the kind of the first one. Ctrl-C, or a reader that has closed stdout, stops at once.
pub(crate) fn run_on(database: &Database, script: &str, output: Output) -> anyhow::Result<()> {
    let pieces = split(script);
    let mut failures = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        match step(database, piece, output) {
            Ok(End::Quit) => break,
            Ok(End::Reached) => {}
            Err(error) if database.interrupts().pending() || is_closed(&error) => return Err(error),
            Err(error) => {
                let error = error.context(piece.place(index));
                writeln!(io::stderr(), "error: {error:#}")?;
                failures.push(error);
            }
        }
    }
    if failures.is_empty() {
        return Ok(());
    }
    let said = format!("{} of {} statements failed", failures.len(), pieces.len());
    let is_of_sql = failures[0].chain().any(|cause| cause.is::<ConfigError>());
    Err(if is_of_sql { ConfigError::Unusable(said).into() } else { BadInput(said).into() })
}

fn step(database: &Database, piece: &Piece<'_>, output: Output) -> anyhow::Result<End> {
    match *piece {
        Piece::Statement { sql, .. } => answer(database, sql, output)?,
        Piece::Command(text) => match text.split_whitespace().collect::<Vec<_>>().as_slice() {
            [".quit" | ".exit"] => return Ok(End::Quit),
            [".help"] => writeln!(io::stderr(), "{HELP}")?,
            [".tables"] => answer(database, TABLES, output)?,
            [".schema"] => answer(database, &database.columns_of(None)?, output)?,
            [".schema", table] => answer(database, &database.columns_of(Some(table))?, output)?,
            _ => Err(ConfigError::Unusable(format!("{text}: expected .tables, .schema [TABLE], .help or .quit")))?,
        },
    }
    Ok(End::Reached)
}

/// True if the reader of stdout has closed it.
pub(crate) fn is_closed(error: &anyhow::Error) -> bool {
    let closed = |cause: &io::Error| cause.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(closed))
}

fn answer(database: &Database, sql: &str, output: Output) -> anyhow::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    database.answer(sql, output.format, output.width, &mut out)?;
    Ok(out.flush()?)
}
