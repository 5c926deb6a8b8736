//! The click log: its files to parts, all cores at work, and the texts of all parts to numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use anyhow::{Context, Result};
use pipeline::config::{BinaryLines, CleanConfig, IngestConfig};
use pipeline::{BadInput, Shard, counted};
use records::{Block, Blocks, Field, Layout, RawFile};

use crate::bytes::Take;
use crate::checks;
use crate::clean::Row;
use crate::documents::Documents;
use crate::event::Event;
use crate::names::Names;
use crate::parallel::{self, FirstError, InOrder, locked, unlocked};
use crate::part::{Part, PartWriter};
use crate::query::Queries;
use crate::read::{FileSource, Task};
use crate::reading::Reading;
use crate::segment::{Opened, Segment};
use crate::stats::Stats;

/// Set in the number of a document that the document table does not have.
const UNKNOWN: u32 = 1 << 31;

/// The files of the log and how they are read.
#[derive(Debug)]
pub(crate) struct LogFiles {
    pub(crate) files: Vec<RawFile>,
    pub(crate) layout: Layout,
    pub(crate) reading: Reading,
    /// By file: the name of its part, which stands for all that decides the part's content.
    pub(crate) parts: Vec<String>,
}

impl LogFiles {
    /// Reads every file whose part is not in `folder` yet, and removes parts of other logs. Of a shard, the files of its share are
    /// read, and nothing is removed.
    ///
    /// # Errors
    /// [`BadInput`] on a file, or a share of malformed lines, that cannot be accepted.
    pub(crate) fn read(
        &self,
        folder: &Path,
        clean: &CleanConfig,
        (threads, shard): (usize, Option<Shard>),
    ) -> Result<Vec<Part>> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: creating failed", folder.display()))?;
        if shard.is_none() {
            self.remove_others(folder)?;
        }
        let is_own = |file: usize| shard.is_none_or(|shard| shard.has(file));
        let paths: Vec<PathBuf> = self.parts.iter().map(|name| folder.join(name)).collect();
        let opened = paths.iter().enumerate().map(|(at, path)| if is_own(at) { Part::open(path) } else { None });
        let mut parts: Vec<Option<Part>> = opened.collect();
        let missing: Vec<usize> = (0..parts.len()).filter(|&at| is_own(at) && parts[at].is_none()).collect();
        let readers = if self.reading.kinds.in_order() { 1 } else { threads };
        let work = Work {
            log: self,
            paths: &paths,
            clean,
            source: Mutex::new(FileSource::new(&self.files, missing, &self.layout, &self.reading.kinds.fields)),
            unfinished: Mutex::new(BTreeMap::new()),
            finished: Mutex::new(Vec::new()),
            errors: FirstError::default(),
        };
        parallel::on_threads(readers, || work.run());
        work.errors.into_result()?;
        for (at, part) in unlocked(work.finished) {
            parts[at] = Some(part);
        }
        let mut made = self.files.iter().zip(&parts).filter_map(|(file, part)| Some((file, part.as_ref()?)));
        made.try_for_each(|(file, part)| self.check(file, part.stats(), clean))?;
        Ok(parts.into_iter().flatten().collect())
    }

    /// Refuses a file that cannot be what the configuration says.
    ///
    /// # Errors
    /// [`BadInput`].
    pub(crate) fn check(&self, file: &RawFile, stats: &Stats, clean: &CleanConfig) -> Result<()> {
        let fields = &self.reading.kinds.fields;
        let missing = self.reading.kinds.needed.iter().find(|&&at| !stats.found.get(at).copied().unwrap_or(false));
        // Where no record could be parsed, the first problem says more than the names of fields.
        let parsed = stats.first_malformed.as_ref().is_none_or(|(_, problem)| problem.contains("is missing"));
        let missing = missing.filter(|_| stats.records > 0);
        if let (Some(&at), true) = (missing, parsed || stats.found.contains(&true)) {
            let blocks = Blocks::open(file, &self.layout, &[Field::required(&fields[at].name)])?;
            Err(records::missing_field(file, &fields[at].name, blocks.names()))?;
        }
        check(file, stats, clean)
    }

    /// Refuses files none of which has a wanted field. It may be missing from some records and files, but not from all. A preset
    /// names fields that not every log has.
    ///
    /// # Errors
    /// [`BadInput`] with what the first file has instead.
    pub(crate) fn check_columns(&self, config: &IngestConfig, stats: &Stats) -> Result<()> {
        let missing = self.reading.kinds.fields.iter().zip(&stats.found).find(|(_, found)| !**found);
        let missing = missing.filter(|_| config.preset.is_none());
        if let (0, Some(file)) = (stats.records, self.files.first()) {
            Err(file.bad("expected records, found none in any file of the log; name files that hold searches"))?;
        }
        if let (Some((field, _)), Some(file)) = (missing, self.files.first()) {
            let names = Blocks::open(file, &self.layout, &self.reading.kinds.fields)?;
            Err(file.bad(format!(
                "expected a column `{}`, found {}; no record of any file has it; correct the columns in the configuration, or \
                 remove the key's line where it is optional",
                field.name,
                names.names()
            )))?;
        }
        Ok(())
    }

    fn remove_others(&self, folder: &Path) -> Result<()> {
        let wanted: BTreeSet<&str> = self.parts.iter().map(String::as_str).collect();
        let failed = || format!("{}: clearing failed", folder.display());
        for entry in std::fs::read_dir(folder).with_context(failed)? {
            let entry = entry.with_context(failed)?;
            if entry.path().is_file() && !entry.file_name().to_str().is_some_and(|name| wanted.contains(name)) {
                std::fs::remove_file(entry.path()).with_context(failed)?;
            }
        }
        Ok(())
    }
}

