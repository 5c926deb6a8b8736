//! What a format of pairs does: its rows are read from the front, a window at a time, and written with their scores.

use std::path::Path;

use files::AtomicFile;
use nn::text::Texts;
use pipeline::BadInput;

/// Rows of a window, but for the last: what is in memory at a time, and what a kill undoes at most.
pub(crate) const ROWS: usize = 4096;

/// A file of pairs that is read from the front.
pub(crate) trait Pairs {
    /// Consecutive rows.
    type Window: Window;
    /// The output.
    type Output: Output<Self::Window>;

    /// The next rows, [`ROWS`] or at the end of the file fewer; `None` after them.
    fn next(&mut self) -> anyhow::Result<Option<Self::Window>>;

    /// Begins the output `out`, which `file` becomes.
    fn output(&self, out: &Path, file: AtomicFile) -> anyhow::Result<Self::Output>;
}

/// Consecutive rows.
pub(crate) trait Window {
    /// What the model reads of each.
    fn texts(&self) -> Vec<Texts<'_>>;

    /// What each has in the column `grade`, which only some files have, and there not in every row.
    fn grades(&self) -> Vec<Option<String>>;
}

/// An output that is written from the front.
pub(crate) trait Output<W> {
    /// Writes rows with their scores.
    fn write(&mut self, window: W, scores: &[f32]) -> anyhow::Result<()>;

    /// The whole file, to be committed.
    fn finish(self) -> anyhow::Result<AtomicFile>;
}

/// The error of a file that the operating system does not let us read.
pub(crate) fn unreadable(path: &Path, cause: &std::io::Error) -> BadInput {
    BadInput(format!("{}: cannot be read: {cause}", path.display()))
}
