//! The documents of one term with the term's frequency in each, in blocks of 128.
//!
//! A full block is bit-packed: bits per document u8, bits per frequency u8, the distances between documents, the frequencies
//! less one. The last block, if shorter, has the same numbers as varints: first all distances, then all frequencies. A
//! distance is counted from the document before, which may be the last of the block before, and is written less one.
//!
//! Reading is bounded by the blocks that there are, so that damaged bytes give wrong documents but neither panics nor loops.

use bitpacking::{BitPacker, BitPacker4x};

use crate::bytes::span;
use crate::layout::{BLOCK, BLOCK_ENTRY, BlockEntry};
use crate::varint;

/// Encodes one block of up to [`BLOCK`] postings after the document `before`.
pub(crate) fn encode(before: Option<u32>, documents: &[u32], frequencies: &[u32]) -> Vec<u8> {
    let less_one: Vec<u32> = frequencies.iter().map(|frequency| frequency.wrapping_sub(1)).collect();
    let mut bytes = Vec::new();
    if documents.len() < BLOCK {
        let mut next = before.map_or(0, |before| before + 1);
        for &document in documents {
            varint::push(&mut bytes, u64::from(document - next));
            next = document + 1;
        }
        less_one.iter().for_each(|&frequency| varint::push(&mut bytes, u64::from(frequency)));
        return bytes;
    }
    let packer = BitPacker4x::new();
    let widths = [packer.num_bits_strictly_sorted(before, documents), packer.num_bits(&less_one)];
    let [distances, frequencies] = widths.map(packed_len);
    bytes.extend(widths);
    bytes.resize(2 + distances + frequencies, 0);
    packer.compress_strictly_sorted(before, documents, &mut bytes[2..2 + distances], widths[0]);
    packer.compress(&less_one, &mut bytes[2 + distances..], widths[1]);
    bytes
}

/// Bytes of a block of numbers of `width` bits.
fn packed_len(width: u8) -> usize {
    usize::from(width) * BLOCK / 8
}

/// A term's list as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct List<'a> {
    blocks: &'a [[u8; BLOCK_ENTRY]],
    postings: &'a [u8],
    /// Where the last block ends in `postings`.
    end: u64,
    documents: u32,
}

impl<'a> List<'a> {
    /// The list of `documents` documents that begins at block `first` of `blocks`, whose bytes are in `postings`.
    pub(crate) fn new(blocks: &'a [[u8; BLOCK_ENTRY]], postings: &'a [u8], first: u64, documents: u32) -> List<'a> {
        let after = blocks.get(usize::try_from(first).unwrap_or(usize::MAX)..).unwrap_or(&[]);
        let (blocks, next) = after.split_at((documents as usize).div_ceil(BLOCK).min(after.len()));
        let end = next.first().map_or(postings.len() as u64, |entry| BlockEntry::read(entry).start);
        List { blocks, postings, end, documents }
    }

    /// The number of documents.
    pub(crate) fn documents(&self) -> u32 {
        self.documents
    }

    /// The entry of a block; past the end, none.
    #[inline]
    pub(crate) fn block(&self, block: usize) -> Option<BlockEntry> {
        self.blocks.get(block).map(BlockEntry::read)
    }

    /// The first block from `from` on whose last document is not before `document`.
    fn seek(&self, from: usize, document: u32) -> usize {
        let rest = self.blocks.get(from..).unwrap_or(&[]);
        let before = |entry: &[u8; BLOCK_ENTRY]| BlockEntry::read(entry).last < document;
        match rest.iter().take(8).position(|entry| !before(entry)) {
            Some(near) => from + near,
            None => from + rest.partition_point(before),
        }
    }
}

