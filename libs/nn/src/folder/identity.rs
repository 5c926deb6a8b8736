//! What decides a model's scores, as one digest.

use std::path::Path;

use super::adapter;
use super::layout::{CONFIG_FILE, SETTINGS_FILE, weight_files};
use crate::error::Result;
use crate::files;
use crate::text::TOKENIZER_FILE;

/// The SHA-256 of all that decides a model's scores: configuration, weights, tokenizer and scoring. Two folders with the
/// same identity give the same scores.
///
/// # Errors
/// A missing file.
pub fn identity(folder: &Path) -> Result<String> {
    let is_adapter = adapter::is_adapter(folder);
    let mut paths = if is_adapter {
        adapter::FILES.map(|name| folder.join(name)).to_vec()
    } else {
        [vec![folder.join(CONFIG_FILE)], weight_files(folder)?].concat()
    };
    paths.push(folder.join(TOKENIZER_FILE));
    paths.extend(Some(folder.join(SETTINGS_FILE)).filter(|path| path.exists()));
    let mut digests = paths.iter().map(|path| files::sha256_file(path)).collect::<Result<Vec<String>>>()?;
    if is_adapter {
        digests.push(identity(&adapter::base_folder(folder)?)?);
    }
    Ok(files::sha256(&[digests.concat().as_bytes()]))
}
