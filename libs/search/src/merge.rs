//! Sorted runs in, the file of the index out.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;

use crate::error::Result;
use crate::layout::{BLOCK, BlockEntry, Header, Identity, TermEntry};
use crate::postings::encode;
use crate::store::{Scratch, Store};
use crate::weights::{Bm25, Collection, TermWeights, round_up};

/// Reads a run from its beginning.
struct RunReader<'a> {
    store: &'a Store,
    /// What was not read into the buffer.
    rest: Range<u64>,
    buffer: Vec<u8>,
    /// The next byte of the buffer.
    at: usize,
    capacity: usize,
}

impl RunReader<'_> {
    /// The next byte; none at the end.
    #[inline]
    fn byte(&mut self) -> Result<Option<u8>> {
        if self.at == self.buffer.len() {
            let len = (self.rest.end - self.rest.start).min(self.capacity as u64);
            self.buffer.resize(len as usize, 0);
            self.store.read_at(self.rest.start, &mut self.buffer)?;
            self.rest.start += len;
            self.at = 0;
        }
        let byte = self.buffer.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        Ok(byte)
    }

    /// The next number; none at the end.
    #[inline]
    fn number(&mut self) -> Result<Option<u64>> {
        let (mut number, mut shift) = (0, 0);
        while let Some(byte) = self.byte()? {
            number |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }
}

/// The term that a run has next: ordered by text, then by run, so that documents rise.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    term: Vec<u8>,
    run: usize,
    documents: u32,
}

impl Head {
    /// Moves on to the run's next term; false if there is none.
    fn advance(&mut self, run: &mut RunReader) -> Result<bool> {
        let Some(len) = run.number()? else { return Ok(false) };
        self.term.clear();
        for _ in 0..len {
            self.term.extend(run.byte()?);
        }
        self.documents = run.number()?.unwrap_or(0) as u32;
        Ok(true)
    }
}

/// The sections of the index that grow term by term.
struct Sections<'a> {
    file: &'a mut Store,
    /// Where `postings` begins in the file.
    start: u64,
    blocks: Store,
    texts: Store,
    terms: Store,
    count: u64,
}

/// The list of one term on its way into the sections.
struct ListWriter<'a> {
    lengths: &'a [u32],
    weights: TermWeights,
    before: Option<u32>,
    documents: Vec<u32>,
    frequencies: Vec<u32>,
    bound: f32,
}

impl ListWriter<'_> {
    fn push(&mut self, document: u32, frequency: u32, sections: &mut Sections) -> Result<()> {
        self.documents.push(document);
        self.frequencies.push(frequency);
        if self.documents.len() == BLOCK { self.end_block(sections) } else { Ok(()) }
    }

    fn end_block(&mut self, sections: &mut Sections) -> Result<()> {
        let Some(&last) = self.documents.last() else { return Ok(()) };
        let postings = self.documents.iter().zip(&self.frequencies);
        let weight = |(&document, &frequency)| self.weights.weight(frequency, self.lengths[document as usize]);
        let bound = round_up(postings.map(weight).fold(0.0, f64::max));
        let start = sections.file.len() - sections.start;
        sections.file.put(&encode(self.before, &self.documents, &self.frequencies))?;
        sections.blocks.put(&BlockEntry { last, bound, start }.write())?;
        sections.count += 1;
        self.bound = self.bound.max(bound);
        self.before = Some(last);
        self.documents.clear();
        self.frequencies.clear();
        Ok(())
    }
}

/// What an index is made of, beside its runs.
pub(crate) struct Plan<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) config: Bm25,
    pub(crate) lengths: &'a [u32],
    pub(crate) scratch: Scratch<'a>,
    /// Bytes of the buffers that runs are read through, all together.
    pub(crate) memory: usize,
}

/// Writes the index to `file`. `runs` are in the order of their documents, each with its store, which must be flushed.
pub(crate) fn merge(plan: &Plan, runs: Vec<(&Store, Range<u64>)>, file: &mut Store) -> Result<()> {
    let tokens = plan.lengths.iter().map(|&length| u64::from(length)).sum();
    let collection = Collection { config: plan.config, documents: plan.lengths.len() as u64, tokens };
    let mut header = Header { identity: plan.identity.clone(), collection, sections: [0; 5] };
    file.put(&header.write())?;
    let lengths = file.len();
    for lengths in plan.lengths.chunks(1 << 14) {
        file.put(&lengths.iter().flat_map(|length| length.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let start = file.len();
    let [blocks, texts, terms] = [plan.scratch.store()?, plan.scratch.store()?, plan.scratch.store()?];
    let mut sections = Sections { file, start, blocks, texts, terms, count: 0 };
    merge_terms(plan, collection, runs, &mut sections)?;
    let Sections { file, blocks, texts, terms, .. } = sections;
    header.sections = [start - lengths, file.len() - start, blocks.len(), texts.len(), terms.len()];
    for section in [blocks, texts, terms] {
        file.append(section)?;
    }
    file.replace_start(&header.write())
}

fn merge_terms(
    plan: &Plan,
    collection: Collection,
    runs: Vec<(&Store, Range<u64>)>,
    sections: &mut Sections,
) -> Result<()> {
    let capacity = (plan.memory / runs.len().max(1)).clamp(1 << 12, 1 << 20);
    let reader = |(store, rest)| RunReader { store, rest, buffer: Vec::new(), at: 0, capacity };
    let mut readers: Vec<RunReader> = runs.into_iter().map(reader).collect();
    let mut heads = BinaryHeap::new();
    for (run, reader) in readers.iter_mut().enumerate() {
        let mut head = Head { term: Vec::new(), run, documents: 0 };
        if head.advance(reader)? {
            heads.push(Reverse(head));
        }
    }
    let mut same = Vec::new();
    while let Some(Reverse(first)) = heads.pop() {
        same.push(first);
        while let Some(next) = heads.peek_mut()
            && next.0.term == same[0].term
        {
            same.push(PeekMut::pop(next).0);
        }
        merge_term(plan.lengths, collection, &same, &mut readers, sections)?;
        for mut head in same.drain(..) {
            if head.advance(&mut readers[head.run])? {
                heads.push(Reverse(head));
            }
        }
    }
    Ok(())
}

/// Writes one term from the runs that have it.
fn merge_term(
    lengths: &[u32],
    collection: Collection,
    heads: &[Head],
    readers: &mut [RunReader],
    sections: &mut Sections,
) -> Result<()> {
    let df = heads.iter().map(|head| head.documents).sum();
    let (documents, frequencies) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
    let weights = collection.term(df);
    let mut list = ListWriter { lengths, weights, before: None, documents, frequencies, bound: 0.0 };
    let first_block = sections.count;
    for head in heads {
        let mut document = 0;
        for _ in 0..head.documents {
            document += readers[head.run].number()?.unwrap_or(0) as u32;
            let frequency = readers[head.run].number()?.unwrap_or(0) as u32;
            list.push(document, frequency, sections)?;
        }
    }
    list.end_block(sections)?;
    sections.texts.put(&heads[0].term)?;
    let text_end = sections.texts.len();
    sections.terms.put(&TermEntry { text_end, first_block, documents: df, bound: list.bound }.write())
}
