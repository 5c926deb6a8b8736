//! A raw file and the errors about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::error::Error;

/// One raw file.
#[derive(Debug, Clone)]
pub struct RawFile {
    /// Where it is.
    pub path: PathBuf,
    /// The path as tables show it.
    pub name: Arc<str>,
}

impl RawFile {
    /// An error about the whole file.
    #[must_use]
    pub fn bad(&self, problem: impl Into<String>) -> Error {
        Error::BadFile { path: self.path.clone(), problem: problem.into() }
    }

    /// An error about the record that starts at `line`.
    #[must_use]
    pub fn bad_line(&self, line: u64, problem: impl Into<String>) -> Error {
        Error::BadLine { path: self.path.clone(), line, problem: problem.into() }
    }

    /// The error of a refused file operation.
    pub(crate) fn failed(&self, action: &'static str, cause: std::io::Error) -> Error {
        Error::Io { path: self.path.clone(), action, cause }
    }
}
