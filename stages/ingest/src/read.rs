//! Raw files, block by block, for several threads.

use std::collections::VecDeque;

use records::{Block, Blocks, Field, Layout, RawFile};

/// Text of a block, in bytes. Fixed, so that the parts of earlier runs stay usable.
const BLOCK: usize = 16 << 20;

/// The files that are still to be read.
pub(crate) struct FileSource<'w> {
    files: &'w [RawFile],
    layout: &'w Layout,
    fields: &'w [Field],
    waiting: VecDeque<usize>,
    /// The file being read, and the number of its next block.
    open: Option<(usize, Blocks, usize)>,
}

/// Work for a thread.
pub(crate) enum Task {
    /// A block of a file, by the file's index and the block's number.
    Block(usize, usize, Block),
    /// The end of a file, with the number of its blocks.
    End(usize, usize),
}

impl<'w> FileSource<'w> {
    /// Those of `files` whose indices are `wanted`.
    pub(crate) fn new(
        files: &'w [RawFile],
        wanted: impl IntoIterator<Item = usize>,
        layout: &'w Layout,
        fields: &'w [Field],
    ) -> FileSource<'w> {
        FileSource { files, layout, fields, waiting: wanted.into_iter().collect(), open: None }
    }

    /// The next task; `None` once all files are read.
    ///
    /// # Errors
    /// The index of a file that cannot be read, and why.
    pub(crate) fn next(&mut self) -> Result<Option<Task>, (usize, anyhow::Error)> {
        let (file, mut blocks, number) = match self.open.take() {
            Some(open) => open,
            None => {
                let Some(file) = self.waiting.pop_front() else { return Ok(None) };
                let blocks = Blocks::open(&self.files[file], self.layout, self.fields);
                (file, blocks.map_err(|error| (file, error.into()))?, 0)
            }
        };
        match blocks.next(BLOCK).map_err(|error| (file, error.into()))? {
            None => Ok(Some(Task::End(file, number))),
            Some(block) => {
                self.open = Some((file, blocks, number + 1));
                Ok(Some(Task::Block(file, number, block)))
            }
        }
    }
}
