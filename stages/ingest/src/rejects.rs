//! The lines of the log that did not become a row, on their way to the table `rejects`.

use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::bytes::{Put, Take};
use crate::input::Reject;
use crate::spill::{Spill, SpillWriter};

/// Lines of a file that are sorted at a time.
const LINES: u64 = 1 << 19;

/// Rejects on disk, by file and line.
#[derive(Debug)]
pub(crate) struct Rejects {
    spill: Spill,
    /// By file: its name and its first partition.
    files: Vec<(Arc<str>, usize)>,
}

impl Rejects {
    /// Room for rejects of files with the given names and numbers of lines.
    ///
    /// # Errors
    /// As [`Spill::create`].
    pub(crate) fn create(folder: &Path, files: &[(Arc<str>, u64)]) -> Result<Rejects> {
        let mut partitions = 0;
        let first = |(name, lines): &(Arc<str>, u64)| {
            let first = partitions;
            partitions += 1 + (lines / LINES) as usize;
            (name.clone(), first)
        };
        let files = files.iter().map(first).collect();
        Ok(Rejects { files, spill: Spill::create(folder, "rejects.spill", partitions)? })
    }

    /// A writer for one thread.
    pub(crate) fn writer(&self) -> RejectWriter<'_> {
        RejectWriter { rejects: self, writer: self.spill.writer() }
    }

    /// Visits the rejects of each file, sorted by line, files in their order.
    ///
    /// # Errors
    /// Where reading fails; those of `visit`.
    pub(crate) fn visit(&self, mut visit: impl FnMut(Vec<Reject>) -> Result<()>) -> Result<()> {
        for (at, (name, first)) in self.files.iter().enumerate() {
            let end = self.files.get(at + 1).map_or(self.spill.partitions(), |next| next.1);
            for partition in *first..end {
                let bytes = self.spill.read(partition)?;
                let mut records = Take(&bytes);
                let mut rejects = Vec::new();
                while !records.is_empty() {
                    let line = records.u64();
                    let (reason, content) = (records.text().to_string().into(), records.text().to_string());
                    rejects.push(Reject { file: name.clone(), line, reason, content });
                }
                rejects.sort_unstable_by(|a, b| (a.line, &a.reason, &a.content).cmp(&(b.line, &b.reason, &b.content)));
                visit(rejects)?;
            }
        }
        Ok(())
    }
}

/// Collects the rejects of one thread.
#[derive(Debug)]
pub(crate) struct RejectWriter<'r> {
    rejects: &'r Rejects,
    writer: SpillWriter<'r>,
}

impl RejectWriter<'_> {
    /// Adds a line of a file.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn push(&mut self, file: u32, line: u64, reason: &str, content: &str) -> Result<()> {
        let first = self.rejects.files[file as usize].1;
        let last = self.rejects.files.get(file as usize + 1).map_or(self.rejects.spill.partitions(), |next| next.1) - 1;
        let partition = (first + (line / LINES) as usize).min(last);
        self.writer.push(partition, |record| {
            record.put_u64(line);
            record.put_text(reason);
            record.put_text(content);
        })
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(self) -> Result<()> {
        self.writer.finish()
    }
}
