//! The documents, from their own files, from the log's rows or from judgments: their ids in memory, their texts on disk.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::path::Path;
use std::sync::Mutex;

use anyhow::Result;
use pipeline::config::{CleanConfig, DocumentsConfig, RepeatedDocument};
use records::{Block, Field, Layout, Lists, RawFile, Value};
use xxhash_rust::xxh3::xxh3_64;

use crate::bytes::{Put, Take};
use crate::input::{CONTENT_CHARS, Reject};
use crate::log;
use crate::names::Names;
use crate::parallel::{self, FirstError, locked, on_threads, unlocked};
use crate::part::Part;
use crate::read::{FileSource, Task};
use crate::report::Fate;
use crate::spill::{Spill, SpillWriter};
use crate::stats::Stats;
use crate::value;

const PARTITIONS: usize = 64;

/// Documents that are sorted at a time.
const RANGE: usize = 1 << 15;

const SEEN_BEFORE: &str = "document id seen before";
/// Of a record that is merged into another one of its document, whose texts differ.
pub(crate) const OTHER_TEXT: &str = "document id seen before with another text";

/// The file of a text that is in no document file.
const NO_FILE: u32 = u32::MAX;

/// A document as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Document {
    pub(crate) id: String,
    pub(crate) title: String,
    pub(crate) summary: String,
}

/// All documents; a document's number is the rank of its id in byte-wise order.
#[derive(Debug)]
pub(crate) struct Documents {
    pub(crate) ids: Names,
    ranges: Spill,
}

/// Texts of documents on their way to disk, by a hash of the id.
#[derive(Debug)]
pub(crate) struct Collected {
    ids: Names,
    spill: Spill,
    pub(crate) stats: Stats,
    pub(crate) rejects: Vec<Reject>,
}

/// How document files are read.
#[derive(Debug)]
pub(crate) struct DocumentFiles {
    pub(crate) files: Vec<RawFile>,
    pub(crate) layout: Layout,
    pub(crate) fields: Vec<Field>,
    has_title: bool,
    doc_id_width: usize,
}

impl DocumentFiles {
    pub(crate) fn new(
        files: Vec<RawFile>,
        config: &DocumentsConfig,
        clean: &CleanConfig,
        doc_id_width: usize,
    ) -> DocumentFiles {
        let columns = &config.columns;
        let mut fields = vec![Field::required(&columns.doc_id)];
        let texts = columns.title.iter().chain(&columns.summary);
        fields.extend(texts.map(|name| Field::optional(name).with_lists(Lists::Joined)));
        let layout = Layout::new(config.format, &config.dialect).with_nulls(clean.null_values.clone());
        DocumentFiles { files, layout, fields, has_title: columns.title.is_some(), doc_id_width }
    }
}

/// The document of a record.
#[derive(Debug)]
pub(crate) struct Described<'v> {
    pub(crate) id: Cow<'v, str>,
    pub(crate) title: &'v str,
    pub(crate) summary: Cow<'v, str>,
}

impl DocumentFiles {
    /// The document that the values of a record describe.
    pub(crate) fn describe<'v>(&self, values: &'v [Value]) -> Described<'v> {
        let text = |at: usize| values.get(at).and_then(Value::text).unwrap_or_default();
        let id = match value::id(text(0)) {
            Cow::Borrowed(id) => value::padded(id, self.doc_id_width),
            Cow::Owned(id) => value::padded(&id, self.doc_id_width).into_owned().into(),
        };
        let first_summary = 1 + usize::from(self.has_title);
        let title = if self.has_title { text(1) } else { "" };
        let summary: Vec<&str> = (first_summary..values.len()).map(text).filter(|text| !text.is_empty()).collect();
        let summary = if let [one] = summary[..] { one.into() } else { summary.join(" ").into() };
        Described { id, title, summary }
    }
}

/// What one thread collects.
struct Own<'s> {
    ids: Names,
    writer: SpillWriter<'s>,
    by_file: Vec<Stats>,
    rejects: Vec<Reject>,
}