/// Refuses a file that cannot be what the configuration says.
pub(crate) fn check(file: &RawFile, stats: &Stats, clean: &CleanConfig) -> Result<()> {
    if let (BinaryLines::Error, Some((line, damage))) = (clean.binary, &stats.first_binary) {
        let problem = format!(
            "expected text, found {damage}; write the file again, or set ingest.clean.binary = \"reject\" to leave such lines out"
        );
        Err(file.bad_line(*line, problem))?;
    }
    match &stats.first_malformed {
        Some((line, problem)) if stats.malformed_records == stats.records => {
            let advice = "and no other record of the file can be read either; correct its format or columns in the configuration";
            Err(file.bad_line(*line, format!("{problem}, {advice}")).into())
        }
        Some((line, problem)) if clean.max_reject_fraction == 0.0 => Err(file.bad_line(*line, problem.clone()).into()),
        _ => Ok(()),
    }
}

/// A part whose segments arrive out of order.
struct Unfinished {
    writer: PartWriter,
    order: InOrder<Segment>,
    segments: Option<usize>,
}

struct Work<'w> {
    log: &'w LogFiles,
    paths: &'w [PathBuf],
    clean: &'w CleanConfig,
    source: Mutex<FileSource<'w>>,
    unfinished: Mutex<BTreeMap<usize, Unfinished>>,
    finished: Mutex<Vec<(usize, Part)>>,
    errors: FirstError<(usize, usize)>,
}

impl Work<'_> {
    /// What each thread does.
    fn run(&self) {
        let mut opened: (usize, Option<Opened>) = (usize::MAX, None);
        while !self.errors.is_set() {
            let task = locked(&self.source).next();
            match task {
                Ok(None) => return,
                Ok(Some(Task::End(file, segments))) => self.errors.note((file, segments), self.end(file, segments)),
                Ok(Some(Task::Block(file, segment, block))) => {
                    if opened.0 != file {
                        opened = (file, None);
                    }
                    let outcome = self.parse(file, &block, &mut opened.1);
                    let outcome = outcome.and_then(|read| self.add(file, segment, read));
                    self.errors.note((file, segment), outcome);
                }
                Err((file, error)) => self.errors.note((file, usize::MAX), Err(error)),
            }
        }
    }

    fn parse(&self, file: usize, block: &Block, opened: &mut Option<Opened>) -> Result<Segment> {
        let reading = &self.log.reading;
        let mut segment = Segment::new(reading);
        let name = &self.log.files[file].name;
        let found = block.visit::<anyhow::Error>(&mut |record| {
            segment.take(reading, name, record, opened);
            Ok(())
        })?;
        segment.stats.found = found;
        Ok(segment)
    }

    fn add(&self, file: usize, number: usize, segment: Segment) -> Result<()> {
        let mut all = locked(&self.unfinished);
        let part = self.unfinished_part(&mut all, file)?;
        part.order.add(number, segment, |segment| part.writer.write(&segment))?;
        self.finish(all, file)
    }

    fn end(&self, file: usize, segments: usize) -> Result<()> {
        let mut all = locked(&self.unfinished);
        self.unfinished_part(&mut all, file)?.segments = Some(segments);
        self.finish(all, file)
    }

    fn unfinished_part<'a>(&self, all: &'a mut BTreeMap<usize, Unfinished>, file: usize) -> Result<&'a mut Unfinished> {
        let entry = match all.entry(file) {
            std::collections::btree_map::Entry::Occupied(entry) => return Ok(entry.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => entry,
        };
        let writer = PartWriter::create(self.paths[file].clone())?;
        Ok(entry.insert(Unfinished { writer, order: InOrder::default(), segments: None }))
    }

    fn finish(&self, mut all: MutexGuard<BTreeMap<usize, Unfinished>>, file: usize) -> Result<()> {
        if all.get(&file).is_some_and(|part| part.segments == Some(part.order.taken()))
            && let Some(part) = all.remove(&file)
        {
            drop(all);
            let part = part.writer.finish()?;
            self.log.check(&self.log.files[file], part.stats(), self.clean)?;
            locked(&self.finished).push((file, part));
        }
        Ok(())
    }
}

