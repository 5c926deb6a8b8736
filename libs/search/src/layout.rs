//! The file of an index. All numbers are little-endian; nothing is aligned.
//!
//! ```text
//! header    magic "bm25 idx", version u32, length of the header u32,
//!           documents u64, tokens u64, k1 f64, b f64, length of each section u64,
//!           analyzer and collection, each as length u32 and UTF-8
//! lengths   by document: its tokens u32
//! postings  by term, in blocks of up to 128 documents; `postings.rs` has their form
//! blocks    by block: last document u32, upper bound of the weights f32, start in `postings` u64
//! texts     the terms in byte-wise order, one after the other
//! terms     by term: end in `texts` u64, first of its `blocks` u64, documents u32, upper bound of the weights f32
//! ```

use std::ops::Range;
use std::path::Path;

use crate::bytes::{span, u32_at, u64_at};
use crate::error::{Error, Result};
use crate::weights::{Bm25, Collection};

const MAGIC: &[u8; 8] = b"bm25 idx";
const VERSION: u32 = 1;
/// Bytes of the header before the identity.
const FIXED: usize = 16 + 4 * 8 + SECTIONS * 8;
const SECTIONS: usize = 5;

/// Documents are numbered in 32 bits, with a few numbers to spare beyond the last.
pub(crate) const MAX_DOCUMENTS: usize = u32::MAX as usize - (1 << 20);
/// Postings of a block.
pub(crate) const BLOCK: usize = 128;
/// Bytes of an entry of `blocks`.
pub(crate) const BLOCK_ENTRY: usize = 16;
/// Bytes of an entry of `terms`.
pub(crate) const TERM_ENTRY: usize = 24;

/// What an index was made from, so that one of other texts or other tokens is not searched by mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The analyzer that made the tokens, with its version.
    pub analyzer: String,
    /// The documents, such as [`crate::Texts::digest`].
    pub collection: String,
}

/// All that the header says.
#[derive(Debug, Clone)]
pub(crate) struct Header {
    pub(crate) identity: Identity,
    pub(crate) collection: Collection,
    /// Bytes of `lengths`, `postings`, `blocks`, `texts` and `terms`.
    pub(crate) sections: [u64; SECTIONS],
}

/// One entry of `blocks`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockEntry {
    pub(crate) last: u32,
    pub(crate) bound: f32,
    pub(crate) start: u64,
}

impl BlockEntry {
    #[inline]
    pub(crate) fn read(bytes: &[u8; BLOCK_ENTRY]) -> BlockEntry {
        BlockEntry { last: u32_at(bytes, 0), bound: f32::from_bits(u32_at(bytes, 4)), start: u64_at(bytes, 8) }
    }

    pub(crate) fn write(self) -> [u8; BLOCK_ENTRY] {
        let bits = u64::from(self.last) | u64::from(self.bound.to_bits()) << 32;
        (u128::from(bits) | u128::from(self.start) << 64).to_le_bytes()
    }
}

/// One entry of `terms`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TermEntry {
    pub(crate) text_end: u64,
    pub(crate) first_block: u64,
    pub(crate) documents: u32,
    pub(crate) bound: f32,
}

impl TermEntry {
    pub(crate) fn read(bytes: &[u8; TERM_ENTRY]) -> TermEntry {
        TermEntry {
            text_end: u64_at(bytes, 0),
            first_block: u64_at(bytes, 8),
            documents: u32_at(bytes, 16),
            bound: f32::from_bits(u32_at(bytes, 20)),
        }
    }

    pub(crate) fn write(self) -> Vec<u8> {
        let wide = [self.text_end, self.first_block].into_iter().flat_map(u64::to_le_bytes);
        wide.chain([self.documents, self.bound.to_bits()].into_iter().flat_map(u32::to_le_bytes)).collect()
    }
}