/// A place in a list, and the block that was unpacked last.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) list: List<'a>,
    block: usize,
    unpacked: Option<usize>,
    count: usize,
    documents: [u32; BLOCK],
    /// The frequencies of the block, as long as nobody asked for them.
    packed: Option<&'a [u8]>,
    frequencies: [u32; BLOCK],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(list: List<'a>) -> Cursor<'a> {
        let none = [0; BLOCK];
        Cursor { list, block: 0, unpacked: None, count: 0, documents: none, packed: None, frequencies: none }
    }

    /// Goes on to the block that would hold `document`; never back. Returns its number and entry, none past the end.
    #[inline]
    pub(crate) fn skip_to(&mut self, document: u32) -> Option<(usize, BlockEntry)> {
        self.block = self.list.seek(self.block, document);
        Some((self.block, self.list.block(self.block)?))
    }

    /// The first document from `document` on; none past the end.
    pub(crate) fn next_from(&mut self, document: u32) -> Option<u32> {
        let (block, entry) = self.skip_to(document)?;
        let next = self.documents(block).iter().find(|&&next| next >= document);
        Some(next.copied().unwrap_or(entry.last))
    }

    /// How often `document`, which is in the block that was skipped to, holds the term.
    pub(crate) fn frequency(&mut self, document: u32) -> Option<u32> {
        let at = self.documents(self.block).binary_search(&document).ok()?;
        self.unpack_frequencies();
        Some(self.frequencies[at])
    }

    /// The documents of a block.
    fn documents(&mut self, block: usize) -> &[u32] {
        if self.unpacked != Some(block) {
            self.unpack_documents(block);
        }
        &self.documents[..self.count]
    }

    /// The documents and frequencies of a block.
    #[inline]
    pub(crate) fn postings(&mut self, block: usize) -> (&[u32], &[u32]) {
        self.documents(block);
        self.unpack_frequencies();
        (&self.documents[..self.count], &self.frequencies[..self.count])
    }

    fn unpack_documents(&mut self, block: usize) {
        let list = self.list;
        self.unpacked = Some(block);
        self.packed = None;
        self.count = 0;
        let Some(entry) = list.block(block) else { return };
        let before = block.checked_sub(1).and_then(|before| list.block(before)).map(|entry| entry.last);
        let end = list.block(block + 1).map_or(list.end, |next| next.start);
        let mut bytes = span(list.postings, entry.start, end);
        let count = (list.documents as usize - block * BLOCK).min(BLOCK);
        if count < BLOCK {
            let mut next = before.map_or(0, |before| before.wrapping_add(1));
            for document in &mut self.documents[..count] {
                *document = next.wrapping_add(varint::take(&mut bytes) as u32);
                next = document.wrapping_add(1);
            }
        } else {
            let Some(distances) = bytes.first().and_then(|&width| packed(bytes.get(2..)?, width)) else { return };
            BitPacker4x::new().decompress_strictly_sorted(before, distances, &mut self.documents, bytes[0]);
        }
        self.count = count;
        self.packed = Some(bytes);
    }

    fn unpack_frequencies(&mut self) {
        let Some(mut bytes) = self.packed.take() else { return };
        let frequencies = &mut self.frequencies[..self.count];
        if self.count < BLOCK {
            frequencies.iter_mut().for_each(|frequency| *frequency = varint::take(&mut bytes) as u32);
        } else {
            // The first width was good for the documents of this block.
            let after = bytes.get(2 + packed_len(bytes[0])..).unwrap_or(&[]);
            match packed(after, bytes[1]) {
                Some(packed) => _ = BitPacker4x::new().decompress(packed, frequencies, bytes[1]),
                None => frequencies.fill(0),
            }
        }
        frequencies.iter_mut().for_each(|frequency| *frequency = frequency.wrapping_add(1));
    }
}

/// The first bytes of `bytes`, a block of numbers of `width` bits; none if that is no width or they are not all there.
fn packed(bytes: &[u8], width: u8) -> Option<&[u8]> {
    if width > 32 { None } else { bytes.get(..packed_len(width)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Blocks and bytes of a list.
    fn written(postings: &[(u32, u32)]) -> (Vec<[u8; BLOCK_ENTRY]>, Vec<u8>) {
        let (mut blocks, mut bytes, mut before) = (Vec::new(), Vec::new(), None);
        for chunk in postings.chunks(BLOCK) {
            let (documents, frequencies): (Vec<u32>, Vec<u32>) = chunk.iter().copied().unzip();
            let last = *documents.last().unwrap();
            blocks.push(BlockEntry { last, bound: 1.0, start: bytes.len() as u64 }.write());
            bytes.extend(encode(before, &documents, &frequencies));
            before = Some(last);
        }
        (blocks, bytes)
    }

    fn lists() -> impl Strategy<Value = Vec<(u32, u32)>> {
        let gaps = prop::collection::vec((1_u32..9, 1_u32..5, 0_u32..18), 0..400);
        gaps.prop_map(|gaps| {
            let mut next = 0;
            gaps.into_iter()
                .map(|(gap, frequency, shift)| {
                    next += gap << shift.saturating_sub(8);
                    (next - 1, frequency)
                })
                .collect()
        })
    }

    fn read(list: List) -> Vec<(u32, u32)> {
        let mut cursor = Cursor::new(list);
        let mut found = Vec::new();
        for block in (0..).take_while(|&block| list.block(block).is_some()) {
            let (documents, frequencies) = cursor.postings(block);
            found.extend(documents.iter().copied().zip(frequencies.iter().copied()));
        }
        found
    }

    proptest! {
        #[test]
        fn postings_come_back(postings in lists()) {
            let (blocks, bytes) = written(&postings);
            let list = List::new(&blocks, &bytes, 0, postings.len() as u32);
            prop_assert_eq!(&read(list), &postings);
            let mut cursor = Cursor::new(list);
            for &(document, frequency) in &postings {
                prop_assert_eq!(cursor.next_from(document), Some(document));
                prop_assert_eq!(cursor.frequency(document), Some(frequency));
            }
            prop_assert_eq!(cursor.next_from(postings.last().map_or(0, |last| last.0 + 1)), None);
        }

        #[test]
        fn damaged_bytes_give_some_postings(
            postings in lists(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            count in 0_u32..1000,
        ) {
            let (mut blocks, mut bytes) = written(&postings);
            for (at, byte) in damage {
                if !bytes.is_empty() {
                    let (at, block) = (at.index(bytes.len()), at.index(blocks.len() * BLOCK_ENTRY));
                    bytes[at] = byte;
                    blocks.as_flattened_mut()[block] = byte;
                }
            }
            let list = List::new(&blocks, &bytes, 0, count);
            prop_assert!(read(list).len() <= count as usize);
            let mut cursor = Cursor::new(list);
            for document in [0, 1, 50, 1000, u32::MAX] {
                if cursor.skip_to(document).is_some() {
                    cursor.frequency(document);
                }
            }
        }
    }
}
