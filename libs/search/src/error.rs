//! What can fail.

use std::io;
use std::path::{Path, PathBuf};

/// A failure to build, open or write an index or a store of texts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{}: {action} failed: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried: `reading`, `writing`, ...
        action: &'static str,
        /// The system's reason.
        #[source]
        cause: io::Error,
    },
    /// The file is not what it is opened as, or not whole.
    #[error("{}: expected {expected}, found {found}; re-run ingest with --force", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the reader wants.
        expected: String,
        /// What stands there instead.
        found: String,
    },
    /// `k1` is negative, NaN or infinite.
    #[error("expected a finite k1 of at least 0, found {0}")]
    K1(f64),
    /// `b` is not in \[0, 1\].
    #[error("expected b from 0 to 1, found {0}")]
    B(f64),
    /// More documents than an index can number.
    #[error("expected at most {max} documents, found {0}", max = crate::layout::MAX_DOCUMENTS)]
    Documents(usize),
    /// The ids of a store of texts do not rise.
    #[error("expected ids that rise byte by byte, found `{id}` after `{before}`")]
    Order {
        /// The id that was pushed last.
        before: String,
        /// The id that does not follow it.
        id: String,
    },
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Io { path, action, cause }
    }

    pub(crate) fn unreadable(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> Error {
        Error::Unreadable { path: path.to_path_buf(), expected: expected.into(), found: found.into() }
    }
}
