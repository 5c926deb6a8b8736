//! The `[ingest]` table: where the raw files are, what their columns mean, and how they are cleaned.

use analysis::AnalyzerName;
use records::{Dialect, QuoteEscape, RawFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::judgments::{JudgmentsConfig, QueryFiles, check_query_files};
use super::load::Checks;
use super::log::LogConfig;
use super::split::SplitConfig;

/// The raw input files, how they are cleaned, and how queries are split.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IngestConfig {
    /// Mappings of a public format, which the other keys of `[ingest]` complete and override: `ubi`, `baidu-ultr`, `tripclick`,
    /// `sogou`, `yandex`, `orcas`, `msmarco`, `msmarco-docs` or `mind`.
    pub preset: Option<String>,
    /// Memory for the log's rows, such as `"1GiB"`; the rest waits on disk. Half of the machine's memory by default. The
    /// texts of distinct queries and the ids of documents stay in memory beside it.
    pub memory_limit: Option<MemorySize>,
    /// How texts become the tokens of BM25, in every stage: `unicode` for all languages, or a language, whose words are then
    /// stemmed and whose stop words are left out; `whitespace` for texts of token ids. In `unicode`, a single Chinese or Japanese
    /// character finds itself only where it stands alone.
    #[serde(default)]
    pub analyzer: AnalyzerName,
    /// The click log; left out for a collection without one.
    pub log: Option<LogConfig>,
    /// The document files; left out where the log rows hold title and summary.
    pub documents: Option<DocumentsConfig>,
    /// The query texts of a collection without a log and without judgments, written as `ingest.judgments.queries`.
    pub queries: Option<QueryFiles>,
    /// The relevance judgments; left out where a teacher that exists is all there is to learn from and to be measured by.
    pub judgments: Option<JudgmentsConfig>,
    /// Cleaning rules.
    #[serde(default)]
    pub clean: CleanConfig,
    /// How clicks are freed from the position of the results.
    #[serde(default)]
    pub debias: DebiasConfig,
    /// What is kept about users.
    #[serde(default)]
    pub privacy: PrivacyConfig,
    /// Train, validation and test shares of the queries.
    #[serde(default)]
    pub split: SplitConfig,
}

/// A number of bytes, written with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MemorySize {
    /// The number of bytes.
    pub bytes: u64,
}

const UNITS: [(&str, u64); 6] =
    [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("KB", 1_000), ("MB", 1_000_000), ("GB", 1_000_000_000)];

impl TryFrom<String> for MemorySize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let parsed = UNITS.iter().find_map(|(unit, bytes)| {
            let number: f64 = text.trim().strip_suffix(unit)?.trim().parse().ok()?;
            (number.is_finite() && number > 0.0).then_some((number * *bytes as f64) as u64)
        });
        let bytes = parsed.ok_or_else(|| format!("expected a size such as `1GiB` or `512MiB`, found `{text}`"))?;
        Ok(MemorySize { bytes })
    }
}

impl From<MemorySize> for String {
    fn from(size: MemorySize) -> String {
        let whole = UNITS[..3].iter().rev().find(|(_, bytes)| size.bytes.is_multiple_of(*bytes));
        match whole {
            Some((unit, bytes)) => format!("{}{unit}", size.bytes / bytes),
            None => format!("{}KB", size.bytes as f64 / 1000.0),
        }
    }
}

/// A table of documents.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentsConfig {
    /// File patterns, as in `ingest.log.paths`.
    pub paths: Vec<String>,
    /// File format.
    pub format: RawFormat,
    /// How delimited text is written.
    #[serde(default)]
    pub dialect: Dialect,
    /// Field names.
    pub columns: DocumentColumns,
    /// Which record of a document is kept, of several with its id and other texts.
    #[serde(default, skip_serializing_if = "RepeatedDocument::is_default")]
    pub repeated: RepeatedDocument,
}

/// Which record of a document is kept, of several with its id and other texts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RepeatedDocument {
    /// The first in byte-wise order of title and summary, those with empty texts last: the same one in whatever order the
    /// records stand.
    #[default]
    FirstText,
    /// The last one, by the paths of the files and then by line, as in a catalogue whose updates follow what they update.
    Last,
}

