//! The Python environments that peers run in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

const REQUIREMENTS: &str = include_str!("../requirements.txt");

/// The Python of `DISRANKER_PYTHON`, or of an environment of ours with the packages of `requirements.txt`.
pub(crate) fn interpreter() -> Result<PathBuf> {
    interpreter_with("DISRANKER_PYTHON", "bench-python", REQUIREMENTS)
}

/// The Python that the environment variable names, or that of an environment in the user's cache, which is made where it is missing
/// or was made from other requirements.
pub(crate) fn interpreter_with(variable: &str, name: &str, requirements: &str) -> Result<PathBuf> {
    if let Some(python) = env::var_os(variable) {
        return Ok(python.into());
    }
    let folder = cached(name).with_context(|| format!("set {variable} to a Python"))?;
    let python = folder.join("bin/python");
    // Written last, so that an environment that has it is whole.
    let made_from = folder.join("requirements.txt");
    if fs::read_to_string(&made_from).is_ok_and(|text| text == requirements) {
        return Ok(python);
    }
    eprintln!("making the Python environment {}", folder.display());
    let remedy = format!("or set {variable} to a Python with the packages that it needs");
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), &remedy)?;
    let wanted = folder.join("wanted.txt");
    write(&wanted, requirements)?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--requirement"]).arg(&wanted), &remedy)?;
    fs::rename(&wanted, &made_from).with_context(|| format!("{}: renaming failed", wanted.display()))?;
    Ok(python)
}

/// A folder of ours in the user's cache.
pub(crate) fn cached(name: &str) -> Result<PathBuf> {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| env::home_dir().map(|home| home.join(".cache")));
    Ok(cache.context("no home folder")?.join("disranker").join(name))
}

/// Writes a file, naming it where that fails.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("{}: writing failed", path.display()))
}

/// Runs a command to its end; `remedy` says what else to do where it fails.
pub(crate) fn run(command: &mut Command, remedy: &str) -> Result<()> {
    let status = command.status().with_context(|| format!("{command:?}: starting failed"))?;
    if !status.success() {
        bail!("{command:?} ended with {status}; {remedy}");
    }
    Ok(())
}
