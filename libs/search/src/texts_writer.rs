//! Writing the file of [`crate::Texts`].

use std::path::Path;

use xxhash_rust::xxh3::Xxh3;

use crate::bytes::Bytes;
use crate::error::{Error, Result};
use crate::store::{Scratch, Store};
use crate::varint;

/// The first bytes of the file; the version is a part.
pub(crate) const MAGIC: &[u8; 8] = b"texts 01";
/// Bytes of the header.
pub(crate) const HEADER: usize = 40;

/// Writes documents to a file that [`crate::Texts`] opens. Without [`TextsWriter::finish`] the file cannot be opened.
pub struct TextsWriter {
    file: Store,
    starts: Store,
    documents: u64,
    /// The last id.
    before: Option<String>,
    hash: Box<Xxh3>,
    record: Vec<u8>,
}

impl std::fmt::Debug for TextsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextsWriter").field("documents", &self.documents).finish_non_exhaustive()
    }
}

impl TextsWriter {
    /// Begins the file `path`, in place of one that is there. An unnamed file in the same folder holds 8 bytes a document
    /// meanwhile.
    ///
    /// # Errors
    /// [`Error`] where files cannot be created.
    pub fn create(path: &Path) -> Result<TextsWriter> {
        let folder = path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        TextsWriter::new(Store::create(path)?, Scratch::Folder(folder).store()?)
    }

    pub(crate) fn in_memory() -> Result<TextsWriter> {
        TextsWriter::new(Store::memory(), Store::memory())
    }

    fn new(mut file: Store, starts: Store) -> Result<TextsWriter> {
        file.put(&[0; HEADER])?;
        Ok(TextsWriter { file, starts, documents: 0, before: None, hash: Box::default(), record: Vec::new() })
    }

    /// Appends a document.
    ///
    /// # Errors
    /// [`Error`] if `id` does not follow the one before byte by byte, and where the file cannot be written.
    pub fn push(&mut self, id: &str, title: &str, summary: &str) -> Result<()> {
        match &mut self.before {
            Some(before) if before.as_str() >= id => {
                return Err(Error::Order { before: before.clone(), id: id.to_owned() });
            }
            Some(before) => {
                before.clear();
                before.push_str(id);
            }
            None => self.before = Some(id.to_owned()),
        }
        self.record.clear();
        let texts = [id, title, summary];
        texts.iter().for_each(|text| varint::push(&mut self.record, text.len() as u64));
        texts.iter().for_each(|text| self.record.extend_from_slice(text.as_bytes()));
        self.starts.put(&(self.file.len() - HEADER as u64).to_le_bytes())?;
        self.hash.update(&self.record);
        self.documents += 1;
        self.file.put(&self.record)
    }

    /// Writes the rest of the file.
    ///
    /// # Errors
    /// [`Error`] where the file cannot be written.
    pub fn finish(self) -> Result<()> {
        self.end().map(|_| ())
    }

    /// Writes the rest of the file; returns its bytes if they are in memory.
    pub(crate) fn end(mut self) -> Result<Bytes> {
        let records = self.file.len() - HEADER as u64;
        self.file.append(self.starts)?;
        let numbers = [self.documents, records].into_iter().flat_map(u64::to_le_bytes);
        let header: Vec<u8> = MAGIC.iter().copied().chain(numbers).chain(self.hash.digest128().to_le_bytes()).collect();
        self.file.replace_start(&header)?;
        self.file.finish()
    }
}
