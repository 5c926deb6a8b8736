//! The interactive shell.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use crate::database::Database;
use crate::script::{self, End, HELP, Output};
use crate::statements;

/// Reads statements from the terminal and answers them until the person leaves; an error ends its statement only.
///
/// # Errors
/// Where the terminal cannot be used.
pub(crate) fn run(database: &Database, output: Output) -> anyhow::Result<()> {
    let mut editor = DefaultEditor::new().context("the terminal cannot be used")?;
    let history = history_file();
    if let Some(path) = history.as_ref().filter(|path| path.exists()) {
        noted(editor.load_history(path).with_context(|| format!("{}: reading failed", path.display())));
    }
    say(HELP);
    let mut pending = String::new();
    loop {
        match editor.readline(if pending.is_empty() { "sql> " } else { "...> " }) {
            Ok(line) => pending += &format!("{line}\n"),
            Err(ReadlineError::Interrupted) => {
                pending.clear();
                continue;
            }
            Err(ReadlineError::Eof) => return Ok(()),
            Err(cause) => Err(cause).context("reading the terminal failed")?,
        }
        if statements::is_blank(&pending) {
            pending.clear();
        }
        if !statements::is_complete(&pending) {
            continue;
        }
        let input = std::mem::take(&mut pending);
        if let Some(path) = &history {
            noted(remember(&mut editor, path, input.trim()));
        }
        database.interrupts().clear();
        match script::run(database, &input, output) {
            Ok(End::Quit) => return Ok(()),
            Ok(End::Reached) => {}
            Err(error) => say(&format!("error: {error:#}")),
        }
    }
}

/// Keeps an input, in the file too, so that nothing is lost however the session ends.
fn remember(editor: &mut DefaultEditor, path: &std::path::Path, input: &str) -> anyhow::Result<()> {
    let context = || format!("{}: writing failed", path.display());
    editor.add_history_entry(input).with_context(context)?;
    std::fs::create_dir_all(path.parent().with_context(context)?).with_context(context)?;
    editor.append_history(path).with_context(context)
}

/// Shows what went wrong with the history, which stops nobody from asking.
fn noted(outcome: anyhow::Result<()>) {
    if let Err(error) = outcome {
        say(&format!("warning: {error:#}"));
    }
}

fn say(line: &str) {
    // Nothing is left to tell the user with if stderr itself is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

/// `disranker/query_history` in the user's data folder, where there is one.
fn history_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let data = folder("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".local/share")))?;
    Some(data.join("disranker/query_history"))
}
