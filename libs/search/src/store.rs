//! Bytes that are written once, in order, and may be read back: a file, an unnamed temporary file, or memory.

use std::fs::File;
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::bytes::Bytes;
use crate::error::{Error, Result};

/// Where temporary bytes go.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scratch<'a> {
    Folder(&'a Path),
    Memory,
}

impl Scratch<'_> {
    pub(crate) fn store(self) -> Result<Store> {
        match self {
            Scratch::Memory => Ok(Store::memory()),
            Scratch::Folder(folder) => {
                let file = tempfile::tempfile_in(folder).map_err(Error::io(folder, "writing a temporary file"))?;
                Ok(Store::of(file, folder, "writing a temporary file"))
            }
        }
    }
}

/// Bytes on their way.
#[derive(Debug)]
pub(crate) struct Store {
    to: Target,
    len: u64,
}

#[derive(Debug)]
enum Target {
    File { file: BufWriter<File>, path: PathBuf, action: &'static str },
    Memory(Vec<u8>),
}

impl Store {
    /// Begins the file `path`, in place of one that is there.
    pub(crate) fn create(path: &Path) -> Result<Store> {
        let file = File::create(path).map_err(Error::io(path, "writing"))?;
        Ok(Store::of(file, path, "writing"))
    }

    pub(crate) fn memory() -> Store {
        Store { to: Target::Memory(Vec::new()), len: 0 }
    }

    fn of(file: File, path: &Path, action: &'static str) -> Store {
        let file = BufWriter::with_capacity(1 << 16, file);
        Store { to: Target::File { file, path: path.to_path_buf(), action }, len: 0 }
    }

    /// Bytes written so far.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.len += bytes.len() as u64;
        match &mut self.to {
            Target::File { file, path, action } => file.write_all(bytes).map_err(Error::io(path, action)),
            Target::Memory(memory) => {
                memory.extend_from_slice(bytes);
                Ok(())
            }
        }
    }

    /// Writes what is still buffered.
    pub(crate) fn flush(&mut self) -> Result<()> {
        match &mut self.to {
            Target::File { file, path, action } => file.flush().map_err(Error::io(path, action)),
            Target::Memory(_) => Ok(()),
        }
    }

    /// Replaces the first bytes, which were written before; nothing may be put after that.
    pub(crate) fn replace_start(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.to {
            Target::File { file, path, action } => {
                let written = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(bytes));
                written.map_err(Error::io(path, action))
            }
            Target::Memory(memory) => {
                memory.iter_mut().zip(bytes).for_each(|(old, new)| *old = *new);
                Ok(())
            }
        }
    }

    /// Reads bytes from `offset` on, as many as `buffer` holds, all of which must have been flushed.
    pub(crate) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<()> {
        match &self.to {
            Target::File { file, path, action } => {
                let mut file = file.get_ref();
                let read = file.seek(SeekFrom::Start(offset)).and_then(|_| file.read_exact(buffer));
                read.map_err(Error::io(path, action))
            }
            Target::Memory(memory) => {
                let mut rest = memory.get(offset as usize..).unwrap_or(&[]);
                rest.read_exact(buffer).map_err(Error::io(Path::new("memory"), "reading"))
            }
        }
    }

    /// Appends all of `other`.
    pub(crate) fn append(&mut self, mut other: Store) -> Result<()> {
        other.flush()?;
        let mut buffer = vec![0; 1 << 16];
        let mut offset = 0;
        while offset < other.len {
            let part = &mut buffer[..(other.len - offset).min(1 << 16) as usize];
            other.read_at(offset, part)?;
            self.put(part)?;
            offset += part.len() as u64;
        }
        Ok(())
    }

    /// Ends the writing; returns the bytes if they are in memory, none otherwise.
    pub(crate) fn finish(mut self) -> Result<Bytes> {
        self.flush()?;
        match self.to {
            Target::File { file, path, action } => {
                file.into_inner().map_err(io::IntoInnerError::into_error).map_err(Error::io(&path, action))?;
                Ok(Bytes::Memory(Vec::new()))
            }
            Target::Memory(memory) => Ok(Bytes::Memory(memory)),
        }
    }
}
