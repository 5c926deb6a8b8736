//! The Python environment that peers run in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The Python of `DISRANKER_PYTHON`, or of an environment in the user's cache, which is made where it is missing or was made
/// from other requirements.
pub(crate) fn interpreter() -> Result<PathBuf> {
    if let Some(python) = env::var_os("DISRANKER_PYTHON") {
        return Ok(python.into());
    }
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    let folder = cache.context("no home folder: set DISRANKER_PYTHON to a Python")?.join("disranker/bench-python");
    let python = folder.join("bin/python");
    // Written last, so that an environment that has it is whole.
    let made_from = folder.join("requirements.txt");
    if fs::read_to_string(&made_from).is_ok_and(|text| text == REQUIREMENTS) {
        return Ok(python);
    }
    eprintln!("making the Python environment {}", folder.display());
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let wanted = folder.join("wanted.txt");
    write(&wanted, REQUIREMENTS)?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted))?;
    fs::rename(&wanted, &made_from).with_context(|| format!("{}: renaming failed", wanted.display()))?;
    Ok(python)
}

/// Writes a file, naming it where that fails.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: writing failed", path.display()))
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}: starting failed"))?;
    if !status.success() {
        bail!(
            "{command:?} ended with {status}; or set DISRANKER_PYTHON to a Python with the packages of requirements.txt"
        );
    }
    Ok(())
}
