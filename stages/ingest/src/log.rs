//! The click log: one row per shown result.

use anyhow::Result;
use pipeline::config::{IngestConfig, LogColumns};
use records::{Field, Layout, RawFile, Reason, Values};

use crate::documents::Documents;
use crate::input::{RecordCounts, RejectLimits, Source};
use crate::names::Names;
use crate::query::Queries;
use crate::value;

/// The rows of the log, column by column; texts are replaced by their numbers in [`Names`].
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) file: Vec<u32>,
    pub(crate) line: Vec<u64>,
    pub(crate) search: Vec<u32>,
    pub(crate) session: Vec<u32>,
    pub(crate) user: Vec<Option<u32>>,
    pub(crate) query: Vec<u32>,
    pub(crate) document: Vec<u32>,
    pub(crate) position: Vec<i32>,
    pub(crate) clicked: Vec<bool>,
    pub(crate) satisfied: Vec<bool>,
    pub(crate) dwell_seconds: Vec<Option<f64>>,
    pub(crate) shown_at: Vec<Option<i64>>,
    pub(crate) searches: Names,
    pub(crate) sessions: Names,
    pub(crate) users: Names,
}

impl Log {
    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.query.len()
    }
}

/// Indices of the wanted fields in a record's values.
#[derive(Debug)]
struct Places {
    query: usize,
    doc_id: usize,
    position: usize,
    clicked: usize,
    search_id: Option<usize>,
    session_id: Option<usize>,
    user_id: Option<usize>,
    query_id: Option<usize>,
    dwell_seconds: Option<usize>,
    shown_at: Option<usize>,
    title: Option<usize>,
    summary: Option<usize>,
}

fn places(columns: &LogColumns) -> (Places, Vec<Field>) {
    let mut fields = Vec::new();
    let mut add = |field: Field| {
        fields.push(field);
        fields.len() - 1
    };
    let places = Places {
        // An empty query is no malformed record; it is left out by its own reason.
        query: add(Field::optional(&columns.query)),
        doc_id: add(Field::required(&columns.doc_id)),
        position: add(Field::required(&columns.position)),
        clicked: add(Field::required(&columns.clicked)),
        search_id: columns.search_id.as_deref().map(|name| add(Field::required(name))),
        session_id: columns.session_id.as_deref().map(|name| add(Field::required(name))),
        user_id: columns.user_id.as_deref().map(|name| add(Field::optional(name))),
        query_id: columns.query_id.as_deref().map(|name| add(Field::optional(name))),
        dwell_seconds: columns.dwell_seconds.as_deref().map(|name| add(Field::optional(name))),
        shown_at: columns.shown_at.as_deref().map(|name| add(Field::optional(name))),
        title: columns.title.as_deref().map(|name| add(Field::optional(name))),
        summary: columns.summary.as_deref().map(|name| add(Field::optional(name))),
    };
    (places, fields)
}

/// The log's files and wanted fields.
pub(crate) fn source(files: Vec<RawFile>, layout: Layout, columns: &LogColumns) -> Source {
    let (_, fields) = places(columns);
    Source { what: "log", files, layout, fields }
}

/// Reads the log. Rows of documents that `documents` does not have are rejected, unless the rows carry them.
///
/// # Errors
/// As [`Source::read`].
pub(crate) fn read(
    source: &Source,
    config: &IngestConfig,
    documents: &mut Documents,
    queries: &mut Queries,
) -> Result<(Log, RecordCounts)> {
    let (places, _) = places(&config.log.columns);
    let mut reader = Reader { config, places, documents, queries, log: Log::default() };
    let counts =
        source.read(RejectLimits::of(&config.clean), |file, line, values| reader.take(file as u32, line, values))?;
    Ok((reader.log, counts))
}

struct Reader<'a> {
    config: &'a IngestConfig,
    places: Places,
    documents: &'a mut Documents,
    queries: &'a mut Queries,
    log: Log,
}

impl Reader<'_> {
    fn take(&mut self, file: u32, line: u64, values: &Values) -> Result<(), Reason> {
        let places = &self.places;
        let given = |at: usize| values.get(at).and_then(|value| value.as_deref());
        let optional = |at: Option<usize>| at.and_then(given);
        let text = |at| given(at).unwrap_or_default();

        let position = value::position(text(places.position), self.config.log.first_position)?;
        let clicked = value::clicked(text(places.clicked))?;
        let dwell_seconds = optional(places.dwell_seconds).map(value::dwell_seconds).transpose()?;
        let shown_at = optional(places.shown_at).map(value::time).transpose()?;

        let query = self.queries.number(text(places.query)).ok_or(Reason::LeftOut("empty query"))?;
        if self.queries.text(query).chars().count() > self.config.clean.max_query_chars {
            return Err(Reason::LeftOut("query too long"));
        }
        let width = self.config.log.doc_id_width;
        let doc_id = format!("{:0>width$}", text(places.doc_id));
        let document = match places.title {
            Some(title) => {
                let summary = optional(places.summary).unwrap_or_default();
                self.documents.see(&doc_id, shown_at, text(title), summary)
            }
            None => {
                let unknown = Reason::LeftOut("document not in the document table");
                self.documents.ids.find(&doc_id).ok_or(unknown)?
            }
        };

        let log = &mut self.log;
        let session = optional(places.session_id).or(optional(places.search_id)).unwrap_or_default();
        let search = match optional(places.search_id) {
            Some(search) => log.searches.number(search),
            None => {
                let hash = self.queries.hash(query).id();
                log.searches.number(&format!("{session}/{hash}"))
            }
        };
        if let Some(id) = optional(places.query_id) {
            self.queries.note_id(query, id);
        }
        let threshold = self.config.clean.satisfied_dwell_seconds;
        let long = places.dwell_seconds.is_none() || dwell_seconds.is_some_and(|dwell| dwell >= threshold);
        log.file.push(file);
        log.line.push(line);
        log.search.push(search);
        log.session.push(log.sessions.number(session));
        log.user.push(optional(places.user_id).map(|user| log.users.number(user)));
        log.query.push(query);
        log.document.push(document);
        log.position.push(position);
        log.clicked.push(clicked);
        log.satisfied.push(clicked && long);
        log.dwell_seconds.push(dwell_seconds);
        log.shown_at.push(shown_at);
        Ok(())
    }
}
