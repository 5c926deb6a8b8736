//! Ids, titles and summaries of documents in one file.
//!
//! All numbers are little-endian; nothing is aligned.
//!
//! ```text
//! header    magic "texts 01", documents u64, bytes of `records` u64, XXH3-128 of `records`
//! records   by document: bytes of id, title and summary, each as a varint, then the three in UTF-8
//! starts    by document: its start in `records` u64
//! ```

use std::path::Path;

use crate::bytes::{Bytes, span, u64_at};
use crate::error::{Error, Result};
use crate::texts_writer::{HEADER, MAGIC, TextsWriter};
use crate::varint;

/// Ids, titles and summaries of documents, numbered from 0 in the byte-wise order of their ids, in a mapped file or in
/// memory. Many threads may read it at once.
///
/// Opening checks the lengths alone. A text that is damaged or no UTF-8 is read as the empty text.
#[derive(Debug)]
pub struct Texts {
    bytes: Bytes,
    documents: usize,
    /// Where `starts` begins.
    starts: usize,
    digest: String,
}

impl Texts {
    /// Opens the file that [`TextsWriter`] wrote.
    ///
    /// # Errors
    /// [`Error`] on a file that cannot be opened, is no store of texts or is cut off.
    pub fn open(path: &Path) -> Result<Texts> {
        Texts::read(path, Bytes::map(path)?)
    }

