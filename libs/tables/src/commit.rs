//! The atomic commit of a stage's output.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use crate::{Error, FileEntry, MANIFEST_FILE, Manifest, Result, StageDir};

/// A stage's output while the stage runs: the folder `.<stage>.partial` beside the target folder.
///
/// [`OutputDir::commit`] flushes every file to disk, renames the folder to `<stage>` and writes the manifest last. Until
/// then the stage's earlier output is untouched.
#[derive(Debug)]
pub struct OutputDir {
    root: PathBuf,
    stage: String,
    partial: PathBuf,
}

impl OutputDir {
    /// Opens the stage's partial folder below `root`. Files of an interrupted run are kept if `resume` is true, else
    /// removed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(root: &Path, stage: &str, resume: bool) -> Result<OutputDir> {
        let partial = root.join(format!(".{stage}.partial"));
        if !resume {
            remove_dir(&partial)?;
        }
        fs::create_dir_all(&partial).map_err(Error::io(&partial, "creating"))?;
        Ok(OutputDir { root: root.to_path_buf(), stage: stage.to_string(), partial })
    }

    /// The folder to write into.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Removes the partial folder: the run failed and has nothing to resume from.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn discard(self) -> Result<()> {
        remove_dir(&self.partial)
    }

    /// Replaces the stage's output by the partial folder. Fills `manifest.files` with every file that belongs to no table.
    ///
    /// # Errors
    /// [`Error::Io`]; the earlier output is then still in place unless the last renames themselves failed.
    pub fn commit(self, mut manifest: Manifest) -> Result<StageDir> {
        let mut paths = Vec::new();
        list_files(&self.partial, &self.partial, &mut paths)?;
        let tables: Vec<String> = manifest.tables.keys().map(|table| format!("{table}/")).collect();
        manifest.files = paths
            .into_iter()
            .filter(|path| !tables.iter().any(|table| path.starts_with(table)))
            .map(|path| file_entry(&self.partial, path))
            .collect::<Result<_>>()?;
        sync_tree(&self.partial)?;

        let target = self.root.join(&self.stage);
        let old = self.root.join(format!(".{}.old", self.stage));
        remove_dir(&old)?;
        if target.exists() {
            fs::rename(&target, &old).map_err(Error::io(&target, "renaming"))?;
        }
        fs::rename(&self.partial, &target).map_err(Error::io(&self.partial, "renaming"))?;
        files::sync_folder(&self.root)?;
        let text = serde_json::to_vec_pretty(&manifest).map_err(|e| Error::BadManifest {
            path: target.join(MANIFEST_FILE),
            stage: self.stage.clone(),
            reason: e.to_string(),
        })?;
        files::write_atomically(&target.join(MANIFEST_FILE), &text)?;
        remove_dir(&old)?;
        StageDir::open(&self.root, &self.stage)
    }
}

/// Entry of a file of `root`, relative path and checksum.
pub(crate) fn file_entry(root: &Path, path: String) -> Result<FileEntry> {
    let full = root.join(&path);
    let bytes = fs::metadata(&full).map_err(Error::io(&full, "reading"))?.len();
    Ok(FileEntry { bytes, sha256: files::sha256_of_file(&full)?, path })
}

fn sync_tree(dir: &Path) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "listing"))? {
        let path = entry.map_err(Error::io(dir, "listing"))?.path();
        if path.is_dir() {
            sync_tree(&path)?;
        } else {
            File::open(&path).and_then(|file| file.sync_all()).map_err(Error::io(&path, "syncing"))?;
        }
    }
    Ok(files::sync_folder(dir)?)
}

/// Relative paths of all files below `dir`, sorted, with `/` between folders.
fn list_files(root: &Path, dir: &Path, files: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "listing"))? {
        let path = entry.map_err(Error::io(dir, "listing"))?.path();
        if path.is_dir() {
            list_files(root, &path, files)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            let parts: Vec<_> = relative.iter().map(|part| part.to_string_lossy()).collect();
            files.push(parts.join("/"));
        }
    }
    files.sort();
    Ok(())
}

/// Removes a folder with all that is in it; nothing where there is none.
pub(crate) fn remove_dir(dir: &Path) -> Result<()> {
    match fs::remove_dir_all(dir) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(dir, "removing")(e)),
        _ => Ok(()),
    }
}
