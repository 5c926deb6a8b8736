//! The first records of the log: searches, results and clicks, as the cleaning would make them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;
use pipeline::RunPaths;
use pipeline::config::{DebiasMethod, IngestConfig, LogConfig, LogKind};
use records::{RawFile, RawFormat, Record};

use super::{FILES, Found, Input, add_keys, mapping, written};
use crate::buckets::{self, session_gap};
use crate::bytes::Take;
use crate::checks;
use crate::clean::{self, Row, Search};
use crate::event::Event;
use crate::impressions::ROBOT;
use crate::inputs;
use crate::log::{LogFiles, check_malformed};
use crate::names::Names;
use crate::reading::Reading;
use crate::report::{Fate, Tallies};
use crate::segment::{Segment, text};
use crate::sessions::{self, Counts};
use crate::stage::Settings;
use crate::stats::Stats;

/// What the first records of a log hold. Documents that do not exist are still among the results.
#[derive(Debug, Default)]
pub struct LogSample {
    /// Searches with results.
    pub searches: u64,
    /// Results that were shown or clicked.
    pub results: u64,
    /// Results that were clicked.
    pub clicks: u64,
    /// Distinct queries, as they are compared.
    pub queries: u64,
    /// Characters of the distinct queries.
    pub query_chars: u64,
    /// First and last position, from 1.
    pub positions: Option<(i32, i32)>,
    /// First and last time, in microseconds since 1970.
    pub times: Option<(i64, i64)>,
    /// How the times are written, each with the number of them.
    pub forms: Vec<(&'static str, u64)>,
    /// Characters of the documents' texts that the log holds.
    pub text_chars: u64,
    /// Documents whose texts the log holds.
    pub documents: u64,
}

/// The first records of the log.
pub(super) fn input(settings: &Settings, paths: &RunPaths) -> Option<Input> {
    let config = &settings.config;
    let log = config.log.as_ref()?;
    let mut input = Input::new("log", "ingest.log", written(&log.format));
    input.mapped = if log.kinds.is_empty() {
        vec![(String::new(), mapping(&log.columns))]
    } else {
        log.kinds.iter().map(|kind| (kind_name(kind), mapping(&kind.columns))).collect()
    };
    Some(input.filled(|input| {
        input.list(inputs::log(config, paths)?)?;
        let Some(reading) = settings.reading()? else { return Ok(()) };
        read(input, config, log, reading)
    }))
}

fn kind_name(kind: &LogKind) -> String {
    let column = kind.when_column.as_ref().map(|column| match &kind.when_values[..] {
        [] => format!("records with `{column}`"),
        values => format!("records whose `{column}` is {}", values.join(" or ")),
    });
    let fields = kind.when_fields.map(|fields| format!("records of {fields} fields"));
    let opens = kind.opens.then(|| "which hold for those that follow".to_string());
    [column, fields, opens].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The records of the chosen files.
struct Records {
    /// By file.
    segments: Vec<Segment>,
    keys: BTreeSet<String>,
    forms: BTreeMap<&'static str, u64>,
}

fn read(input: &mut Input, config: &IngestConfig, log: &LogConfig, reading: Reading) -> Result<()> {
    let (chosen, each) = input.chosen();
    let clean = &config.clean;
    let files = LogFiles { files: chosen, layout: inputs::log_layout(log, clean), reading, parts: Vec::new() };
    let mut read = Records { segments: Vec::new(), keys: BTreeSet::new(), forms: BTreeMap::new() };
    for file in &files.files {
        read.add(input, log, &files, file, each)?;
    }
    let by_file = || read.segments.iter().map(|segment| &segment.stats);
    let mut stats = Stats::default();
    by_file().for_each(|stats_of_file| stats.merge(stats_of_file));
    let keys = std::mem::take(&mut read.keys);
    input.compare(&files.files, &files.layout, &files.reading.kinds.fields, &stats.found, keys)?;
    let mut tallies = stats.tallies.clone();
    let (mut found, largest) = clean_records(&read.segments, config, log, &mut tallies)?;
    input.set_aside(&tallies);
    found.forms = read.forms.iter().map(|(form, count)| (*form, *count)).collect();
    // What one file must have, it must have in its first records: these are no shares.
    let whole_files = files.files.iter().zip(by_file()).try_for_each(|(file, stats)| files.check(file, stats, clean));
    let (results, first_position) = (found.results, found.positions.map(|(first, _)| first));
    input.found = Found::Log(found);
    whole_files?;
    let columns = files.check_columns(config, &stats);
    // Beside objects of JSON, a file tells all its columns at once.
    if log.format != RawFormat::Jsonl && files.files.len() <= FILES {
        input.refuse(columns)
    } else {
        input.judge(columns)
    }
    input.judge(check_malformed(&files.files, by_file(), clean));
    if checks::reads_nothing(&stats) {
        input.refuse(checks::values_are_read(&stats, clean));
    } else {
        input.judge(checks::can_teach(log, &stats, clean));
    }
    let compares_positions = !log.clicks_only && config.debias.method != DebiasMethod::File;
    if compares_positions && first_position.is_some_and(|first| first > 1) {
        input.judge(Err(checks::nothing_at_top().into()));
    }
    if input.is_whole {
        let sessions = sessions::Found { largest, ..sessions::Found::default() };
        input.judge(checks::sessions_are_visitors(&sessions, results, clean));
    }
    // Of records in several files or kinds, the first of one need not go with the first of the others.
    if input.is_whole || files.files.len() == 1 && log.kinds.is_empty() {
        input.judge(checks::losses(&tallies, clean));
        input.judge(checks::results_are_shown_once(&tallies, clean));
        let (_, kept_clicks) = tallies.sum(|fate| fate == Fate::Kept);
        if stats.clicks > 0 {
            input.judge(checks::clicks_are_left(&tallies, kept_clicks));
        }
    }
    Ok(())
}

impl Records {
    fn add(&mut self, input: &mut Input, log: &LogConfig, files: &LogFiles, file: &RawFile, each: u64) -> Result<()> {
        let reading = &files.reading;
        let mut segment = Segment::new(reading);
        let mut opened = None;
        let Records { keys, forms, .. } = self;
        let mut visit = |record: &Record| -> Result<()> {
            let content = record.content();
            input.records += 1;
            input.bytes += content.len() as u64 + 1;
            add_keys(keys, log.format, &content);
            if let Ok(values) = &record.values
                && let Some(kind) = reading.kinds.find(values, record.fields)
                && let Some(Ok((_, form))) = text(values, kind.places.shown_at).map(|time| reading.times.read(time))
            {
                *forms.entry(form.name()).or_default() += 1;
            }
            segment.take(reading, &file.name, record, &mut opened);
            Ok(())
        };
        let first = records::read_first(file, &files.layout, &reading.kinds.fields, each, &mut visit)?;
        segment.stats.found = first.found;
        input.is_whole &= first.whole;
        self.segments.push(segment);
        Ok(())
    }
}

/// The session with the most results, and their number.
type Largest = Option<(u64, String)>;

/// Makes searches of the events; what becomes of their rows is added to `tallies`.
fn clean_records(
    segments: &[Segment],
    config: &IngestConfig,
    log: &LogConfig,
    tallies: &mut Tallies,
) -> Result<(LogSample, Largest)> {
    let (mut queries, mut documents) = (Names::default(), Names::default());
    let mut rows: Vec<Row> = Vec::new();
    let mut found = LogSample::default();
    for (file, segment) in segments.iter().enumerate() {
        for bucket in &segment.buckets {
            let mut events = Take(bucket);
            while !events.is_empty() {
                let event = Event::take(&mut events);
                let query = event.query.map(|query| queries.number(segment.queries.name(query)));
                let document = event.document.map(|document| documents.number(segment.documents.name(document)));
                rows.push(Row {
                    event: Event { query, document, ..event },
                    file: file as u32,
                    unknown_document: false,
                });
            }
        }
        let texts = segment.seen.iter().flat_map(|seen| [&seen.title, &seen.summary]).flatten();
        found.text_chars += texts.map(|(_, text)| text.chars().count() as u64).sum::<u64>();
        found.documents += segment.seen.len() as u64;
    }
    let mut shown: Vec<Search> = Vec::new();
    let mut moved_clicks = 0;
    buckets::grouped(&rows, |group| {
        let (searches, others) = clean::searches(group, session_gap(log), |query| query.to_string());
        for (at, reason) in others {
            let event = &group[at].event;
            let example = example(event, &queries, &documents);
            tallies.add(buckets::fate_of(reason), reason, 1, u64::from(event.clicked), &example);
        }
        let clicked = searches.iter().flat_map(|search| &search.shown).filter(|shown| shown.clicked);
        moved_clicks += clicked.filter(|shown| !group[shown.row].event.clicked).count() as u64;
        shown.extend(searches);
        Ok(())
    })?;
    tallies.take_clicks(Fate::Merged, clean::MERGED, moved_clicks);
    let found_sessions = sessions_of(&shown, config, log);
    for search in &shown {
        found.add(search);
        let (fate, reason, example) = if found_sessions.robots.contains(&sessions::hash(&search.session)) {
            (Fate::LeftOut, ROBOT, format!("session_id={}", search.session))
        } else {
            (Fate::Kept, "", String::new())
        };
        tallies.add(fate, reason, search.shown.len() as u64, clicks_of(search), &example);
    }
    found.queries = queries.len() as u64;
    found.query_chars = queries.iter().map(|query| query.chars().count() as u64).sum();
    Ok((found, found_sessions.largest))
}

fn example(event: &Event, queries: &Names, documents: &Names) -> String {
    let (query, document) =
        (event.query.map(|query| queries.name(query)), event.document.map(|document| documents.name(document)));
    let mut content = String::new();
    event.describe(query, document, &mut content);
    content
}

fn clicks_of(search: &Search) -> u64 {
    search.shown.iter().filter(|shown| shown.clicked).count() as u64
}

fn sessions_of(searches: &[Search], config: &IngestConfig, log: &LogConfig) -> sessions::Found {
    let mut counts: HashMap<&str, Counts> = HashMap::new();
    for search in searches {
        let session = counts.entry(search.session.as_str()).or_default();
        session.add(search.shown.len() as u64, clicks_of(search));
    }
    let limits = sessions::limits(&config.clean, log.clicks_only);
    let mut found = sessions::Found::default();
    counts.into_iter().for_each(|(session, counts)| found.note(session, counts, &limits));
    found
}

impl LogSample {
    fn add(&mut self, search: &Search) {
        self.searches += 1;
        self.results += search.shown.len() as u64;
        self.clicks += clicks_of(search);
        for shown in &search.shown {
            let (first, last) = self.positions.unwrap_or((shown.position, shown.position));
            self.positions = Some((first.min(shown.position), last.max(shown.position)));
            if let Some(time) = shown.shown_at {
                let (first, last) = self.times.unwrap_or((time, time));
                self.times = Some((first.min(time), last.max(time)));
            }
        }
    }
}
