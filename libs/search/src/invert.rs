//! Documents in, a sorted run of terms out.
//!
//! A run is the terms of consecutive documents in byte-wise order. A term is its length, its UTF-8, the number of its
//! documents and for each of these the distance from the one before (the first from 0) and the frequency, all numbers as varints.

use std::ops::Range;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;
use crate::store::Store;
use crate::varint;

/// Bytes of a token while documents are collected and when they are sorted by term.
const TOKEN_BYTES: usize = 8;
/// Bytes of a term beside its text: its end, its place in the table and, while a run is written, in the order.
const TERM_BYTES: usize = 48;

/// Documents that are collected in memory until there are enough for a run.
#[derive(Debug, Default)]
pub(crate) struct Inverter {
    table: HashTable<u32>,
    /// The texts of the terms one after the other, in the order in which they were first seen.
    texts: Vec<u8>,
    ends: Vec<usize>,
    /// The tokens of the documents as numbers of terms.
    tokens: Vec<u32>,
}

impl Inverter {
    /// The number of tokens since the last run.
    pub(crate) fn tokens(&self) -> usize {
        self.tokens.len()
    }

    /// The memory that a run of these documents takes, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.tokens.len() * TOKEN_BYTES + self.texts.len() + self.ends.len() * TERM_BYTES
    }

    /// Adds the next token of the current document.
    pub(crate) fn push(&mut self, token: &str) {
        let Inverter { table, texts, ends, tokens } = self;
        let token = token.as_bytes();
        let found = table.find(xxh3_64(token), |&term| text(texts, ends, term) == token);
        let term = found.copied().unwrap_or_else(|| {
            let term = ends.len() as u32;
            texts.extend_from_slice(token);
            ends.push(texts.len());
            table.insert_unique(xxh3_64(token), term, |&term| xxh3_64(text(texts, ends, term)));
            term
        });
        tokens.push(term);
    }

    /// Appends the run of the documents from number `first` on, which have `lengths` tokens, to `store`; returns its place
    /// there. What follows is another run.
    pub(crate) fn write_run(&mut self, first: usize, lengths: &[u32], store: &mut Store) -> Result<Range<u64>> {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by_key(|&term| text(&self.texts, &self.ends, term));
        let (documents, ends) = self.by_term(&order, first, lengths);
        let start = store.len();
        let mut bytes = Vec::new();
        let mut rest = 0;
        for &term in &order {
            let end = ends[term as usize];
            encode(text(&self.texts, &self.ends, term), &documents[rest..end], &mut bytes);
            rest = end;
            if bytes.len() >= 1 << 16 {
                store.put(&bytes)?;
                bytes.clear();
            }
        }
        store.put(&bytes)?;
        self.table.clear();
        self.texts.clear();
        self.ends.clear();
        self.tokens.clear();
        Ok(start..store.len())
    }

    /// The document of each token, ordered by the place of its term in `order`, then by document; and by term where its
    /// documents end.
    fn by_term(&self, order: &[u32], first: usize, lengths: &[u32]) -> (Vec<u32>, Vec<usize>) {
        let mut places = vec![0; self.ends.len()];
        self.tokens.iter().for_each(|&term| places[term as usize] += 1);
        let mut next = 0;
        for &term in order {
            next += std::mem::replace(&mut places[term as usize], next);
        }
        let mut documents = vec![0; self.tokens.len()];
        let mut tokens = self.tokens.iter();
        for (document, &length) in (first as u32..).zip(lengths) {
            for &term in tokens.by_ref().take(length as usize) {
                let place = &mut places[term as usize];
                documents[*place] = document;
                *place += 1;
            }
        }
        (documents, places)
    }
}

fn text<'a>(texts: &'a [u8], ends: &[usize], term: u32) -> &'a [u8] {
    let term = term as usize;
    let start = term.checked_sub(1).map_or(0, |before| ends[before]);
    &texts[start..ends[term]]
}

/// Appends a term of a run; `documents` has a document as often as it holds the term.
fn encode(text: &[u8], documents: &[u32], bytes: &mut Vec<u8>) {
    varint::push(bytes, text.len() as u64);
    bytes.extend_from_slice(text);
    let same = |a: &u32, b: &u32| a == b;
    varint::push(bytes, documents.chunk_by(same).count() as u64);
    let mut before = 0;
    for occurrences in documents.chunk_by(same) {
        varint::push(bytes, u64::from(occurrences[0] - before));
        varint::push(bytes, occurrences.len() as u64);
        before = occurrences[0];
    }
}
