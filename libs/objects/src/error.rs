//! Why objects cannot be read.

use std::path::PathBuf;

/// Why objects cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A URL that names no object of a known store.
    #[error("{url}: expected s3://bucket/path or gs://bucket/path, found {found}")]
    BadUrl {
        /// The URL.
        url: String,
        /// What it has instead.
        found: String,
    },
    /// The program that reads object stores was not built.
    #[error(
        "{url}: object stores are read by the program {}, which is not there; build it with `just build-objects`, or name local files",
        program.display()
    )]
    NoProgram {
        /// What was to be read.
        url: String,
        /// Where the program is looked for.
        program: PathBuf,
    },
    /// An object, a bucket or the right to read it is missing.
    #[error("{0}")]
    BadInput(String),
    /// The network, the store or the disk failed.
    #[error("{0}")]
    Failed(String),
}
