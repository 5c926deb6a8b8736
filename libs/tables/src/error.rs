//! What can go wrong with tables, each naming the file, the expected and the found.

use std::path::{Path, PathBuf};

/// The crate's result.
pub type Result<T> = std::result::Result<T, Error>;

/// An error about a table, a manifest or a stage's folder.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused a file operation.
    #[error("{}: {action} failed: {cause}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A stage's output has not been made, or was not finished.
    #[error("{}: no finished output of stage `{stage}`; run `{stage}` first", path.display())]
    MissingStage {
        /// The manifest that is not there.
        path: PathBuf,
        /// The stage to run.
        stage: String,
    },
    /// A manifest that is not one.
    #[error("{}: not a readable manifest ({reason}); re-run stage `{stage}` with --force", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// The stage that writes it.
        stage: String,
        /// What the parser said.
        reason: String,
    },
    /// A table or file the manifest does not list.
    #[error("{}: stage `{stage}` lists no {wanted}; re-run stage `{stage}` with --force", path.display())]
    NotListed {
        /// The manifest.
        path: PathBuf,
        /// The stage that writes it.
        stage: String,
        /// The table or file looked for.
        wanted: String,
    },
    /// A file's bytes are not those that were written.
    #[error("{}: expected sha256 {expected}, found {found}: the file was changed or damaged; re-run stage `{stage}` with --force", path.display())]
    Checksum {
        /// The damaged file.
        path: PathBuf,
        /// The stage that writes it.
        stage: String,
        /// From the manifest.
        expected: String,
        /// Of the bytes on disk.
        found: String,
    },
    /// A table whose columns are not the schema's.
    #[error("{}: table `{table}` version {version}: expected {expected}, found {found}", path.display())]
    SchemaMismatch {
        /// The file or folder.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The schema's version.
        version: u32,
        /// What the schema says.
        expected: String,
        /// What is there.
        found: String,
    },
    /// Rows out of the schema's sort order.
    #[error("{}: table `{table}`: row {row} breaks the sort order {order:?}", path.display())]
    Unsorted {
        /// The table's folder.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// Row number, from 0.
        row: usize,
        /// The sort columns.
        order: Vec<String>,
    },
    /// A schema name that does not exist.
    #[error("no schema is named `{0}`")]
    UnknownSchema(String),
    /// A schema file that cannot be read; a defect of the program.
    #[error("schemas/{name}.toml: {reason}")]
    BadSchema {
        /// The schema's name.
        name: String,
        /// What the parser said.
        reason: String,
    },
    /// Arrow refused the columns.
    #[error("{}: {cause}", path.display())]
    Arrow {
        /// The file or folder.
        path: PathBuf,
        /// Arrow's reason.
        cause: arrow::error::ArrowError,
    },
    /// Parquet refused the file.
    #[error("{}: {cause}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// Parquet's reason.
        cause: parquet::errors::ParquetError,
    },
}

impl Error {
    /// Whether the cause is bad input data rather than the machine.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        !matches!(self, Error::Io { .. } | Error::BadSchema { .. } | Error::UnknownSchema(_) | Error::Unsorted { .. })
    }

    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Io { path, action, cause }
    }

    pub(crate) fn arrow(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Arrow { path, cause }
    }

    /// Keeps the operating system's own error where Parquet met one, so that a full disk reads as such.
    pub(crate) fn parquet(path: &Path) -> impl FnOnce(parquet::errors::ParquetError) -> Error {
        use parquet::errors::ParquetError;
        let path = path.to_path_buf();
        move |cause| match cause {
            ParquetError::External(inner) => match inner.downcast::<std::io::Error>() {
                Ok(cause) => Error::Io { path, action: "writing", cause: *cause },
                Err(inner) => Error::Parquet { path, cause: ParquetError::External(inner) },
            },
            cause => Error::Parquet { path, cause },
        }
    }
}
