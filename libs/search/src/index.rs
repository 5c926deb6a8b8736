//! An index as it is searched.

use std::cmp::Ordering;
use std::ops::Range;
use std::path::Path;

use crate::bytes::Bytes;
use crate::error::Result;
use crate::layout::{BLOCK_ENTRY, Header, Identity, TERM_ENTRY, TermEntry, term_text};
use crate::postings::{Cursor, List};
use crate::top_k::{Searched, top_k};
use crate::weights::{Collection, TermWeights};

/// An inverted index with BM25's weights, in a mapped file or in memory. Many threads may search it at once.
#[derive(Debug)]
pub struct Index {
    bytes: Bytes,
    collection: Collection,
    sections: [Range<usize>; 5],
}

/// A term of the index.
struct Term<'a> {
    list: List<'a>,
    weights: TermWeights,
    bound: f64,
}

impl Index {
    /// Opens the file that [`crate::build`] wrote.
    ///
    /// Only the header is checked: that its postings are those that were written is for a checksum to say. Damaged postings
    /// give wrong scores, but neither panics nor endless loops.
    ///
    /// # Errors
    /// [`crate::Error`] on a file that cannot be opened, is no index or is cut off, and on an index of another identity.
    pub fn open(path: &Path, expected: &Identity) -> Result<Index> {
        Index::read(path, Bytes::map(path)?, expected)
    }

    /// The index of the bytes of the file `path`.
    pub(crate) fn read(path: &Path, bytes: Bytes, expected: &Identity) -> Result<Index> {
        let header = Header::read(path, &bytes)?;
        header.expect(path, expected)?;
        Ok(Index { bytes, collection: header.collection, sections: header.ranges() })
    }

    /// The number of documents.
    pub fn len(&self) -> usize {
        self.collection.documents as usize
    }

    /// True if no document is indexed.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of distinct tokens.
    pub fn terms(&self) -> usize {
        self.sections()[4].len() / TERM_ENTRY
    }

    /// The `k` documents with the highest scores above 0, highest first, ties by rising document.
    ///
    /// A score is the sum over the tokens of `query` in their order, each as often as the query has it, of the weights in
    /// [the formula](crate::Bm25) in `f64`; what is left out on the way changes neither documents nor scores.
    pub fn top_k(&self, query: &[impl AsRef<str>], k: usize) -> Vec<(usize, f64)> {
        let terms = query.iter().filter_map(|token| self.term(token.as_ref()));
        let searched = terms.map(|term| Searched::new(term.list, term.weights, term.bound)).collect();
        top_k(searched, self.lengths(), k)
    }

    /// The score of one document: 0 if it holds no token of `query` or is not in the index.
    pub fn score(&self, query: &[impl AsRef<str>], document: usize) -> f64 {
        let Some(length) = self.lengths().get(document).map(|length| u32::from_le_bytes(*length)) else { return 0.0 };
        let weight = |token: &str| {
            let term = self.term(token)?;
            let mut cursor = Cursor::new(term.list);
            cursor.skip_to(document as u32)?;
            Some(term.weights.weight(cursor.frequency(document as u32)?, length))
        };
        query.iter().filter_map(|token| weight(token.as_ref())).fold(0.0, |sum, weight| sum + weight)
    }

    fn term(&self, token: &str) -> Option<Term<'_>> {
        let [_, postings, blocks, texts, entries] = self.sections();
        let entries = entries.as_chunks().0;
        let (mut low, mut high) = (0, entries.len());
        while low < high {
            let middle = low.midpoint(high);
            match term_text(texts, entries, middle).cmp(token.as_bytes()) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                Ordering::Equal => {
                    let TermEntry { first_block, documents, bound, .. } = TermEntry::read(&entries[middle]);
                    let list = List::new(blocks.as_chunks::<BLOCK_ENTRY>().0, postings, first_block, documents);
                    return Some(Term { list, weights: self.collection.term(documents), bound: f64::from(bound) });
                }
            }
        }
        None
    }

    /// The sections of the file, whose lengths were checked when it was opened.
    fn sections(&self) -> [&[u8]; 5] {
        self.sections.clone().map(|range| self.bytes.get(range).unwrap_or(&[]))
    }

    /// The length of each document, little-endian.
    fn lengths(&self) -> &[[u8; 4]] {
        self.sections()[0].as_chunks().0
    }
}