    /// The texts of `documents`, each an id, a title and a summary, in memory.
    ///
    /// # Errors
    /// [`Error::Order`] unless the ids rise.
    pub fn of<'a>(documents: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Result<Texts> {
        let mut writer = TextsWriter::in_memory()?;
        for (id, title, summary) in documents {
            writer.push(id, title, summary)?;
        }
        Texts::read(Path::new("memory"), writer.end()?)
    }

    fn read(path: &Path, bytes: Bytes) -> Result<Texts> {
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            return Err(Error::unreadable(path, "a store of texts of version 1", "another kind of file"));
        }
        let (documents, records) = (u64_at(&bytes, 8), u64_at(&bytes, 16));
        let starts = (HEADER as u64).checked_add(records);
        let len = documents.checked_mul(8).zip(starts).and_then(|(a, b)| a.checked_add(b));
        if len != Some(bytes.len() as u64) || bytes.len() < HEADER {
            let expected = len.map_or("a whole store of texts".to_owned(), |len| format!("texts in {len} bytes"));
            return Err(Error::unreadable(path, expected, format!("{} bytes", bytes.len())));
        }
        let digest = bytes[24..HEADER].iter().rev().map(|byte| format!("{byte:02x}")).collect();
        Ok(Texts { documents: documents as usize, starts: HEADER + records as usize, digest, bytes })
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.documents
    }

    /// True if there is no document.
    pub fn is_empty(&self) -> bool {
        self.documents == 0
    }

    /// The id of document `n`.
    ///
    /// # Panics
    /// If there is no document `n`, as slices do; so do [`Texts::title`] and [`Texts::summary`].
    pub fn id(&self, n: usize) -> &str {
        self.fields(n)[0]
    }

    /// The title of document `n`.
    pub fn title(&self, n: usize) -> &str {
        self.fields(n)[1]
    }

    /// The summary of document `n`.
    pub fn summary(&self, n: usize) -> &str {
        self.fields(n)[2]
    }

    /// The number of the document `id`.
    pub fn find(&self, id: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.documents);
        while low < high {
            let middle = low.midpoint(high);
            if self.id(middle) < id { low = middle + 1 } else { high = middle }
        }
        (low < self.documents && self.id(low) == id).then_some(low)
    }

    /// The XXH3-128 of all texts in hexadecimal: equal for equal documents alone.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    fn fields(&self, n: usize) -> [&str; 3] {
        assert!(n < self.documents, "there is no document {n} of {}", self.documents);
        let records = &self.bytes[HEADER..self.starts];
        let mut record = span(records, u64_at(&self.bytes, self.starts + 8 * n), records.len() as u64);
        let lengths = [(); 3].map(|()| varint::take(&mut record));
        let mut rest = record;
        lengths.map(|length| {
            let (text, after) = rest.split_at(usize::try_from(length).unwrap_or(usize::MAX).min(rest.len()));
            rest = after;
            if text.len() as u64 == length { std::str::from_utf8(text).unwrap_or("") } else { "" }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::fs;

    fn write(path: &Path, documents: &BTreeMap<String, (String, String)>) -> Texts {
        let mut writer = TextsWriter::create(path).unwrap();
        documents.iter().for_each(|(id, (title, summary))| writer.push(id, title, summary).unwrap());
        writer.finish().unwrap();
        Texts::open(path).unwrap()
    }

    fn some() -> impl Strategy<Value = BTreeMap<String, (String, String)>> {
        prop::collection::btree_map(".{0,9}", (".{0,200}", ".{0,9}"), 0..12)
    }

    proptest! {
        #[test]
        fn texts_come_back_and_are_found(documents in some(), other in ".{0,4}") {
            let folder = tempfile::tempdir().unwrap();
            let texts = write(&folder.path().join("texts"), &documents);
            let borrowed = documents.iter().map(|(id, (title, summary))| (id.as_str(), title.as_str(), summary.as_str()));
            let in_memory = Texts::of(borrowed.clone()).unwrap();
            prop_assert_eq!(&*in_memory.bytes, &*texts.bytes);
            prop_assert_eq!(texts.len(), documents.len());
            for (n, (id, title, summary)) in borrowed.enumerate() {
                prop_assert_eq!([texts.id(n), texts.title(n), texts.summary(n)], [id, title, summary]);
                prop_assert_eq!(texts.find(id), Some(n));
            }
            prop_assert_eq!(texts.find(&other).is_some(), documents.contains_key(&other));
        }

        #[test]
        fn damaged_texts_are_some_text_or_an_error(
            documents in some(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = write(&folder.path().join("texts"), &documents).bytes.to_vec();
            damage.iter().for_each(|(at, byte)| {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            });
            if let Ok(texts) = Texts::read(Path::new("x"), Bytes::Memory(bytes)) {
                for n in 0..texts.len() {
                    texts.find(texts.id(n));
                }
                texts.find("some");
            }
        }
    }

    #[test]
    fn the_digest_tells_texts_apart() {
        let digest = |documents: &[(&'static str, &'static str, &'static str)]| {
            Texts::of(documents.iter().copied()).unwrap().digest().to_owned()
        };
        let digests = [
            digest(&[]),
            digest(&[("a", "b", "")]),
            digest(&[("a", "", "b")]),
            digest(&[("", "", ""), ("a", "", "b")]),
        ];
        assert_eq!(digests[0], "99aa06d3014798d86001c324468d497f");
        assert_eq!(digests.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    }

    #[test]
    fn cut_and_foreign_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts");
        let bytes = write(&path, &BTreeMap::from([("a".to_owned(), ("b".to_owned(), "c".to_owned()))])).bytes.to_vec();
        for len in 0..bytes.len() {
            fs::write(&path, &bytes[..len]).unwrap();
            assert!(Texts::open(&path).is_err());
        }
        let message = |bytes: &[u8]| {
            fs::write(&path, bytes).unwrap();
            Texts::open(&path).unwrap_err().to_string().replace(path.to_str().unwrap(), "x")
        };
        assert_eq!(message(&bytes[..50]), "x: expected texts in 54 bytes, found 50 bytes; re-run ingest with --force");
        let foreign =
            "x: expected a store of texts of version 1, found another kind of file; re-run ingest with --force";
        assert_eq!(message(b"PAR1"), foreign);
    }

    #[test]
    fn ids_must_rise() {
        let error = Texts::of([("b", "", ""), ("a", "", "")]).unwrap_err();
        assert_eq!(error.to_string(), "expected ids that rise byte by byte, found `a` after `b`");
        assert!(Texts::of([("a", "", ""), ("a", "", "")]).is_err());
        assert!(Texts::of([("", "", ""), ("a", "", "")]).is_ok());
    }
}