impl Collected {
    /// No documents yet.
    ///
    /// # Errors
    /// As [`Spill::create`].
    pub(crate) fn new(folder: &Path) -> Result<Collected> {
        let spill = Spill::create(folder, "documents.spill", PARTITIONS)?;
        Ok(Collected { ids: Names::default(), spill, stats: Stats::default(), rejects: Vec::new() })
    }

    /// Reads the document files.
    ///
    /// # Errors
    /// `BadInput` on a file, or a share of malformed lines, that cannot be accepted.
    pub(crate) fn read(&mut self, source: &DocumentFiles, clean: &CleanConfig, threads: usize) -> Result<()> {
        let all = 0..source.files.len();
        let tasks = Mutex::new(FileSource::new(&source.files, all, &source.layout, &source.fields));
        let (errors, owns) = (FirstError::default(), Mutex::new(Vec::new()));
        let run = || {
            let by_file = vec![Stats::new(source.fields.len()); source.files.len()];
            let mut own = Own { ids: Names::default(), writer: self.spill.writer(), by_file, rejects: Vec::new() };
            while !errors.is_set() {
                let task = locked(&tasks).next();
                match task {
                    Ok(None) => break,
                    Ok(Some(Task::End(..))) => {}
                    Ok(Some(Task::Block(file, number, block))) => {
                        errors.note((file, number), own.read(source, (file, number), &block));
                    }
                    Err((file, error)) => errors.note((file, usize::MAX), Err(error)),
                }
            }
            locked(&owns).push(own);
        };
        on_threads(threads, run);
        errors.into_result()?;
        let mut by_file = vec![Stats::new(source.fields.len()); source.files.len()];
        for own in unlocked(owns) {
            own.writer.finish()?;
            own.ids.iter().for_each(|id| {
                self.ids.number(id);
            });
            self.rejects.extend(own.rejects);
            by_file.iter_mut().zip(&own.by_file).for_each(|(all, own)| all.merge_unordered(own));
        }
        source.files.iter().zip(&by_file).try_for_each(|(file, stats)| log::check(file, stats, clean))?;
        log::check_malformed(&source.files, by_file.iter(), clean)?;
        by_file.iter().for_each(|stats| self.stats.merge(stats));
        Ok(())
    }

    /// Adds the documents that the parts of the log hold.
    ///
    /// # Errors
    /// Where reading or writing fails.
    pub(crate) fn add_seen(&mut self, parts: &[Part]) -> Result<()> {
        let Collected { ids, spill, .. } = self;
        let mut writer = spill.writer();
        for part in parts {
            for segment in 0..part.segments() {
                let texts = part.texts(segment)?;
                let (mut own, mut seen) = (Vec::new(), Vec::new());
                texts.visit(
                    |_| {},
                    |id| own.push(id),
                    |_, _| {},
                    |number, title, summary| seen.push((number, title, summary)),
                );
                for (number, title, summary) in seen {
                    let id = own[number as usize];
                    ids.number(id);
                    put(&mut writer, id, title, summary, (NO_FILE, 0, 0))?;
                }
            }
        }
        writer.finish()
    }

    /// Adds documents that judgments hold.
    ///
    /// # Errors
    /// Where writing fails.
    pub(crate) fn add(&mut self, documents: &[Document]) -> Result<()> {
        let mut writer = self.spill.writer();
        for Document { id, title, summary } in documents {
            self.ids.number(id);
            put(&mut writer, id, (i64::MAX, title), (i64::MAX, summary), (NO_FILE, 0, 0))?;
        }
        writer.finish()
    }

    /// Numbers the documents and makes one text of all of each. Of several records of a document, `repeated` says which one is
    /// kept. Of texts that the log holds, the earliest is kept.
    ///
    /// # Errors
    /// Where reading or writing fails.
    pub(crate) fn number(
        mut self,
        folder: &Path,
        (files, repeated): (&[RawFile], RepeatedDocument),
        threads: usize,
    ) -> Result<(Documents, Stats, Vec<Reject>)> {
        let ids = std::mem::take(&mut self.ids).sorted();
        let ranges = Spill::create(folder, "document-ranges.spill", 1 + ids.len() / RANGE)?;
        let by_partition = Mutex::new(vec![Merged::default(); PARTITIONS]);
        let work = |writer: &mut SpillWriter, partition: usize| {
            let merged = merge(&self.spill.read(partition)?, &ids, (files, repeated), writer)?;
            locked(&by_partition)[partition] = merged;
            Ok(())
        };
        parallel::for_each(PARTITIONS, threads, || ranges.writer(), work, SpillWriter::finish)?;
        (self.stats.titles, self.stats.summaries) = (0, 0);
        for merged in unlocked(by_partition) {
            self.stats.titles += merged.titles;
            self.stats.summaries += merged.summaries;
            for reject in merged.rejects {
                self.stats.tallies.add(Fate::Merged, &reject.reason, 1, 0, &reject.content);
                self.rejects.push(reject);
            }
        }
        Ok((Documents { ids, ranges }, self.stats, self.rejects))
    }
}

