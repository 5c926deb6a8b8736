//! A part: the events of one log file, on disk.
//!
//! A part is kept from run to run, so that a further day of the log does not mean to read the days before it again. Its name is
//! a digest of all that decides its content, and its last bytes are a checksum.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ::files::AtomicFile;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use crate::bytes::{Put, Take};
use crate::names::Names;
use crate::segment::{Seen, Segment};
use crate::stats::Stats;

/// Writes the segments of one file in their order.
#[derive(Debug)]
pub(crate) struct PartWriter {
    path: PathBuf,
    file: AtomicFile,
    place: u64,
    contents: Contents,
}

/// Where the pieces of a part are, and its counts.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Contents {
    segments: Vec<Pieces>,
    stats: Stats,
}

/// Places of a segment's pieces: offset, length and checksum.
#[derive(Debug, Serialize, Deserialize)]
struct Pieces {
    texts: Piece,
    rejects: Piece,
    buckets: Vec<Piece>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Piece(u64, usize, u64);

impl PartWriter {
    /// Begins the part `path`, which appears once it is whole.
    ///
    /// # Errors
    /// Where the system refuses the file.
    pub(crate) fn create(path: PathBuf) -> Result<PartWriter> {
        let file = AtomicFile::create(&path)?;
        Ok(PartWriter { path, file, place: 0, contents: Contents::default() })
    }

    /// Appends a segment.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn write(&mut self, segment: &Segment) -> Result<()> {
        let mut texts = Vec::new();
        put_names(&mut texts, &segment.queries);
        put_names(&mut texts, &segment.documents);
        texts.put_u32(segment.query_ids.len() as u32);
        for (query, id) in &segment.query_ids {
            texts.put_u32(*query);
            texts.put_text(id);
        }
        texts.put_u32(segment.seen.len() as u32);
        for Seen { title, summary } in &segment.seen {
            for text in [title, summary] {
                let (time, text) = text.as_ref().map_or((i64::MAX, ""), |(time, text)| (*time, text));
                texts.put_u64(time as u64);
                texts.put_text(text);
            }
        }
        let texts = self.piece(&texts)?;
        let rejects = self.piece(&segment.rejects)?;
        let buckets = segment.buckets.iter().map(|bucket| self.piece(bucket)).collect::<Result<_>>()?;
        self.contents.segments.push(Pieces { texts, rejects, buckets });
        self.contents.stats.merge(&segment.stats);
        Ok(())
    }

    fn piece(&mut self, bytes: &[u8]) -> Result<Piece> {
        let place = self.place;
        self.put(bytes)?;
        Ok(Piece(place, bytes.len(), xxh3_64(bytes)))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        self.place += bytes.len() as u64;
        self.file.write_all(bytes).with_context(|| format!("{}: writing failed", self.path.display()))
    }

    /// Writes the contents and puts the part in place.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn finish(mut self) -> Result<Part> {
        let contents =
            serde_json::to_vec(&self.contents).context("the contents of a part cannot be written as JSON")?;
        self.put(&contents)?;
        let mut end = Vec::new();
        end.put_u64(contents.len() as u64);
        end.put_u64(checksum(&contents));
        self.put(&end)?;
        self.file.commit()?;
        Part::open(&self.path).with_context(|| format!("{}: damaged as soon as written", self.path.display()))
    }
}

fn checksum(contents: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(contents);
    hash.update(&contents.len().to_le_bytes());
    hash.digest()
}

fn put_names(bytes: &mut Vec<u8>, names: &Names) {
    bytes.put_u32(names.len() as u32);
    names.iter().for_each(|name| bytes.put_text(name));
}

/// A finished part.
#[derive(Debug)]
pub(crate) struct Part {
    path: PathBuf,
    file: File,
    contents: Contents,
}

/// The texts of a segment, by the numbers that its events use.
#[derive(Debug)]
pub(crate) struct Texts {
    bytes: Vec<u8>,
}

impl Texts {
    /// Visits queries, documents, ids of queries, and texts of documents, in this order.
    pub(crate) fn visit<'t>(
        &'t self,
        mut query: impl FnMut(&'t str),
        mut document: impl FnMut(&'t str),
        mut query_id: impl FnMut(u32, &'t str),
        mut seen: impl FnMut(u32, (i64, &'t str), (i64, &'t str)),
    ) {
        let mut texts = Take(&self.bytes);
        (0..texts.u32()).for_each(|_| query(texts.text()));
        (0..texts.u32()).for_each(|_| document(texts.text()));
        for _ in 0..texts.u32() {
            let number = texts.u32();
            query_id(number, texts.text());
        }
        for number in 0..texts.u32() {
            let title = (texts.u64() as i64, texts.text());
            let summary = (texts.u64() as i64, texts.text());
            seen(number, title, summary);
        }
    }
}

impl Part {
    /// Opens a part; `None` if it is not there or its contents are damaged.
    pub(crate) fn open(path: &Path) -> Option<Part> {
        let file = File::open(path).ok()?;
        let length = file.metadata().ok()?.len();
        let mut end = [0; 16];
        file.read_exact_at(&mut end, length.checked_sub(16)?).ok()?;
        let mut numbers = Take(&end);
        let (size, sum) = (numbers.u64(), numbers.u64());
        let place = length.checked_sub(16)?.checked_sub(size)?;
        let mut contents = vec![0; usize::try_from(size).ok()?];
        file.read_exact_at(&mut contents, place).ok()?;
        let whole = checksum(&contents) == sum;
        let contents = whole.then(|| serde_json::from_slice(&contents).ok()).flatten()?;
        Some(Part { path: path.to_path_buf(), file, contents })
    }

    pub(crate) fn stats(&self) -> &Stats {
        &self.contents.stats
    }

    pub(crate) fn segments(&self) -> usize {
        self.contents.segments.len()
    }

    pub(crate) fn texts(&self, segment: usize) -> Result<Texts> {
        Ok(Texts { bytes: self.read(self.contents.segments[segment].texts)? })
    }

    pub(crate) fn rejects(&self, segment: usize) -> Result<Vec<u8>> {
        self.read(self.contents.segments[segment].rejects)
    }

    /// The events of a segment's bucket.
    pub(crate) fn bucket(&self, segment: usize, bucket: usize) -> Result<Vec<u8>> {
        self.read(self.contents.segments[segment].buckets[bucket])
    }

    /// The size of a bucket in bytes.
    pub(crate) fn bucket_size(&self, bucket: usize) -> usize {
        self.contents.segments.iter().map(|segment| segment.buckets[bucket].1).sum()
    }

    fn read(&self, Piece(place, length, sum): Piece) -> Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        let path = self.path.display();
        self.file.read_exact_at(&mut bytes, place).with_context(|| format!("{path}: reading failed"))?;
        if xxh3_64(&bytes) != sum {
            let problem = "expected the bytes that were written, found others; remove the file and run ingest again";
            Err(pipeline::BadInput(format!("{path}: {problem}")))?;
        }
        Ok(bytes)
    }
}
