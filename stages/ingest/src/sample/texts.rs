//! The first records of documents, query texts and judgments.

use std::collections::{BTreeSet, HashSet};

use anyhow::Result;
use pipeline::RunPaths;
use pipeline::config::{DocumentsConfig, IngestConfig, JudgmentsConfig, QueryFiles};
use records::{RawFile, Record};

use super::{Found, Input, add_keys, mapping, written};
use crate::checks;
use crate::documents::DocumentFiles;
use crate::input::{CONTENT_CHARS, Counts, Source};
use crate::inputs;
use crate::judgments;
use crate::log::{check, check_malformed};
use crate::split::Split;
use crate::stage::Settings;
use crate::stats::Stats;

/// What the first records of the documents hold.
#[derive(Debug, Default)]
pub struct DocumentSample {
    /// Records with an id.
    pub documents: u64,
    /// Records with an id that an earlier one has.
    pub repeated: u64,
    /// Records without a title; `None` where no title is mapped.
    pub without_title: Option<u64>,
    /// Records without a summary; `None` where no summary is mapped.
    pub without_summary: Option<u64>,
    /// Characters of titles and summaries.
    pub text_chars: u64,
}

/// What the first judgments are.
#[derive(Debug, Default)]
pub struct JudgmentSample {
    /// Distinct queries, by id or text.
    pub queries: u64,
    /// The number of judgments with each grade from 0.
    pub grades: [u64; 5],
    /// The splits train, validation and test where each has its files.
    pub splits: Option<[SplitSample; 3]>,
}

/// What the first judgments of a split are that has its files.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SplitSample {
    /// The share of its files in the text of all.
    pub share: f64,
    /// Distinct queries, by id or text.
    pub queries: u64,
    /// Judgments.
    pub judgments: u64,
}

/// The first documents.
pub(super) fn documents(settings: &Settings, paths: &RunPaths) -> Option<Input> {
    let config = &settings.config;
    let documents = config.documents.as_ref()?;
    let mut input = Input::new("documents", "ingest.documents", written(&documents.format));
    input.mapped = vec![(String::new(), mapping(&documents.columns))];
    Some(input.filled(|input| {
        input.list(inputs::documents(config, paths)?)?;
        read_documents(input, config, documents)
    }))
}

fn read_documents(input: &mut Input, config: &IngestConfig, documents: &DocumentsConfig) -> Result<()> {
    let (chosen, each) = input.chosen();
    let width = config.log.as_ref().map_or(0, |log| log.doc_id_width);
    let files = DocumentFiles::new(chosen, documents, &config.clean, width);
    let columns = &documents.columns;
    let mut sample = DocumentSample {
        without_title: columns.title.as_ref().map(|_| 0),
        without_summary: (!columns.summary.is_empty()).then_some(0),
        ..DocumentSample::default()
    };
    let (mut ids, mut keys, mut by_file) = (HashSet::new(), BTreeSet::new(), Vec::new());
    for file in &files.files {
        let mut stats = Stats::new(files.fields.len());
        let mut visit = |record: &Record| -> Result<()> {
            stats.count(record);
            let content = record.content();
            input.records += 1;
            input.bytes += content.len() as u64 + 1;
            add_keys(&mut keys, documents.format, &content);
            match &record.values {
                Err(reason) => {
                    let content = records::printable(&content, CONTENT_CHARS);
                    stats.reject(record, reason.clone(), false, &content);
                }
                Ok(values) => {
                    let document = files.describe(values);
                    sample.documents += 1;
                    sample.repeated += u64::from(!ids.insert(document.id.into_owned()));
                    sample.text_chars += (document.title.chars().count() + document.summary.chars().count()) as u64;
                    stats.titles += u64::from(!document.title.is_empty());
                    stats.summaries += u64::from(!document.summary.is_empty());
                }
            }
            Ok(())
        };
        let first = records::read_first(file, &files.layout, &files.fields, each, &mut visit)?;
        stats.found = first.found;
        input.is_whole &= first.whole;
        by_file.push(stats);
    }
    let mut stats = Stats::default();
    by_file.iter().for_each(|of_file| stats.merge(of_file));
    // Merging counts of parts leaves these to the caller.
    stats.titles = by_file.iter().map(|of_file| of_file.titles).sum();
    stats.summaries = by_file.iter().map(|of_file| of_file.summaries).sum();
    sample.without_title = sample.without_title.map(|_| sample.documents - stats.titles);
    sample.without_summary = sample.without_summary.map(|_| sample.documents - stats.summaries);
    input.set_aside(&stats.tallies);
    let documents = sample.documents as usize;
    input.found = Found::Documents(sample);
    input.compare(&files.files, &files.layout, &files.fields, &stats.found, keys)?;
    files.files.iter().zip(&by_file).try_for_each(|(file, stats)| check(file, stats, &config.clean))?;
    input.judge(check_malformed(&files.files, by_file.iter(), &config.clean));
    input.judge(checks::documents_have_texts(config, documents, &stats));
    let absent = input.absent.iter().map(|name| format!("no record that was read has the column `{name}`"));
    input.warnings.extend(absent);
    Ok(())
}

