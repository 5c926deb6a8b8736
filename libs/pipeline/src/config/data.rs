//! The `[ingest]` table: where the raw files are and what their columns mean.

use records::{QuoteEscape, RawFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// The raw input files, how they are cleaned, and how queries are split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// The click log.
    pub log: LogConfig,
    /// The document files; left out where the log rows hold title and summary.
    pub documents: Option<DocumentsConfig>,
    /// The relevance judgments.
    pub judgments: JudgmentsConfig,
    /// Cleaning rules.
    #[serde(default)]
    pub clean: CleanConfig,
    /// Train, validation and test shares of the queries.
    #[serde(default)]
    pub split: SplitConfig,
}

/// The click log: one record per shown result.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// File patterns with `*` and `?`; `.gz` and `.zst` files are decompressed.
    pub paths: Vec<String>,
    /// File format.
    pub format: RawFormat,
    /// How a quote inside a quoted CSV field is escaped.
    #[serde(default)]
    pub escape: QuoteEscape,
    /// Field names.
    pub columns: LogColumns,
    /// Position of the first result in the log: 0 or 1.
    #[serde(default = "one")]
    pub first_position: i32,
    /// Document ids shorter than this are filled with leading zeros; 0 leaves them as they are.
    #[serde(default)]
    pub doc_id_width: usize,
}

/// Field names of the log; for Parquet, column names.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogColumns {
    /// Id of the search (one result page); without it, a search is one query within one session.
    pub search_id: Option<String>,
    /// Session id.
    pub session_id: Option<String>,
    /// User id.
    pub user_id: Option<String>,
    /// Query id; without it, a hash of the normalised query text.
    pub query_id: Option<String>,
    /// Query text.
    pub query: String,
    /// Id of the shown document.
    pub doc_id: String,
    /// Position of the document on the result page.
    pub position: String,
    /// True if the document was clicked: true/false, 1/0, t/f or yes/no.
    pub clicked: String,
    /// Seconds that the user stayed on the document.
    pub dwell_seconds: Option<String>,
    /// Time of the impression: RFC 3339 (UTC if no zone is given), seconds or milliseconds since 1970, or `/Date(ms)/`.
    pub shown_at: Option<String>,
    /// Title, where the log rows hold the documents.
    pub title: Option<String>,
    /// Summary, where the log rows hold the documents.
    pub summary: Option<String>,
}

/// A table of documents.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentsConfig {
    /// File patterns with `*` and `?`; `.gz` and `.zst` files are decompressed.
    pub paths: Vec<String>,
    /// File format.
    pub format: RawFormat,
    /// How a quote inside a quoted CSV field is escaped.
    #[serde(default)]
    pub escape: QuoteEscape,
    /// Field names.
    pub columns: DocumentColumns,
}

/// Field names of the document table.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentColumns {
    /// Document id.
    pub doc_id: String,
    /// Title.
    pub title: String,
    /// Fields joined by spaces into the summary; empty ones are skipped.
    pub summary: Vec<String>,
}

/// The source of relevance grades.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgmentsConfig {
    /// File format; `clicks` derives grades from the log.
    pub format: JudgmentFormat,
    /// File patterns; none with `clicks`.
    #[serde(default)]
    pub paths: Vec<String>,
    /// Query texts (BEIR queries.jsonl: `_id`, `text`) for judgments that refer to queries by
    /// id; without it, the judgments' query ids are those of the log.
    pub queries: Option<String>,
}

/// Format of judgment files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum JudgmentFormat {
    /// Tab-separated with the header `query-id corpus-id score`.
    Beir,
    /// TREC qrels: query, iteration, document and grade, separated by white space.
    Trec,
    /// Parquet with query_id, doc_id, grade.
    Parquet,
    /// Grades 0 to 4 derived from debiased click-through rates, without human judgments.
    Clicks,
}

/// Cleaning rules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CleanConfig {
    /// Shortest dwell time of a satisfied click, in seconds.
    pub satisfied_dwell_seconds: f64,
    /// Sessions with more searches than this are removed as robots.
    pub max_searches_per_session: usize,
    /// Sessions of at least 20 impressions with a higher click-through rate than this are removed as robots.
    pub max_session_click_rate: f64,
    /// Longest query, in characters; longer ones are removed.
    pub max_query_chars: usize,
    /// With `judgments.format = "clicks"`: impressions that a document needs for a grade.
    pub min_grade_impressions: usize,
    /// Largest share of malformed lines in the log and in the documents; lines removed for another reason (robots,
    /// duplicates) do not count. At 0 the first malformed line is an error.
    pub max_reject_fraction: f64,
    /// Treatment of lines with a NUL byte or invalid UTF-8.
    pub binary: BinaryLines,
}

/// What happens to a line with a NUL byte or text that is not UTF-8.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BinaryLines {
    /// An error: the file is likely damaged or not text.
    #[default]
    Error,
    /// Rejected as malformed.
    Reject,
}

/// Shares of the queries, assigned by a hash of the normalised text; the rest is the test split.
///
/// With `folds`, for cross-validation, the test split is one fold of the judged queries instead, and all other queries are
/// divided in the proportion of `train` to `validation`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitConfig {
    /// Share for training.
    pub train: f64,
    /// Share for validation.
    pub validation: f64,
    /// Number of folds of the judged queries: in the order of their ids (numbers by value), the n-th, counted from 1, is in
    /// fold n mod `folds`.
    pub folds: Option<usize>,
    /// The fold that is the test split, counted from 0.
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
