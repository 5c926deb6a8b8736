//! The `[ingest.log]` table: where the log's files are and what their fields mean.

use std::collections::BTreeMap;

use records::{Dialect, RawFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// The click log: one record per shown result, per result page or per event.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// File patterns with `*`, `?` and `[...]`; a path that exists as it is written is that file. Compression (gzip, zstd, bzip2,
    /// lz4) and UTF-16 are recognised by the first bytes. Empty files and files whose names start with `_` or `.` are skipped. Patterns
    /// of objects too, `s3://bucket/logs/*.csv.gz` or `gs://...`, which are fetched into a cache on this machine.
    pub paths: Vec<String>,
    /// File format.
    pub format: RawFormat,
    /// How delimited text is written.
    #[serde(default)]
    pub dialect: Dialect,
    /// Field names; left out beside `kinds`.
    #[serde(default)]
    pub columns: LogColumns,
    /// Kinds of records, where not all have the same fields, such as searches and later clicks; a record is of the first
    /// kind that it matches, and left out if it matches none.
    #[serde(default)]
    pub kinds: Vec<LogKind>,
    /// What the values of `columns.clicked` mean, such as `{ click = "clicked", impression = "shown", "*" = "ignored" }`;
    /// `*` stands for every other value, and an empty name for a missing one. By default true/false, 1/0, t/f and yes/no.
    #[serde(default)]
    pub clicked_values: BTreeMap<String, ClickedValue>,
    /// The log holds clicks alone: no rates and no grades are made from it, and the clicked documents serve the continued
    /// pre-training.
    #[serde(default)]
    pub clicks_only: bool,
    /// Position of the first result in the log: 0 or 1.
    #[serde(default = "one")]
    pub first_position: i32,
    /// Document ids shorter than this are filled with leading zeros, in the log, the documents and the judgments; 0 leaves
    /// them as they are.
    #[serde(default)]
    pub doc_id_width: usize,
    /// The two characters around each query that are no part of it, such as `[]`.
    pub query_enclosure: Option<String>,
    /// The character that ends the id in an item of `columns.shown`: `:` in `123:0.91`, or `,` in fields such as `123,45`.
    pub shown_id_end: Option<char>,
    /// How times are written.
    #[serde(default)]
    pub time: TimeConfig,
    /// Unit of the dwell times. Without it, seconds, and a log whose median is over 1000 is refused.
    pub dwell_unit: Option<DwellUnit>,
    /// Without `columns.search_id`, rows of one query in one session belong to one search until nothing was shown or clicked
    /// for so many minutes.
    #[serde(default = "session_gap_minutes")]
    pub session_gap_minutes: f64,
}

default_fn!(one: i32 = 1);
default_fn!(session_gap_minutes: f64 = 30.0);

/// Names of a record's fields; `a.b.c` is field `c` of field `b` of field `a`, unless a field has that very name. Fields of
/// text without a header have the numbers `1`, `2` and so on, or the names of `dialect.header`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LogColumns {
    /// Id of the search (one result page); an id counts within its session and query. Without it, a search is one query
    /// within one session, as `session_gap_minutes` has it.
    pub search_id: Option<String>,
    /// Session id.
    pub session_id: Option<String>,
    /// User id; stands in for a missing session id.
    pub user_id: Option<String>,
    /// Query id; without it, a hash of the normalised query text.
    pub query_id: Option<String>,
    /// Query text.
    pub query: Option<String>,
    /// Id of the shown or clicked document.
    pub doc_id: Option<String>,
    /// Position of the document on the result page, counted on from page to page; with `shown`, that of its first document.
    pub position: Option<String>,
    /// Whether the document was clicked, read as `clicked_values` has it.
    pub clicked: Option<String>,
    /// The shown documents of a whole page, in their order: a list, or text with white space, commas or semicolons between the
    /// ids. In a record of clicks that maps no `doc_id`, the clicked documents. An id that ends in `-0` or `-1` says so whether it was clicked if `shown_marks_clicks` is set.
    pub shown: Option<String>,
    /// Each item of `shown` ends in `-1` if it was clicked, else in `-0`.
    pub shown_marks_clicks: bool,
    /// Time that the user stayed on the document, in `dwell_unit`.
    pub dwell_seconds: Option<String>,
    /// Time of the event, written as `time` has it.
    pub shown_at: Option<String>,
    /// Title, where the log rows hold the documents.
    pub title: Option<String>,
    /// Summary, where the log rows hold the documents.
    pub summary: Option<String>,
}