impl RepeatedDocument {
    fn is_default(&self) -> bool {
        *self == RepeatedDocument::default()
    }
}

/// Field names of the document table, written as those of the log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentColumns {
    /// Document id.
    pub doc_id: String,
    /// Title.
    pub title: Option<String>,
    /// Fields joined by spaces into the summary; empty ones are skipped, and the items of a list are joined too.
    #[serde(default)]
    pub summary: Vec<String>,
}

/// Cleaning rules.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct CleanConfig {
    /// Values that stand for a missing one, in every field of every file.
    pub null_values: Vec<String>,
    /// Shortest dwell time of a satisfied click, in seconds.
    pub satisfied_dwell_seconds: f64,
    /// Sessions with more searches than this are removed as robots.
    pub max_searches_per_session: usize,
    /// Sessions of at least 20 impressions with a higher click-through rate than this are removed as robots.
    pub max_session_click_rate: f64,
    /// Longest query of the log, in characters as readers count them (grapheme clusters); longer ones are removed.
    pub max_query_chars: usize,
    /// With `judgments.format = "clicks"`: impressions that a document needs for a grade.
    pub min_grade_impressions: usize,
    /// Largest share of malformed lines in the log and in the documents; lines removed for another reason (robots,
    /// duplicates) do not count. At 0 the first malformed line is an error.
    pub max_reject_fraction: f64,
    /// Largest share of an optional column's values, such as times and dwell times, that cannot be read. Such a value is
    /// dropped and counted, and its row stays.
    pub max_bad_value_fraction: f64,
    /// Largest share of the log's rows that is lost, for whatever reason; rows merged into another are not lost.
    pub max_lost_fraction: f64,
    /// Largest share of the log's clicks that is lost, for whatever reason.
    pub max_lost_click_fraction: f64,
    /// Largest share of the log's rows in one session; a log of at least 30 rows that exceeds it is refused.
    pub max_session_fraction: f64,
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

/// How the probability that a position is examined is found.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DebiasConfig {
    /// The method.
    pub method: DebiasMethod,
    /// With `method = "file"`: a CSV file with the columns `position` (from 1) and `propensity`.
    pub path: Option<String>,
}

/// A way to find examination probabilities.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DebiasMethod {
    /// The most likely values of the position-based model, given how often each document of a query was clicked in all.
    #[default]
    Likelihood,
    /// Intervention harvesting: documents that the same query has at several positions.
    Harvest,
    /// Read from a file.
    File,
}

/// What is kept about users.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PrivacyConfig {
    /// How user ids are kept.
    pub user_ids: UserIds,
    /// Queries seen from fewer users than this are left out; 0 keeps all.
    pub min_query_users: usize,
}

/// How user ids are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserIds {
    /// As a keyed hash (HMAC-SHA-256); the key is the environment variable DISRANKER_USER_KEY. Without a key, not kept.
    #[default]
    Hashed,
    /// As the log has them.
    Plain,
    /// Not kept.
    Dropped,
}

impl Default for CleanConfig {
    fn default() -> Self {
        let nulls = ["", "\\N", "NULL", "null", "NA", "N/A", "NaN", "nan", "NaT", "None", "-"];
        let nulls = nulls.into_iter().chain(["00000000-0000-0000-0000-000000000000"]);
        CleanConfig {
            null_values: nulls.map(String::from).collect(),
            satisfied_dwell_seconds: 30.0,
            max_searches_per_session: 100,
            max_session_click_rate: 0.8,
            max_query_chars: 200,
            min_grade_impressions: 10,
            max_reject_fraction: 0.01,
            max_bad_value_fraction: 0.1,
            max_lost_fraction: 0.2,
            max_lost_click_fraction: 0.2,
            max_session_fraction: 0.5,
            binary: BinaryLines::Error,
        }
    }
}

