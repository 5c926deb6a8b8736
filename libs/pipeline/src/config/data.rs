//! The `[ingest]` table: where the raw files are and what their columns mean.

use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// Raw files to tables.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// The click log.
    pub log: LogConfig,
    /// The documents, where the log rows do not carry them.
    pub documents: Option<DocumentsConfig>,
    /// The graded judgments.
    pub judgments: JudgmentsConfig,
    /// What is left out, and what counts as satisfied.
    #[serde(default)]
    pub clean: CleanConfig,
    /// Shares of the queries.
    #[serde(default)]
    pub split: SplitConfig,
}

/// The click log: one record per shown result.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// Files, with `*` and `?`; `.gz` and `.zst` are unpacked.
    pub paths: Vec<String>,
    /// How records are written.
    pub format: RawFormat,
    /// How a quote inside a quoted CSV field is written.
    #[serde(default)]
    pub escape: QuoteEscape,
    /// Which field is which.
    pub columns: LogColumns,
    /// Position of the first result in the log: 0 or 1.
    #[serde(default = "one")]
    pub first_position: i32,
    /// Document ids shorter than this are filled with leading zeros; 0 leaves them as they are.
    #[serde(default)]
    pub doc_id_width: usize,
}

/// Field names of the log; for Parquet, column names.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogColumns {
    /// One answered search. Without it a search is one query within one session.
    pub search_id: Option<String>,
    /// The visit.
    pub session_id: Option<String>,
    /// The visitor.
    pub user_id: Option<String>,
    /// The source's query id; without it a hash of the normalised text.
    pub query_id: Option<String>,
    /// Query text.
    pub query: String,
    /// The shown document.
    pub doc_id: String,
    /// Its place on the page.
    pub position: String,
    /// Whether it was clicked: true/false, 1/0, t/f, yes/no.
    pub clicked: String,
    /// Seconds on the document.
    pub dwell_seconds: Option<String>,
    /// RFC 3339 time (UTC where it names no zone), a number of seconds or milliseconds since 1970, or `/Date(ms)/`.
    pub shown_at: Option<String>,
    /// Title, where the log rows carry the documents.
    pub title: Option<String>,
    /// Summary, where the log rows carry the documents.
    pub summary: Option<String>,
}

/// A table of documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentsConfig {
    /// Files, with `*` and `?`; `.gz` and `.zst` are unpacked.
    pub paths: Vec<String>,
    /// How records are written.
    pub format: RawFormat,
    /// How a quote inside a quoted CSV field is written.
    #[serde(default)]
    pub escape: QuoteEscape,
    /// Which field is which.
    pub columns: DocumentColumns,
}

/// Field names of the document table.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DocumentColumns {
    /// The document.
    pub doc_id: String,
    /// Title.
    pub title: String,
    /// Fields joined by a space into the summary; empty ones are passed over.
    pub summary: Vec<String>,
}

/// How raw records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RawFormat {
    /// One JSON object a line.
    Jsonl,
    /// Comma-separated, quoted where needed, with a header.
    Csv,
    /// Tab-separated with a header; a quote is an ordinary character.
    Tsv,
    /// Parquet.
    Parquet,
}

/// How a quote inside a quoted CSV field is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuoteEscape {
    /// Twice, as RFC 4180 has it.
    #[default]
    Double,
    /// Twice or after a backslash; a backslash stands for the character that follows it.
    Backslash,
}

/// Where grades come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JudgmentsConfig {
    /// How judgments are written; `clicks` derives grades from the log.
    pub format: JudgmentFormat,
    /// Files; none for `clicks`.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Query texts (BEIR queries.jsonl: `_id`, `text`) for judgments that name queries by id; without it the judgments'
    /// query ids are the log's.
    pub queries: Option<String>,
}

/// How judgments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JudgmentFormat {
    /// Tab-separated with the header `query-id corpus-id score`.
    Beir,
    /// TREC qrels: query, iteration, document, grade, by white space.
    Trec,
    /// Parquet with query_id, doc_id, grade.
    Parquet,
    /// Grades 0-4 derived from the debiased click-through rates, where nobody judged.
    Clicks,
}

/// What is left out, and what counts as satisfied.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CleanConfig {
    /// A click is satisfied from this dwell time on, in seconds.
    pub satisfied_dwell_seconds: f64,
    /// Sessions with more searches than this are robots.
    pub max_searches_per_session: usize,
    /// Sessions of at least 20 shown results with a larger share of them clicked are robots.
    pub max_session_click_rate: f64,
    /// Longer queries are left out, in characters.
    pub max_query_chars: usize,
    /// Grades from clicks: a document needs this many impressions for its query.
    pub min_grade_impressions: usize,
    /// Share of the lines of the log, and of the documents, that may be malformed; what is left out for another reason
    /// (a robot, a duplicate) does not count. At 0 the first malformed line is an error.
    pub max_reject_fraction: f64,
    /// What happens to a line with a NUL byte or text that is not UTF-8.
    pub binary: BinaryLines,
}

