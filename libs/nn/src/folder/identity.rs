//! What decides a model's scores, as one digest.

use std::path::{Path, PathBuf};

use super::layout::{CONFIG_FILE, weight_files};
use super::{adapter, input};
use crate::error::Result;
use crate::text::Tokenizer;

/// The SHA-256 of all that decides a model's scores: configuration, weights, tokenizer and scoring. Two folders with the
/// same identity give the same scores.
///
/// # Errors
/// A missing file.
pub fn identity(folder: &Path) -> Result<String> {
    identity_on(folder, None)
}

/// As [`identity`] of an adapter whose base model is on the Hub, and was fetched into the folder `hub`.
///
/// # Errors
/// As [`identity`].
pub fn identity_on(folder: &Path, hub: Option<&Path>) -> Result<String> {
    let (adapters, whole) = adapter::chain(folder, hub)?;
    let files = [vec![whole.join(CONFIG_FILE)], weight_files(&whole)?].concat();
    let mut identity = digest(files, &whole, None)?;
    for folder in adapters.iter().rev() {
        identity = digest(adapter::FILES.map(|name| folder.join(name)).to_vec(), folder, Some(identity))?;
    }
    Ok(identity)
}

/// The digest of files, of a folder's tokenizer where it has one, of how it is read, and of what it adapts.
fn digest(mut files: Vec<PathBuf>, folder: &Path, adapted: Option<String>) -> Result<String> {
    files.extend(input::files(folder));
    let mut digests = files.iter().map(|path| crate::files::sha256_file(path)).collect::<Result<Vec<String>>>()?;
    if !Tokenizer::files_of(folder).is_empty() {
        // Not the file's own digest: what it says may be overruled by its companions.
        digests.push(Tokenizer::load(folder)?.identity());
    }
    digests.extend(adapted);
    Ok(crate::files::sha256(&[digests.concat().as_bytes()]))
}