impl IngestConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        if let Some(log) = &self.log {
            log.check(checks);
        }
        if let Some(documents) = &self.documents {
            checks.at_least("ingest.documents.paths", documents.paths.len(), 1);
            check_dialect(checks, "ingest.documents", documents.format, &documents.dialect);
        }
        let carried = self.log.as_ref().is_some_and(LogConfig::holds_documents);
        checks.require(
            carried != self.documents.is_some(),
            "ingest.documents",
            "either this table or ingest.log.columns.title",
            &if carried { "both" } else { "neither" },
        );
        match &self.judgments {
            Some(judgments) => judgments.check(self, checks),
            None => self.check_without_judgments(checks),
        }
        let alone = self.log.is_none() && self.judgments.is_none();
        let expected = "query texts without a log and without ingest.judgments, and none beside one of these";
        let found = if self.queries.is_some() { "some" } else { "none" };
        checks.require(alone == self.queries.is_some(), "ingest.queries", expected, &found);
        self.clean.check(checks);
        let file = self.debias.method == DebiasMethod::File;
        let expected = "a file beside method = \"file\" alone";
        let found = self.debias.path.as_deref().unwrap_or("none");
        checks.require(file == self.debias.path.is_some(), "ingest.debias.path", expected, &found);
        self.split.check(checks);
    }
}

impl IngestConfig {
    /// The files of query texts, and the key that names them.
    #[must_use]
    pub fn query_files(&self) -> (&'static str, Option<&QueryFiles>) {
        match &self.judgments {
            Some(judgments) => ("ingest.judgments.queries", judgments.queries.as_ref()),
            None => ("ingest.queries", self.queries.as_ref()),
        }
    }

    /// True if the grades come from clicks.
    #[must_use]
    pub fn grades_from_clicks(&self) -> bool {
        self.judgments.as_ref().is_some_and(JudgmentsConfig::from_clicks)
    }

    fn check_without_judgments(&self, checks: &mut Checks) {
        let folds = self.split.folds.is_some();
        checks.require(!folds, "ingest.split.folds", "none without ingest.judgments", &"a number of folds");
        if let Some(queries) = &self.queries {
            check_query_files("ingest.queries", queries, checks);
        }
    }
}

impl CleanConfig {
    fn check(&self, checks: &mut Checks) {
        checks.positive("ingest.clean.satisfied_dwell_seconds", self.satisfied_dwell_seconds);
        checks.at_least("ingest.clean.max_searches_per_session", self.max_searches_per_session, 1);
        checks.fraction("ingest.clean.max_session_click_rate", self.max_session_click_rate);
        checks.at_least("ingest.clean.max_query_chars", self.max_query_chars, 1);
        checks.at_least("ingest.clean.min_grade_impressions", self.min_grade_impressions, 1);
        checks.fraction("ingest.clean.max_reject_fraction", self.max_reject_fraction);
        checks.fraction("ingest.clean.max_bad_value_fraction", self.max_bad_value_fraction);
        checks.fraction("ingest.clean.max_lost_fraction", self.max_lost_fraction);
        checks.fraction("ingest.clean.max_lost_click_fraction", self.max_lost_click_fraction);
        checks.fraction("ingest.clean.max_session_fraction", self.max_session_fraction);
    }
}

/// Refuses a dialect beside a format that has none.
pub(super) fn check_dialect(checks: &mut Checks, table: &str, format: RawFormat, dialect: &Dialect) {
    let delimited = matches!(format, RawFormat::Csv | RawFormat::Tsv);
    let plain = *dialect == Dialect::default();
    let key = format!("{table}.dialect");
    checks.require(delimited || plain, &key, "none beside a format other than `csv` and `tsv`", &"some keys");
    let backslash = dialect.escape == QuoteEscape::Backslash;
    let expected = "`double` beside format `tsv` without a quote";
    let quoted = format == RawFormat::Csv || dialect.quote.is_some();
    checks.require(!backslash || quoted, &format!("{key}.escape"), expected, &"backslash");
    for (name, value) in [("delimiter", dialect.delimiter), ("quote", dialect.quote), ("comment", dialect.comment)] {
        let key = format!("{key}.{name}");
        let found = value.map(String::from).unwrap_or_default();
        checks.require(value.is_none_or(|c| c.is_ascii() && c != '\n'), &key, "one ASCII character", &found);
    }
}
