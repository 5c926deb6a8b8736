//! What can go wrong with a raw file.

use std::path::{Path, PathBuf};

use crate::printable::printable;

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error about a raw file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{}: {action} failed", shown(path))]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        #[source]
        cause: std::io::Error,
    },
    /// A file that is not what the configuration says.
    #[error("{}: {problem}", shown(path))]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What was expected, what was found, and what to do.
        problem: String,
    },
    /// A line that cannot be accepted.
    #[error("{}:{line}: {problem}", shown(path))]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line the record starts at, from 1; a row of a Parquet file.
        line: u64,
        /// What was expected, what was found, and what to do.
        problem: String,
    },
}

impl Error {
    /// True if the file is at fault rather than the machine.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Error::Io { .. })
    }
}

fn shown(path: &Path) -> String {
    printable(path.to_string_lossy().as_bytes(), 4096)
}
