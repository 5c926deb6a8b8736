//! Replacing a file: temporary file, fsync, rename, fsync of the folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// A file that is written beside its place and moved there by [`AtomicFile::commit`]. If it is dropped before that, what
/// was there before stays.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    committed: bool,
}

impl AtomicFile {
    /// Begins the file `path` in a folder that may hold other programs' files: the temporary file gets an unused name.
    ///
    /// # Errors
    /// [`Error`] where the temporary file cannot be created.
    pub fn create(path: &Path) -> Result<AtomicFile> {
        AtomicFile::create_in(path.parent().unwrap_or(Path::new("")), path)
    }

    /// As [`AtomicFile::create`], with the temporary file in `folder`, which is on the same disk and removed by the caller: what
    /// a killed run left there goes with it.
    ///
    /// # Errors
    /// [`Error`] where the temporary file cannot be created.
    pub fn create_in(folder: &Path, path: &Path) -> Result<AtomicFile> {
        let place = folder.join(path.file_name().unwrap_or_default());
        let mut number = 0_u32;
        loop {
            let temporary = beside(&place, &format!(".{}-{number}.tmp", std::process::id()));
            match File::create_new(&temporary) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                opened => return AtomicFile::begin(path, temporary, opened),
            }
        }
    }

    /// Begins the file `path` in a folder that only this program writes: the temporary file of a killed run is replaced.
    fn create_in_own_folder(path: &Path) -> Result<AtomicFile> {
        let temporary = beside(path, ".tmp");
        let opened = File::create(&temporary);
        AtomicFile::begin(path, temporary, opened)
    }

    fn begin(path: &Path, temporary: PathBuf, opened: io::Result<File>) -> Result<AtomicFile> {
        let file = opened.map_err(Error::of(path, "writing"))?;
        Ok(AtomicFile { path: path.to_path_buf(), temporary, file: BufWriter::new(file), committed: false })
    }

    /// Moves the file to its place.
    ///
    /// # Errors
    /// [`Error`] where the file cannot be written or moved; what was there before then stays.
    pub fn commit(mut self) -> Result<()> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let placed = written.and_then(|()| fs::rename(&self.temporary, &self.path));
        placed.map_err(Error::of(&self.path, "writing"))?;
        self.committed = true;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => sync_folder(folder),
            _ => sync_folder(Path::new(".")),
        }
    }
}

/// Replaces the file `path`, in a folder that only this program writes, by `bytes`.
///
/// # Errors
/// [`Error`] where the file cannot be written or moved; what was there before then stays.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create_in_own_folder(path)?;
    file.write_all(bytes).map_err(Error::of(path, "writing"))?;
    file.commit()
}

/// Flushes a folder's list of files to disk: files that were created, renamed or removed in it stay so after a crash.
///
/// # Errors
/// [`Error`].
pub fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|handle| handle.sync_all()).map_err(Error::of(folder, "syncing"))
}

/// The path with `ending` after its last name.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name: OsString = path.file_name().unwrap_or_default().to_os_string();
    name.push(ending);
    path.with_file_name(name)
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if !self.committed {
            // A temporary file that cannot be removed is harmless.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_temporary_file_of_a_killed_run_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(beside(&path, ".tmp"), "half a file of an earlier run").unwrap();
        write_atomically(&path, b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_temporary_file_may_lie_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let (path, work) = (folder.path().join("file"), folder.path().join("work"));
        fs::create_dir(&work).unwrap();
        let mut file = AtomicFile::create_in(&work, &path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!((fs::read_dir(&work).unwrap().count(), path.exists()), (1, false));
        file.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
    }

    #[test]
    fn a_failed_write_names_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none/file");
        let error = write_atomically(&path, b"new").unwrap_err();
        assert!(error.to_string().starts_with(&format!("{}: writing failed: ", path.display())), "{error}");
        assert_eq!(error.cause.kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_there_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "old").unwrap();
        let others = [".tmp", &format!(".{}-0.tmp", std::process::id())].map(|ending| beside(&path, ending));
        others.iter().for_each(|other| fs::write(other, "another's").unwrap());
        let mut abandoned = AtomicFile::create(&path).unwrap();
        abandoned.write_all(b"half").unwrap();
        drop(abandoned);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        let mut whole = AtomicFile::create(&path).unwrap();
        whole.write_all(b"new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        whole.commit().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
        others.iter().for_each(|other| assert_eq!(fs::read_to_string(other).unwrap(), "another's"));
    }
}