/// The first query texts.
pub(super) fn queries(settings: &Settings, paths: &RunPaths) -> Option<Input> {
    let config = &settings.config;
    let (key, files) = config.query_files();
    let (format, columns) = match files? {
        QueryFiles::Beir(_) => ("jsonl".to_string(), [("id", "_id"), ("text", "text")]),
        QueryFiles::Table(table) => (written(&table.format), [("id", table.id.as_str()), ("text", &table.text)]),
    };
    let mut input = Input::new("queries", key, format);
    input.mapped = vec![(String::new(), columns.map(|(column, field)| (column.into(), field.into())).to_vec())];
    Some(input.filled(|input| {
        input.list(inputs::queries(config, paths)?)?;
        let (chosen, each) = input.chosen();
        let Some(table) = files else { return Ok(()) };
        let source = judgments::query_source(chosen, table, &config.clean.null_values, each);
        let (texts, counts) = judgments::read_queries(&source)?;
        input.found = Found::Queries(texts.len() as u64);
        input.count(&source, &counts)
    }))
}

/// The first judgments of files.
pub(super) fn judgments(settings: &Settings, paths: &RunPaths) -> Option<Input> {
    let config = &settings.config;
    let judged = config.judgments.as_ref().filter(|judgments| !judgments.from_clicks())?;
    let mut input = Input::new("judgments", "ingest.judgments", written(&judged.format));
    input.mapped = vec![(String::new(), mapping(&judgments::layout(judged).1))];
    Some(input.filled(|input| read_judgments(input, config, judged, paths)))
}

fn read_judgments(input: &mut Input, config: &IngestConfig, judged: &JudgmentsConfig, paths: &RunPaths) -> Result<()> {
    let files = inputs::judged(config, paths)?;
    input.list(files.iter().map(|(file, _)| file.clone()).collect())?;
    let (chosen, each) = input.chosen();
    let shares = (!judged.splits.is_empty()).then(|| shares(input, &files));
    let is_chosen = |file: &str| chosen.iter().any(|chosen| *chosen.name == *file);
    let files = files.into_iter().filter(|(file, _)| is_chosen(&file.name)).collect();
    let read = judgments::read_judged(files, judged, config, each)?;
    let splits = shares.map(|shares| splits(shares, &read));
    let mut sample = JudgmentSample { splits, ..JudgmentSample::default() };
    let mut queries = HashSet::new();
    for (query, grade) in read.grades() {
        queries.insert(query);
        sample.grades[grade.clamp(0, 4) as usize] += 1;
    }
    sample.queries = queries.len() as u64;
    input.found = Found::Judgments(sample);
    if read.grades().all(|(_, grade)| grade == 0) {
        input.warnings.push("no judgment that was read has a grade above 0, so that nothing is relevant".into());
    }
    input.count(read.source(), &read.counts)
}

const SPLITS: [Split; 3] = [Split::Train, Split::Validation, Split::Test];

/// What was read of the splits that have these shares.
fn splits(shares: [f64; 3], read: &judgments::Read) -> [SplitSample; 3] {
    let mut samples = shares.map(|share| SplitSample { share, queries: 0, judgments: 0 });
    for (sample, split) in samples.iter_mut().zip(SPLITS) {
        let queries: HashSet<&str> = read.queries_of(split).collect();
        sample.queries = queries.len() as u64;
        sample.judgments = read.grades().filter(|(query, _)| queries.contains(query)).count() as u64;
    }
    samples
}

/// The shares of the splits in the text of files that each belong to one.
fn shares(input: &Input, files: &[(RawFile, Option<Split>)]) -> [f64; 3] {
    let bytes = SPLITS.map(|split| {
        let is_of_split = |name: &str| files.iter().any(|(file, of)| *of == Some(split) && *file.name == *name);
        let sizes = input.files.iter().filter(|(file, _)| is_of_split(&file.name));
        sizes.map(|(_, packing)| packing.text_bytes as f64).sum::<f64>()
    });
    let all: f64 = bytes.iter().sum();
    bytes.map(|bytes| bytes / all.max(1.0))
}

/// The file of examination probabilities, which is read whole only in a run.
pub(super) fn propensities(settings: &Settings, paths: &RunPaths) -> Option<Input> {
    settings.config.debias.path.as_ref()?;
    let mut input = Input::new("propensities", "ingest.debias", "csv");
    input.mapped = vec![(String::new(), ["position", "propensity"].map(|name| (name.into(), name.into())).to_vec())];
    Some(input.filled(|input| input.list(inputs::propensities(&settings.config, paths)?.into_iter().collect())))
}

impl Input {
    /// Takes over what was counted of a small input, every field of which must be there.
    fn count(&mut self, source: &Source, counts: &Counts) -> Result<()> {
        self.records = counts.records;
        self.bytes = counts.bytes;
        self.is_whole &= !counts.is_cut;
        self.set_aside(&counts.tallies);
        self.compare(&source.files, &source.layout, &source.fields, &counts.found, BTreeSet::new())
    }
}

#[cfg(test)]
mod tests {
    use records::Packing;

    use super::*;

    #[test]
    fn splits_have_the_shares_of_their_files() {
        let file = |name: &str| RawFile { path: name.into(), name: name.into() };
        let mut input = Input::new("judgments", "ingest.judgments", "beir");
        for (name, text_bytes) in [("a", 10), ("b", 50), ("c", 40)] {
            input.files.push((file(name), Packing { bytes: 1, compression: None, text_bytes, rows: None }));
        }
        let files = [("a", Split::Test), ("b", Split::Train), ("c", Split::Test), ("empty", Split::Validation)];
        let files = files.map(|(name, split)| (file(name), Some(split)));
        assert_eq!(shares(&input, &files), [0.5, 0.0, 0.5]);
        input.files.clear();
        assert_eq!(shares(&input, &files), [0.0; 3]);
    }
}
