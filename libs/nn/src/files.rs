//! Reading and writing small files with errors that name them.

use std::fs;
use std::path::Path;

use crate::error::{Error, Result};

/// Names the file in the operating system's answer.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_path_buf(), source }
}

impl From<::files::Error> for Error {
    fn from(::files::Error { path, cause, .. }: ::files::Error) -> Error {
        Error::Io { path, source: cause }
    }
}

/// The bytes of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(io_error(path))
}

/// The text of a file.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(io_error(path))
}

/// Replaces a file by new bytes: a crash at any moment leaves the old file or the new one.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    Ok(::files::write_atomically(path, bytes)?)
}

/// Makes a folder and those above it where missing.
pub(crate) fn create_folder(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(io_error(path))
}

/// The SHA-256 of a file in hexadecimal.
pub(crate) fn sha256_file(path: &Path) -> Result<String> {
    Ok(::files::sha256_of_file(path)?)
}

/// The SHA-256 of the concatenated parts, in hexadecimal.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    ::files::sha256(&parts.concat())
}