/// What a partition of documents held.
#[derive(Debug, Clone, Default)]
struct Merged {
    titles: u64,
    summaries: u64,
    rejects: Vec<Reject>,
}

/// Makes one text of all of each document of a partition.
fn merge(
    bytes: &[u8],
    ids: &Names,
    (files, repeated): (&[RawFile], RepeatedDocument),
    writer: &mut SpillWriter,
) -> Result<Merged> {
    let mut merged = Merged::default();
    let mut records = Take(bytes);
    let mut entries = Vec::new();
    while !records.is_empty() {
        entries.push(Entry::take(&mut records, ids));
    }
    match repeated {
        RepeatedDocument::FirstText => entries.sort_unstable(),
        RepeatedDocument::Last => {
            entries.sort_unstable_by_key(|entry| {
                (entry.number, entry.elsewhere, Reverse((entry.file, entry.order)), *entry)
            });
        }
    }
    for of_document in entries.chunk_by(|a, b| a.number == b.number) {
        let own = of_document.partition_point(|entry| entry.file != NO_FILE);
        for entry in &of_document[1.min(own)..own] {
            let content = format!("doc_id={} title={}", ids.name(entry.number), entry.title.1);
            let content = records::printable(content.as_bytes(), CONTENT_CHARS);
            let file = files[entry.file as usize].name.clone();
            let kept = &of_document[0];
            let is_same = (entry.title, entry.summary) == (kept.title, kept.summary);
            let reason = if is_same { SEEN_BEFORE } else { OTHER_TEXT }.into();
            merged.rejects.push(Reject { file, line: entry.line, reason, content });
        }
        let (title, summary) = texts(of_document, own);
        merged.titles += u64::from(!title.is_empty());
        merged.summaries += u64::from(!summary.is_empty());
        let number = of_document[0].number;
        writer.push(number as usize / RANGE, |record| {
            record.put_u32(number);
            record.put_text(&plain(title));
            record.put_text(&plain(summary));
        })?;
    }
    Ok(merged)
}

impl Documents {
    /// The number of ranges; ranges are in the order of ids.
    pub(crate) fn ranges(&self) -> usize {
        self.ranges.partitions()
    }

    /// Number, title and summary of the documents of a range, sorted by id.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn read(&self, range: usize) -> Result<Vec<(u32, String, String)>> {
        let bytes = self.ranges.read(range)?;
        let mut records = Take(&bytes);
        let mut documents = Vec::new();
        while !records.is_empty() {
            documents.push((records.u32(), records.text().to_string(), records.text().to_string()));
        }
        documents.sort_unstable();
        Ok(documents)
    }
}

impl Own<'_> {
    fn read(&mut self, source: &DocumentFiles, (file, number): (usize, usize), block: &Block) -> Result<()> {
        let Own { ids, writer, by_file, rejects } = self;
        let stats = &mut by_file[file];
        let mut order = (number as u64) << 32;
        let found = block.visit::<anyhow::Error>(&mut |record| {
            stats.count(record);
            let values = match &record.values {
                Ok(values) => values,
                Err(reason) => {
                    let content = records::printable(&record.content(), CONTENT_CHARS);
                    let reason = stats.reject(record, reason.clone(), false, &content);
                    rejects.push(Reject { file: source.files[file].name.clone(), line: record.line, reason, content });
                    return Ok(());
                }
            };
            stats.events += 1;
            let Described { id, title, summary } = source.describe(values);
            ids.number(&id);
            order += 1;
            put(writer, &id, (0, title), (0, &summary), (file as u32, record.line, order))
        })?;
        stats.found.iter_mut().zip(found).for_each(|(known, found)| *known |= found);
        Ok(())
    }
}

