//! The interactive shell.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::answer::Format;
use crate::database::Database;
use crate::statements;
use crate::views;

const HELP: &str =
    "Statements end with `;`. .tables lists the tables, .schema NAME the columns of one, .quit (or Ctrl-D) leaves.";

const TABLES: &str = "SELECT DISTINCT table_name, stage, rows FROM tables ORDER BY ALL";

/// Reads statements from the terminal and answers them until the person leaves; an error ends its statement only.
///
/// # Errors
/// Where the terminal cannot be used, or stdout not be written.
pub(crate) fn run(database: &Database, format: Format) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new().context("the terminal cannot be used")?;
    let history = history_file();
    if let Some(path) = history.as_ref().filter(|path| path.exists()) {
        editor.load_history(path).with_context(|| format!("{}: reading failed", path.display()))?;
    }
    writeln!(io::stderr(), "{HELP}")?;
    converse(&mut editor, database, format)?;
    if let Some(path) = &history {
        let context = || format!("{}: writing failed", path.display());
        let folder = path.parent().with_context(context)?;
        std::fs::create_dir_all(folder).with_context(context)?;
        editor.save_history(path).with_context(context)?;
    }
    Ok(())
}

fn converse(editor: &mut DefaultEditor, database: &Database, format: Format) -> anyhow::Result<()> {
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() { "sql> " } else { "...> " };
        match editor.readline(prompt) {
            Ok(line) => pending += &format!("{line}\n"),
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(cause) => Err(cause).context("reading the terminal failed")?,
        }
        let input = pending.trim();
        if !input.starts_with('.') && !statements::is_complete(input) {
            if statements::is_blank(input) {
                pending.clear();
            }
            continue;
        }
        editor.add_history_entry(input)?;
        match command(input) {
            Command::Quit => return Ok(()),
            Command::Help => writeln!(io::stderr(), "{HELP}")?,
            Command::Answer(sql) => show(database, &sql, format)?,
        }
        pending.clear();
    }
}

enum Command {
    Quit,
    Help,
    Answer(String),
}

fn command(input: &str) -> Command {
    let words: Vec<&str> = input.split_whitespace().collect();
    match words.as_slice() {
        [".quit" | ".exit"] => Command::Quit,
        [".tables"] => Command::Answer(TABLES.into()),
        [".schema", table] => Command::Answer(format!(
            "SELECT stage, column_name, type, unit, meaning FROM tables WHERE table_name = {}",
            views::text(table)
        )),
        [first, ..] if first.starts_with('.') => Command::Help,
        _ => Command::Answer(input.into()),
    }
}

/// Answers statements; an error of theirs is shown, one of stdout is returned.
fn show(database: &Database, sql: &str, format: Format) -> anyhow::Result<()> {
    let answered = database.refresh().and_then(|()| crate::script(database, sql, format));
    match answered {
        Err(error) if error.is::<io::Error>() => Err(error),
        Err(error) => Ok(writeln!(io::stderr(), "error: {error:#}")?),
        Ok(()) => Ok(()),
    }
}

/// `disranker/query_history` in the user's data folder, where there is one.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = folder("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".local/share")))?;
    Some(data.join("disranker/query_history"))
}
