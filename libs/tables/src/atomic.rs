//! A file that is either whole or not there.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::commit::sync_dir;
use crate::{Error, Result};

/// A file written beside its place, and put there when it is whole: temporary file, fsync, rename, fsync of the folder.
/// Dropped before [`AtomicFile::commit`], it leaves what was there.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: BufWriter<File>,
    committed: bool,
}

impl AtomicFile {
    /// Begins the file `path`, in a folder where others may have files: the temporary one has a name that is free.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn create(path: &Path) -> Result<AtomicFile> {
        let mut number = 0_u32;
        loop {
            let temporary = beside(path, &format!(".{}-{number}.tmp", std::process::id()));
            match File::create_new(&temporary) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                opened => return AtomicFile::begin(path, temporary, opened),
            }
        }
    }

    /// Begins the file `path` in a folder of ours: the temporary file that a killed run left is written over.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn create_in_own_folder(path: &Path) -> Result<AtomicFile> {
        let temporary = beside(path, ".tmp");
        let opened = File::create(&temporary);
        AtomicFile::begin(path, temporary, opened)
    }

    fn begin(path: &Path, temporary: PathBuf, opened: io::Result<File>) -> Result<AtomicFile> {
        let file = opened.map_err(Error::io(path, "writing"))?;
        Ok(AtomicFile { path: path.to_path_buf(), temporary, file: BufWriter::new(file), committed: false })
    }

    /// Puts the file in its place.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn commit(mut self) -> Result<()> {
        let written = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        let placed = written.and_then(|()| fs::rename(&self.temporary, &self.path));
        placed.map_err(Error::io(&self.path, "writing"))?;
        self.committed = true;
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => sync_dir(folder),
            _ => sync_dir(Path::new(".")),
        }
    }
}

/// The path with an ending more.
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