/// Records of one kind, and the names of their fields.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogKind {
    /// The field that tells the kind; a record without a value there is of another kind.
    pub when_column: Option<String>,
    /// The values of that field, in any case, `1.0` being `1`; any value if empty.
    #[serde(default)]
    pub when_values: Vec<String>,
    /// The number of fields of delimited text that tells the kind.
    pub when_fields: Option<usize>,
    /// Whether documents of such records were clicked, where no field says so.
    pub clicked: Option<bool>,
    /// Each such record opens a group: its values hold for the following records of the file, up to the next one.
    #[serde(default)]
    pub opens: bool,
    /// Field names; those of `ingest.log.columns` do not hold for this kind.
    pub columns: LogColumns,
}

/// The meaning of a value of `columns.clicked`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClickedValue {
    /// The document was clicked.
    Clicked,
    /// The document was shown.
    Shown,
    /// Another event, left out.
    Ignored,
}

/// How times are written. By default RFC 3339, RFC 2822, ISO 8601 and their usual variants, `/Date(ms)/`, and numbers since 1970
/// whose size tells the unit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TimeConfig {
    /// A format as `strptime` has it, such as `%d/%b/%Y:%H:%M:%S %z`.
    pub format: Option<String>,
    /// Unit of numbers since 1970.
    pub unit: Option<TimeUnit>,
    /// Time zone of times without one: a name such as `Europe/Paris`, or an offset such as `+02:00`; UTC by default.
    pub zone: Option<String>,
}

/// Unit of a number since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
    /// Microseconds.
    Us,
    /// Nanoseconds.
    Ns,
}

/// Unit of dwell times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DwellUnit {
    /// Seconds.
    S,
    /// Milliseconds.
    Ms,
}

/// The two characters of `ingest.log.query_enclosure`.
#[must_use]
pub fn enclosure(marks: &str) -> Option<(char, char)> {
    let mut marks = marks.chars();
    let pair = (marks.next()?, marks.next()?);
    marks.next().is_none().then_some(pair)
}

impl LogConfig {
    /// The columns of every kind of record.
    pub fn all_columns(&self) -> impl Iterator<Item = &LogColumns> {
        let kinds = self.kinds.iter().map(|kind| &kind.columns);
        std::iter::once(&self.columns).filter(|_| self.kinds.is_empty()).chain(kinds)
    }

    /// True if the records hold the documents' texts.
    #[must_use]
    pub fn holds_documents(&self) -> bool {
        self.all_columns().any(|columns| columns.title.is_some())
    }

    pub(super) fn check(&self, checks: &mut Checks) {
        checks.at_least("ingest.log.paths", self.paths.len(), 1);
        let first = self.first_position;
        checks.require((0..=1).contains(&first), "ingest.log.first_position", "0 or 1", &first);
        checks.positive("ingest.log.session_gap_minutes", self.session_gap_minutes);
        super::ingest::check_dialect(checks, "ingest.log", self.format, &self.dialect);
        if let Some(marks) = &self.query_enclosure {
            checks.require(enclosure(marks).is_some(), "ingest.log.query_enclosure", "two characters", marks);
        }
        let key = if self.kinds.is_empty() { "ingest.log.columns" } else { "ingest.log.kinds" };
        let any = |has: fn(&LogColumns) -> bool| self.all_columns().any(has);
        let id = any(|c| c.search_id.is_some() || c.session_id.is_some() || c.user_id.is_some());
        // The records that one opens are a search.
        let id = id || self.kinds.iter().any(|kind| kind.opens);
        checks.require(id, key, "search_id, session_id or user_id", &"none of them");
        checks.require(any(|c| c.query.is_some()), key, "query", &"none");
        checks.require(any(|c| c.doc_id.is_some() || c.shown.is_some()), key, "doc_id or shown", &"neither");
        let placed = self.clicks_only || any(|c| c.position.is_some() || c.shown.is_some());
        checks.require(placed, key, "position or shown, or ingest.log.clicks_only", &"none of them");
        let flagged = any(|c| c.clicked.is_some() || c.shown_marks_clicks);
        let told = self.clicks_only || flagged || self.kinds.iter().any(|kind| kind.clicked.is_some());
        checks.require(told, key, "clicked, or ingest.log.clicks_only", &"neither");
        for kind in &self.kinds {
            let told = kind.when_column.is_some() || kind.when_fields.is_some();
            checks.require(told, "ingest.log.kinds", "when_column or when_fields in each kind", &"neither");
        }
    }
}
