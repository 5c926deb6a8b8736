//! A failed file operation.

use std::path::{Path, PathBuf};

/// The operating system refused a file operation.
#[derive(Debug, thiserror::Error)]
#[error("{}: {action} failed: {cause}", path.display())]
pub struct Error {
    /// The file or folder.
    pub path: PathBuf,
    /// What was tried: `reading`, `writing`, ...
    pub action: &'static str,
    /// The system's reason.
    #[source]
    pub cause: std::io::Error,
}

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The error of an action on `path`, to be given the system's reason.
    pub fn of(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |cause| Error { path, action, cause }
    }
}