impl Header {
    /// The header's bytes, as many whatever the numbers are.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Collection { config, documents, tokens } = self.collection;
        let texts = [&self.identity.analyzer, &self.identity.collection];
        let len = FIXED + texts.iter().map(|text| 4 + text.len()).sum::<usize>();
        let mut bytes = MAGIC.to_vec();
        bytes.extend([VERSION, len as u32].into_iter().flat_map(u32::to_le_bytes));
        bytes.extend([documents, tokens].into_iter().flat_map(u64::to_le_bytes));
        bytes.extend([config.k1, config.b].into_iter().flat_map(f64::to_le_bytes));
        bytes.extend(self.sections.into_iter().flat_map(u64::to_le_bytes));
        for text in texts {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text.as_bytes());
        }
        bytes
    }

    /// Reads the header of the file `path` and compares its length with what the header promises.
    pub(crate) fn read(path: &Path, bytes: &[u8]) -> Result<Header> {
        if bytes.get(..8) != Some(MAGIC.as_slice()) {
            return Err(Error::unreadable(path, "an index", "another kind of file"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Error::unreadable(
                path,
                format!("an index of version {VERSION}"),
                format!("version {version}"),
            ));
        }
        let damaged = || Error::unreadable(path, "a whole index", "a damaged one");
        let mut texts = bytes.get(FIXED..u32_at(bytes, 12) as usize).ok_or_else(damaged)?;
        let number = |at: usize| u64_at(bytes, 16 + 8 * at);
        let config = Bm25 { k1: f64::from_bits(number(2)), b: f64::from_bits(number(3)) };
        let header = Header {
            identity: Identity {
                analyzer: take_text(&mut texts).ok_or_else(damaged)?,
                collection: take_text(&mut texts).ok_or_else(damaged)?,
            },
            collection: Collection { config, documents: number(0), tokens: number(1) },
            sections: std::array::from_fn(|section| number(4 + section)),
        };
        header.check(path, bytes.len() as u64)?;
        Ok(header)
    }

    fn check(&self, path: &Path, found: u64) -> Result<()> {
        let len = self.write().len() as u64;
        let expected = self.sections.iter().try_fold(len, |sum, section| sum.checked_add(*section));
        let Collection { config, documents, .. } = self.collection;
        let [lengths, _, blocks, _, terms] = self.sections;
        let whole = expected == Some(found);
        let even = blocks.is_multiple_of(BLOCK_ENTRY as u64) && terms.is_multiple_of(TERM_ENTRY as u64);
        if whole && even && config.check().is_ok() && documents <= MAX_DOCUMENTS as u64 && lengths == 4 * documents {
            return Ok(());
        }
        let expected = expected.map_or("a whole index".to_owned(), |expected| format!("an index of {expected} bytes"));
        Err(Error::unreadable(path, expected, format!("{found} bytes or damaged ones")))
    }

    /// Refuses an index of another identity.
    pub(crate) fn expect(&self, path: &Path, expected: &Identity) -> Result<()> {
        let found = &self.identity;
        let names = [
            ("analyzer", &expected.analyzer, &found.analyzer),
            ("collection", &expected.collection, &found.collection),
        ];
        match names.into_iter().find(|(_, expected, found)| expected != found) {
            Some((what, expected, found)) => {
                Err(Error::unreadable(path, format!("an index of {what} `{expected}`"), format!("`{found}`")))
            }
            None => Ok(()),
        }
    }

    /// Where the sections lie in the file.
    pub(crate) fn ranges(&self) -> [Range<usize>; SECTIONS] {
        let mut end = self.write().len();
        self.sections.map(|len| {
            let start = end;
            end += len as usize;
            start..end
        })
    }
}

fn take_text(bytes: &mut &[u8]) -> Option<String> {
    let len = u32_at(bytes.get(..4)?, 0);
    let text = std::str::from_utf8(bytes.get(4..4 + len as usize)?).ok()?;
    *bytes = &bytes[4 + len as usize..];
    Some(text.to_owned())
}

/// The text of the term number `term`, of those that lie one after the other in `texts`.
pub(crate) fn term_text<'a>(texts: &'a [u8], entries: &[[u8; TERM_ENTRY]], term: usize) -> &'a [u8] {
    let start = term.checked_sub(1).map_or(0, |before| u64_at(&entries[before], 0));
    span(texts, start, u64_at(&entries[term], 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let identity = Identity { analyzer: "english 1".to_owned(), collection: "é".to_owned() };
        let collection = Collection { config: Bm25 { k1: 0.9, b: 0.4 }, documents: 2, tokens: 5 };
        Header { identity, collection, sections: [8, 3, 16, 2, 24] }
    }

    #[test]
    fn a_header_comes_back() {
        let mut file = header().write();
        assert_eq!(header().ranges()[0].start, file.len());
        file.resize(file.len() + 53, 0);
        assert_eq!(header().ranges()[4].end, file.len());
        let read = Header::read(Path::new("x"), &file).unwrap();
        assert_eq!(read.write(), header().write());
        for len in 0..file.len() {
            assert!(Header::read(Path::new("x"), &file[..len]).is_err());
        }
    }

    #[test]
    fn another_identity_is_named() {
        let message = |analyzer: &str, collection: &str| {
            let expected = Identity { analyzer: analyzer.to_owned(), collection: collection.to_owned() };
            header().expect(Path::new("a/b"), &expected).map_err(|error| error.to_string())
        };
        assert_eq!(message("english 1", "é"), Ok(()));
        let analyzer = "a/b: expected an index of analyzer `unicode 1`, found `english 1`; re-run ingest with --force";
        assert_eq!(message("unicode 1", "x"), Err(analyzer.to_owned()));
        let collection = "a/b: expected an index of collection `x`, found `é`; re-run ingest with --force";
        assert_eq!(message("english 1", "x"), Err(collection.to_owned()));
    }

    #[test]
    fn entries_come_back() {
        let block = BlockEntry { last: 7, bound: 1.5, start: 1 << 40 };
        let read = BlockEntry::read(&block.write());
        assert_eq!((read.last, read.bound, read.start), (7, 1.5, 1 << 40));
        let term = TermEntry { text_end: 9, first_block: 1 << 33, documents: 3, bound: 0.25 };
        let read = TermEntry::read(term.write().first_chunk().unwrap());
        assert_eq!((read.text_end, read.first_block, read.documents, read.bound), (9, 1 << 33, 3, 0.25));
    }
}