/// The parts of the log, and numbers for all their texts.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) files: Vec<Arc<str>>,
    pub(crate) stats: Stats,
    pub(crate) queries: Queries,
    pub(crate) documents: Documents,
    parts: Vec<Part>,
    segments: Vec<SegmentNumbers>,
    unknown: Names,
}

/// The numbers of a segment's texts in the whole log.
#[derive(Debug)]
struct SegmentNumbers {
    file: u32,
    segment: usize,
    queries: Vec<u32>,
    documents: Vec<u32>,
}

impl Log {
    /// Numbers the texts of all parts. Documents keep their numbers; `queries` may hold some already.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn number(
        files: &[RawFile],
        parts: Vec<Part>,
        mut queries: Queries,
        documents: Documents,
        threads: usize,
    ) -> Result<Log> {
        let mut stats = Stats::default();
        parts.iter().for_each(|part| stats.merge(part.stats()));
        let of_part = |(file, part): (usize, &Part)| (0..part.segments()).map(move |segment| (file, segment));
        let places: Vec<(usize, usize)> = parts.iter().enumerate().flat_map(of_part).collect();
        // Queries and documents do not depend on each other.
        let (numbered, of_documents) = std::thread::scope(|scope| {
            let of_documents = scope.spawn(|| document_numbers(&parts, &places, &documents, threads));
            let of_queries = query_numbers(&parts, &places, &mut queries);
            (of_queries, of_documents.join())
        });
        let of_documents = of_documents.map_err(|_| anyhow::anyhow!("numbering the documents failed"))?;
        let (of_documents, unknown) = of_documents?;
        let segments = places.iter().zip(numbered?).zip(of_documents);
        let segments = segments.map(|((&(file, segment), queries), documents)| SegmentNumbers {
            file: file as u32,
            segment,
            queries,
            documents,
        });
        let segments = segments.collect();
        let files = files.iter().map(|file| file.name.clone()).collect();
        Ok(Log { files, stats, queries, documents, parts, segments, unknown })
    }

    /// Names of the files, and their numbers of lines.
    pub(crate) fn files_and_lines(&self) -> Vec<(Arc<str>, u64)> {
        let lines = self.parts.iter().map(|part| part.stats().lines);
        self.files.iter().cloned().zip(lines).collect()
    }

    /// The size of a bucket in bytes.
    pub(crate) fn bucket_size(&self, bucket: usize) -> usize {
        self.parts.iter().map(|part| part.bucket_size(bucket)).sum()
    }

    /// The events of a bucket, by segment.
    pub(crate) fn bucket(&self, bucket: usize) -> Result<Vec<(usize, Vec<u8>)>> {
        let read = |(at, numbers): (usize, &SegmentNumbers)| {
            Ok((at, self.parts[numbers.file as usize].bucket(numbers.segment, bucket)?))
        };
        self.segments.iter().enumerate().map(read).collect()
    }

    /// An event of a segment with the numbers of the whole log.
    pub(crate) fn row<'a>(&self, segment: usize, event: Event<'a>) -> Row<'a> {
        let numbers = &self.segments[segment];
        let query = event.query.map(|query| numbers.queries[query as usize]);
        let document = event.document.map(|document| numbers.documents[document as usize]);
        let unknown_document = document.is_some_and(|document| document & UNKNOWN != 0);
        Row { event: Event { query, document, ..event }, file: numbers.file, unknown_document }
    }

    /// Lines that have no event: file, line, reason and beginning.
    ///
    /// # Errors
    /// Where reading fails; those of `visit`.
    pub(crate) fn visit_rejects(&self, mut visit: impl FnMut(u32, u64, &str, &str) -> Result<()>) -> Result<()> {
        for numbers in &self.segments {
            let bytes = self.parts[numbers.file as usize].rejects(numbers.segment)?;
            let mut records = Take(&bytes);
            while !records.is_empty() {
                let (line, reason, content) = (records.u64(), records.text(), records.text());
                visit(numbers.file, line, reason, content)?;
            }
        }
        Ok(())
    }

    /// Writes what an event says into `content`.
    pub(crate) fn describe(&self, row: &Row, content: &mut String) {
        let document = row.event.document.map(|document| match document & UNKNOWN {
            0 => self.documents.ids.name(document),
            _ => self.unknown.name(document & !UNKNOWN),
        });
        row.event.describe(row.event.query.map(|query| self.queries.text(query)), document, content);
    }
}

