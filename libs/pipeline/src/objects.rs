//! Inputs in object stores, as local files.

use std::path::{Path, PathBuf};

use objects::{Error, Fetch, Found, Message};

use crate::paths::RunPaths;
use crate::progress::Progress;
use crate::{BadInput, ConfigError};

const MIB: u64 = 1 << 20;

/// The local copies of the objects that a URL, with or without wildcards, stands for, sorted by key; none where it matches none.
///
/// # Errors
/// [`BadInput`] where bucket or rights are missing; [`ConfigError`] for a URL that cannot be read, and where `fetch-objects` is
/// not built; what failed.
pub fn fetch_objects(url: &str) -> anyhow::Result<Vec<PathBuf>> {
    fetched(url, Fetch::Objects(url))
}

/// A file of the command line or the configuration: the path, or the local copy of the one object of a URL.
///
/// # Errors
/// As [`fetch_objects`]; [`BadInput`] where there is no such object, or are several.
pub fn local_file(path: PathBuf) -> anyhow::Result<PathBuf> {
    let Some(url) = url(&path) else { return Ok(path) };
    let mut found = fetch_objects(url)?;
    match (found.len(), found.pop()) {
        (1, Some(file)) => Ok(file),
        (count, _) => Err(BadInput(format!(
            "{url}: expected one object, found {}; correct it",
            if count == 0 { "none" } else { "several" }
        )))?,
    }
}

/// A folder of the command line or the configuration: the path, or the local copy of all objects below a URL.
///
/// # Errors
/// As [`fetch_objects`]; [`BadInput`] where there is no object.
pub fn local_folder(path: PathBuf) -> anyhow::Result<PathBuf> {
    let Some(url) = url(&path) else { return Ok(path) };
    if fetched(url, Fetch::Folder(url))?.is_empty() {
        Err(nothing_below(url))?;
    }
    objects::Cache::from_env().file_of(url).ok_or_else(|| nothing_below(url).into())
}

/// True if [`local_folder`] would have to fetch nothing of a URL.
///
/// # Errors
/// As [`local_folder`].
pub fn is_fetched(url: &str) -> anyhow::Result<bool> {
    let found = objects::list(Fetch::Folder(url)).map_err(told)?;
    if found.is_empty() {
        Err(nothing_below(url))?;
    }
    Ok(found.iter().all(|object| object.is_cached))
}

impl RunPaths {
    /// The folder of a path of the configuration, which is fetched first if it is a URL.
    ///
    /// # Errors
    /// As [`local_folder`].
    pub fn local_folder(&self, path: &str) -> anyhow::Result<PathBuf> {
        if objects::is_url(path) { local_folder(path.into()) } else { Ok(self.resolve(path)) }
    }
}

/// The URL that stands where a path may stand.
fn url(path: &Path) -> Option<&str> {
    path.to_str().filter(|text| objects::is_url(text))
}

fn nothing_below(url: &str) -> BadInput {
    BadInput(format!("{url}: expected objects below it, found none; correct it"))
}

/// Fetches what is not in the cache, with lines of progress.
fn fetched(url: &str, what: Fetch<'_>) -> anyhow::Result<Vec<PathBuf>> {
    let (mut progress, mut stored) = (None, 0);
    let mut said = |message: &Message| match message {
        Message::Waiting => tracing::info!("{url}: another process fetches objects; this one waits for it"),
        Message::Plan { objects, bytes } => {
            let (size, folder) = (bytes.div_ceil(MIB), objects::Cache::from_env());
            let noun = if *objects == 1 { "object" } else { "objects" };
            tracing::info!("{url}: fetching {objects} {noun}, {size} MiB, into {}", folder.folder().display());
            progress = Some(Progress::new("MiB fetched", size, false));
        }
        Message::Stored(bytes) => {
            stored += bytes;
            progress.iter_mut().for_each(|progress| progress.set(stored / MIB, ""));
        }
        Message::Objects(_) | Message::BadInput(_) | Message::Failed(_) => {}
    };
    let found = objects::fetch(what, &mut said).map_err(told)?;
    Ok(found.into_iter().map(|Found { file, .. }| file).collect())
}

/// The error with the exit code that it has.
fn told(error: Error) -> anyhow::Error {
    match error {
        Error::BadUrl { .. } | Error::NoProgram { .. } => ConfigError::Unusable(error.to_string()).into(),
        Error::BadInput(line) => BadInput(line).into(),
        Error::Failed(_) => error.into(),
    }
}
