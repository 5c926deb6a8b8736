//! Records that wait on disk, in partitions.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};

use anyhow::{Context, Result};

use crate::parallel::locked;

/// Bytes that a writer collects before it writes them.
const BUFFER: usize = 4 << 20;

/// Partitions of records in one temporary file, which has no name and vanishes with the process. The order of the records of
/// a partition is not defined.
#[derive(Debug)]
pub(crate) struct Spill {
    path: PathBuf,
    file: File,
    index: Mutex<Index>,
}

#[derive(Debug)]
struct Index {
    end: u64,
    /// By partition: place and length of its pieces.
    pieces: Vec<Vec<(u64, usize)>>,
}

impl Spill {
    /// Begins a file in `folder`.
    ///
    /// # Errors
    /// Where the system refuses the file.
    pub(crate) fn create(folder: &Path, name: &str, partitions: usize) -> Result<Spill> {
        let path = folder.join(name);
        let failed = || format!("{}: creating failed", path.display());
        let file = File::options().read(true).write(true).create_new(true).open(&path).with_context(failed)?;
        std::fs::remove_file(&path).with_context(failed)?;
        Ok(Spill { index: Mutex::new(Index { end: 0, pieces: vec![Vec::new(); partitions] }), path, file })
    }

    /// A writer for one thread.
    pub(crate) fn writer(&self) -> SpillWriter<'_> {
        SpillWriter { spill: self, buffers: vec![Vec::new(); self.partitions()], bytes: 0 }
    }

    /// The number of partitions.
    pub(crate) fn partitions(&self) -> usize {
        self.index().pieces.len()
    }

    /// All records of a partition.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn read(&self, partition: usize) -> Result<Vec<u8>> {
        let pieces = self.index().pieces[partition].clone();
        let mut records = vec![0; pieces.iter().map(|&(_, length)| length).sum()];
        let mut rest = &mut records[..];
        for (place, length) in pieces {
            let (piece, after) = rest.split_at_mut(length);
            self.file
                .read_exact_at(piece, place)
                .with_context(|| format!("{}: reading failed", self.path.display()))?;
            rest = after;
        }
        Ok(records)
    }

    fn index(&self) -> MutexGuard<'_, Index> {
        locked(&self.index)
    }
}

/// Collects the records of one thread; what is left must be written by [`SpillWriter::finish`].
#[derive(Debug)]
pub(crate) struct SpillWriter<'s> {
    spill: &'s Spill,
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

impl SpillWriter<'_> {
    /// Appends a record to a partition.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn push(&mut self, partition: usize, record: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let buffer = &mut self.buffers[partition];
        let before = buffer.len();
        record(buffer);
        self.bytes += buffer.len() - before;
        if self.bytes >= BUFFER { self.write() } else { Ok(()) }
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        let all = self.buffers.concat();
        let mut index = self.spill.index();
        let mut place = index.end;
        for (buffer, pieces) in self.buffers.iter_mut().zip(&mut index.pieces) {
            if !buffer.is_empty() {
                pieces.push((place, buffer.len()));
                place += buffer.len() as u64;
                buffer.clear();
            }
        }
        let start = std::mem::replace(&mut index.end, place);
        drop(index);
        self.bytes = 0;
        let written = self.spill.file.write_all_at(&all, start);
        written.with_context(|| format!("{}: writing failed", self.spill.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Put, Take};

    #[test]
    fn partitions_hold_what_threads_pushed() {
        let folder = tempfile::tempdir().unwrap();
        let spill = Spill::create(folder.path(), "x", 3).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let spill = &spill;
                scope.spawn(move || {
                    let mut writer = spill.writer();
                    for value in 0..600_000u64 {
                        writer.push(value as usize % 3, |record| record.put_u64(thread << 32 | value)).unwrap();
                    }
                    writer.finish().unwrap();
                });
            }
        });
        for partition in 0..3u64 {
            let bytes = spill.read(partition as usize).unwrap();
            let mut records = Take(&bytes);
            let mut values = Vec::new();
            while !records.is_empty() {
                values.push(records.u64());
            }
            values.sort_unstable();
            let of = |thread: u64| (0..600_000u64).filter(|v| v % 3 == partition).map(move |v| thread << 32 | v);
            assert!(values.into_iter().eq((0..4).flat_map(of)));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