/// By segment: the numbers of its queries.
fn query_numbers(parts: &[Part], places: &[(usize, usize)], queries: &mut Queries) -> Result<Vec<Vec<u32>>> {
    let number = |&(file, segment): &(usize, usize)| {
        let texts = parts[file].texts(segment)?;
        let mut numbers = Vec::new();
        let mut ids: Vec<(u32, &str)> = Vec::new();
        texts.visit(
            |text| numbers.push(queries.normalised(text)),
            |_| {},
            |query, id| ids.push((query, id)),
            |_, _, _| {},
        );
        ids.into_iter().for_each(|(query, id)| queries.note_id(numbers[query as usize], id));
        Ok(numbers)
    };
    places.iter().map(number).collect()
}

/// By segment: the numbers of its documents; those of unknown ones have the bit [`UNKNOWN`] and are numbers of the texts that
/// come with them.
fn document_numbers(
    parts: &[Part],
    places: &[(usize, usize)],
    documents: &Documents,
    threads: usize,
) -> Result<(Vec<Vec<u32>>, Names)> {
    let found = Mutex::new(vec![(Vec::new(), Vec::new()); places.len()]);
    let work = |(): &mut (), at: usize| {
        let (file, segment) = places[at];
        let texts = parts[file].texts(segment)?;
        let (mut numbers, mut missing) = (Vec::new(), Vec::new());
        let document = |id: &str| {
            let number = documents.ids.find(id).unwrap_or(UNKNOWN);
            if number == UNKNOWN {
                missing.push((numbers.len(), id.to_string()));
            }
            numbers.push(number);
        };
        texts.visit(|_| {}, document, |_, _| {}, |_, _, _| {});
        locked(&found)[at] = (numbers, missing);
        Ok(())
    };
    parallel::for_each(places.len(), threads, || (), work, |()| Ok(()))?;
    let mut unknown = Names::default();
    let found = unlocked(found).into_iter();
    let number = |(mut numbers, missing): (Vec<u32>, Vec<(usize, String)>)| {
        missing.iter().for_each(|(at, id)| numbers[*at] = UNKNOWN | unknown.number(id));
        numbers
    };
    Ok((found.map(number).collect(), unknown))
}

/// Refuses a log with too many malformed lines.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn check_malformed<'s>(
    files: &'s [RawFile],
    stats: impl Iterator<Item = &'s Stats> + Clone,
    clean: &CleanConfig,
) -> Result<()> {
    let sum = |count: fn(&Stats) -> u64| stats.clone().map(count).sum::<u64>();
    let (malformed, lines) = (sum(|stats| stats.malformed_lines), sum(|stats| stats.lines));
    let share = malformed as f64 / lines.max(1) as f64;
    let mut first = files.iter().zip(stats).filter_map(|(file, stats)| Some((file, stats.first_malformed.as_ref()?)));
    match first.next() {
        Some((file, (line, problem))) if share > clean.max_reject_fraction => {
            let first = file.bad_line(*line, problem.clone());
            let reason = problem.split(": `").next().unwrap_or_default();
            let advice = checks::advice(reason).unwrap_or("correct the files, or their format in the configuration");
            Err(BadInput(format!(
                "{first}, the first of {malformed} malformed among {}, which is more than \
                 ingest.clean.max_reject_fraction = {}; {advice}",
                counted(lines, "line"),
                clean.max_reject_fraction
            ))
            .into())
        }
        _ => Ok(()),
    }
}