/// What happens to a line with a NUL byte or text that is not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BinaryLines {
    /// It is an error: the file is likely damaged, or not text.
    #[default]
    Error,
    /// It is left out as malformed.
    Reject,
}

/// Shares of the queries, by a hash of the normalised text; test takes the rest.
///
/// With `folds`, for cross-validation, test takes one fold of the judged queries instead, and the other queries, judged
/// or not, are shared out in the proportion of `train` to `validation`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share for training.
    pub train: f64,
    /// Share for validation.
    pub validation: f64,
    /// Folds the judged queries are dealt into: in the order of their ids, numbers by value, the n-th (from 1) goes to fold
    /// n mod `folds`. Queries that are numbered from 1 so fall into the fold of their id mod `folds`.
    pub folds: Option<usize>,
    /// The fold that is the test split, from 0.
    pub test_fold: usize,
}

default_fn!(one: i32 = 1);

impl Default for CleanConfig {
    fn default() -> Self {
        CleanConfig {
            satisfied_dwell_seconds: 30.0,
            max_searches_per_session: 100,
            max_session_click_rate: 0.8,
            max_query_chars: 200,
            min_grade_impressions: 10,
            max_reject_fraction: 0.01,
            binary: BinaryLines::Error,
        }
    }
}

impl Default for SplitConfig {
    fn default() -> Self {
        SplitConfig { train: 0.6, validation: 0.1, folds: None, test_fold: 0 }
    }
}

impl IngestConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        let log = &self.log;
        checks.at_least("ingest.log.paths", log.paths.len(), 1);
        let first = log.first_position;
        checks.require((0..=1).contains(&first), "ingest.log.first_position", "0 or 1", &first);
        check_escape(checks, "ingest.log.escape", log.format, log.escape);
        if let Some(documents) = &self.documents {
            let key = "ingest.documents.escape";
            check_escape(checks, key, documents.format, documents.escape);
        }
        let carried = log.columns.title.is_some();
        checks.require(
            carried != self.documents.is_some(),
            "ingest.documents",
            "either this table or ingest.log.columns.title",
            &if carried { "both" } else { "neither" },
        );
        let session = log.columns.search_id.is_some() || log.columns.session_id.is_some();
        checks.require(session, "ingest.log.columns", "search_id or session_id", &"neither");
        let derived = self.judgments.format == JudgmentFormat::Clicks;
        checks.require(
            derived == self.judgments.paths.is_empty(),
            "ingest.judgments.paths",
            "files, or none for format `clicks`",
            &self.judgments.paths.len(),
        );
        checks.positive("ingest.clean.satisfied_dwell_seconds", self.clean.satisfied_dwell_seconds);
        checks.at_least("ingest.clean.max_searches_per_session", self.clean.max_searches_per_session, 1);
        checks.fraction("ingest.clean.max_session_click_rate", self.clean.max_session_click_rate);
        checks.at_least("ingest.clean.max_query_chars", self.clean.max_query_chars, 1);
        checks.at_least("ingest.clean.min_grade_impressions", self.clean.min_grade_impressions, 1);
        checks.fraction("ingest.clean.max_reject_fraction", self.clean.max_reject_fraction);
        self.split.check(checks);
    }
}

impl SplitConfig {
    fn check(&self, checks: &mut Checks) {
        checks.fraction("ingest.split.train", self.train);
        checks.fraction("ingest.split.validation", self.validation);
        let sum = self.train + self.validation;
        checks.require(sum < 1.0, "ingest.split", "train + validation below 1, the rest is test", &sum);
        if let Some(folds) = self.folds {
            checks.at_least("ingest.split.folds", folds, 2);
            checks.require(self.train > 0.0, "ingest.split.train", "a share above 0 beside folds", &self.train);
        }
        let folds = self.folds.unwrap_or(1);
        let expected = format!("a fold below {folds}");
        checks.require(self.test_fold < folds, "ingest.split.test_fold", &expected, &self.test_fold);
    }
}

fn check_escape(checks: &mut Checks, key: &str, format: RawFormat, escape: QuoteEscape) {
    checks.require(
        format == RawFormat::Csv || escape == QuoteEscape::Double,
        key,
        "format `csv` for `backslash`",
        &"another format",
    );
}