fn put(
    writer: &mut SpillWriter,
    id: &str,
    title: (i64, &str),
    summary: (i64, &str),
    place: (u32, u64, u64),
) -> Result<()> {
    writer.push(xxh3_64(id.as_bytes()) as usize % PARTITIONS, |record| {
        record.put_text(id);
        for (time, text) in [title, summary] {
            record.put_u64(time as u64);
            record.put_text(text);
        }
        record.put_u32(place.0);
        record.put_u64(place.1);
        record.put_u64(place.2);
    })
}

/// A document's texts from one source; entries of one document are in the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry<'a> {
    number: u32,
    elsewhere: bool,
    missing: (bool, bool),
    title: (i64, &'a str),
    summary: (i64, &'a str),
    file: u32,
    line: u64,
    /// Its place among the records of the file.
    order: u64,
}

impl<'a> Entry<'a> {
    fn take(records: &mut Take<'a>, ids: &Names) -> Entry<'a> {
        let number = ids.find(records.text()).unwrap_or_default();
        let title = (records.u64() as i64, records.text());
        let summary = (records.u64() as i64, records.text());
        let (file, line, order) = (records.u32(), records.u64(), records.u64());
        let missing = (title.1.is_empty(), summary.1.is_empty());
        Entry { number, elsewhere: file == NO_FILE, missing, title, summary, file, line, order }
    }
}

/// Title and summary of a document from its sorted entries, of which the first `own` are from document files.
fn texts<'a>(entries: &[Entry<'a>], own: usize) -> (&'a str, &'a str) {
    if own > 0 {
        return (entries[0].title.1, entries[0].summary.1);
    }
    let earliest = |text: fn(&Entry<'a>) -> (i64, &'a str)| {
        let given = entries.iter().map(text).filter(|(_, text)| !text.is_empty());
        given.min().map_or("", |(_, text)| text)
    };
    (earliest(|entry| entry.title), earliest(|entry| entry.summary))
}

/// A text without control characters, which some formats write between words.
fn plain(text: &str) -> Cow<'_, str> {
    let control = |c: char| c.is_control() && c != '\n' && c != '\t' && c != '\r';
    if text.contains(control) { text.replace(control, " ").into() } else { text.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts_of(entries: &mut [(i64, &'static str, &'static str, u32)]) -> Vec<(String, String)> {
        let folder = tempfile::tempdir().unwrap();
        let mut collected = Collected::new(folder.path()).unwrap();
        collected.ids.number("d");
        let mut writer = collected.spill.writer();
        for &mut (time, title, summary, file) in entries {
            put(&mut writer, "d", (time, title), (time, summary), (file, 1, 1)).unwrap();
        }
        writer.finish().unwrap();
        let files = [RawFile { path: "x".into(), name: "x".into() }];
        let (documents, ..) = collected.number(folder.path(), (&files, RepeatedDocument::FirstText), 2).unwrap();
        documents.read(0).unwrap().into_iter().map(|(_, title, summary)| (title, summary)).collect()
    }

    #[test]
    fn the_earliest_row_that_is_not_empty_describes_the_document() {
        let mut rows =
            [(5, "five", "", NO_FILE), (3, "", "three", NO_FILE), (4, "four", "x", NO_FILE), (9, "a", "", NO_FILE)];
        for _ in 0..rows.len() {
            rows.rotate_left(1);
            assert_eq!(texts_of(&mut rows.clone()), [("four".into(), "three".into())]);
        }
        let mut files = [(0, "", "b", 0), (0, "title", "", 0), (0, "title", "b", 0), (9, "log", "log", NO_FILE)];
        for _ in 0..files.len() {
            files.rotate_left(1);
            assert_eq!(texts_of(&mut files.clone()), [("title".into(), "b".into())]);
        }
        assert_eq!(texts_of(&mut [(0, "a\u{1}b", "", 0)]), [("a b".into(), "".into())]);
    }
}
