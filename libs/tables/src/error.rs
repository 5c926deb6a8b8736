//! The crate's errors: each names the file, what was expected and what was found.

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
        /// The missing manifest.
        path: PathBuf,
        /// The stage to run.
        stage: String,
    },
    /// A manifest that cannot be parsed.
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
    /// A stage reads a table or folder that it has not declared as an input: a mistake in the stage's code.
    #[error("{}: `{name}` of stage `{stage}` is read without being declared as an input", path.display())]
    Undeclared {
        /// The table or folder.
        path: PathBuf,
        /// The stage that writes it.
        stage: String,
        /// Its name.
        name: String,
    },
    /// A file differs from what was written.
    #[error("{}: expected sha256 {expected}, found {found}: the file was changed or damaged; re-run stage `{stage}` with --force", path.display())]
    Checksum {
        /// The damaged file.
        path: PathBuf,
        /// The stage that writes it.
        stage: String,
        /// The checksum in the manifest.
        expected: String,
        /// The checksum of the file.
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
    /// Rows whose columns are not the schema's; a defect of the program.
    #[error("{}: table `{table}`, column `{column}`: expected {expected}, found {found}", path.display())]
    BadRows {
        /// The table's folder or file.
        path: PathBuf,
        /// The table.
        table: &'static str,
        /// The column.
        column: String,
        /// What the schema says.
        expected: String,
        /// What was to be written.
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
    /// A part of an interrupted computation that cannot be used.
    #[error("{}: expected a part of this computation, found {found}; remove it, or begin anew with --force", path.display())]
    BadPart {
        /// The part, or the folder of all parts.
        path: PathBuf,
        /// What is wrong with it.
        found: String,
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

impl From<files::Error> for Error {
    fn from(files::Error { path, action, cause }: files::Error) -> Error {
        Error::Io { path, action, cause }
    }
}

impl Error {
    /// True if the data is at fault, false for a failure of the machine or a defect of the program.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        !matches!(
            self,
            Error::Io { .. }
                | Error::BadSchema { .. }
                | Error::UnknownSchema(_)
                | Error::BadRows { .. }
                | Error::Undeclared { .. }
                | Error::Unsorted { .. }
        )
    }

    pub(crate) fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Io { path, action, cause }
    }

    pub(crate) fn arrow(path: &Path) -> impl FnOnce(arrow::error::ArrowError) -> Error {
        let path = path.to_path_buf();
        move |cause| Error::Arrow { path, cause }
    }

    /// Keeps an operating system's error inside a Parquet error as such, so that a full disk is recognised.
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
