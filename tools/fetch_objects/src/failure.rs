//! Why objects cannot be fetched, in one line.

use std::io::{self, ErrorKind};
use std::path::Path;

/// Why objects cannot be fetched.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the user can mend: the URL, the rights, the room on the disk.
    BadInput(String),
    /// What failed.
    Failed(String),
}

impl Failure {
    /// A refused operation on a file of the cache.
    pub(crate) fn of_disk(error: &files::Error) -> Failure {
        Failure::of_io(&error.path, error.action, &error.cause)
    }

    /// As [`Failure::of_disk`].
    pub(crate) fn of_io(path: &Path, action: &str, cause: &io::Error) -> Failure {
        let line = format!("{}: {action} failed: {cause}", path.display());
        match cause.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Failure::BadInput(format!(
                "{line}; free some space there, or name another folder by DISRANKER_OBJECT_CACHE"
            )),
            _ => Failure::Failed(line),
        }
    }
}
