//! The `[ingest.judgments]` table.

use std::collections::BTreeMap;

use records::{Dialect, RawFormat};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ingest::{IngestConfig, check_dialect};
use super::load::Checks;

/// The source of relevance grades.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgmentsConfig {
    /// File format; `clicks` derives grades from the log.
    pub format: JudgmentFormat,
    /// File patterns; none with `clicks` or `splits`.
    #[serde(default)]
    pub paths: Vec<String>,
    /// File patterns of each official split. The queries of a file are in its split; all other queries train.
    #[serde(default)]
    pub splits: SplitFiles,
    /// Query texts for judgments that refer to queries by id; without it, the judgments' query ids are those of the log.
    pub queries: Option<QueryFiles>,
    /// Grades from 0 to 4 by the grades as they are written, such as `{ "-2" = 0, "0.5" = 1 }`. Without an entry, a negative
    /// grade is 0.
    #[serde(default)]
    pub grade_map: BTreeMap<String, i32>,
    /// With `format = "csv"` or `"tsv"`: how the text is written.
    #[serde(default)]
    pub dialect: Dialect,
    /// With `format = "csv"` or `"tsv"`: field names.
    pub columns: Option<JudgmentColumns>,
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
    /// Comma-separated, with the fields of `columns`.
    Csv,
    /// Tab-separated, with the fields of `columns`.
    Tsv,
    /// Grades 0 to 4 derived from debiased click-through rates, without human judgments.
    Clicks,
}

/// Judgment files by the split of their queries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SplitFiles {
    /// Training queries.
    pub train: Vec<String>,
    /// Validation queries.
    pub validation: Vec<String>,
    /// Test queries.
    pub test: Vec<String>,
}

impl SplitFiles {
    /// True if no split has a file.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.train.is_empty() && self.validation.is_empty() && self.test.is_empty()
    }
}

/// Field names of delimited judgments.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JudgmentColumns {
    /// Query id, where the query is named by one.
    pub query_id: Option<String>,
    /// Query text, where the file holds it.
    pub query: Option<String>,
    /// Document id; without it, a hash of title and summary.
    pub doc_id: Option<String>,
    /// Title, where the file holds the judged documents.
    pub title: Option<String>,
    /// Summary, where the file holds the judged documents.
    pub summary: Option<String>,
    /// Grade.
    pub grade: String,
}

/// Files of query texts: the path of a BEIR file (JSON lines with `_id` and `text`), with `*` for several files, or a table such as
/// `{ paths = ["topics.tsv"], format = "tsv", dialect = { header = ["id", "text"] }, id = "id", text = "text" }`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a path with * for several files, or a table with paths, format, id and text")]
pub enum QueryFiles {
    /// JSON lines with `_id` and `text`.
    Beir(String),
    /// Any other file.
    Table(QueryTableConfig),
}

/// Files of query texts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryTableConfig {
    /// File patterns.
    pub paths: Vec<String>,
    /// File format.
    pub format: RawFormat,
    /// How delimited text is written.
    #[serde(default)]
    pub dialect: Dialect,
    /// Name of the id's field.
    pub id: String,
    /// Name of the text's field.
    pub text: String,
}

impl QueryFiles {
    /// The file patterns.
    #[must_use]
    pub fn paths(&self) -> &[String] {
        match self {
            QueryFiles::Beir(path) => std::slice::from_ref(path),
            QueryFiles::Table(table) => &table.paths,
        }
    }
}

impl JudgmentsConfig {
    /// True if the grades come from clicks.
    #[must_use]
    pub fn from_clicks(&self) -> bool {
        self.format == JudgmentFormat::Clicks
    }

    pub(super) fn check(&self, ingest: &IngestConfig, checks: &mut Checks) {
        let clicks = self.from_clicks();
        let given = !self.paths.is_empty() || !self.splits.is_empty();
        let expected = "files, here or in ingest.judgments.splits, or none for format `clicks`";
        checks.require(clicks != given, "ingest.judgments.paths", expected, &self.paths.len());
        let both = !self.paths.is_empty() && !self.splits.is_empty();
        checks.require(!both, "ingest.judgments.splits", "either this table or ingest.judgments.paths", &"both");
        let folds = !self.splits.is_empty() && ingest.split.folds.is_some();
        checks.require(!folds, "ingest.split.folds", "none beside ingest.judgments.splits", &"a number of folds");
        let trains = ingest.log.is_some() || !self.splits.train.is_empty() || !self.splits.validation.is_empty();
        let expected = "files, as validation takes a part of the training queries; or name all judgments in \
                        ingest.judgments.paths in place of splits, and cross-validate them: ingest.split.folds";
        let lacks = !self.splits.is_empty() && !trains && ingest.split.validation > 0.0;
        checks.require(!lacks, "ingest.judgments.splits.train", expected, &"none");
        let no_clicks = ingest.log.as_ref().is_none_or(|log| log.clicks_only);
        let expected = "judgment files beside a log of clicks alone, or no log";
        checks.require(!(clicks && no_clicks), "ingest.judgments.format", expected, &"clicks");
        let delimited = matches!(self.format, JudgmentFormat::Csv | JudgmentFormat::Tsv);
        let expected = "this table beside format `csv` or `tsv` alone";
        let found = if self.columns.is_some() { "a table" } else { "none" };
        checks.require(delimited == self.columns.is_some(), "ingest.judgments.columns", expected, &found);
        let format = if self.format == JudgmentFormat::Csv { RawFormat::Csv } else { RawFormat::Tsv };
        let format = if delimited { format } else { RawFormat::Jsonl };
        check_dialect(checks, "ingest.judgments", format, &self.dialect);
        for (name, &grade) in &self.grade_map {
            let key = format!("ingest.judgments.grade_map.{name}");
            checks.require((0..=4).contains(&grade), &key, "a grade from 0 to 4", &grade);
        }
        if let Some(columns) = &self.columns {
            let named = columns.query_id.is_some() || columns.query.is_some();
            checks.require(named, "ingest.judgments.columns", "query_id or query", &"neither");
            let told = columns.doc_id.is_some() || columns.title.is_some();
            checks.require(told, "ingest.judgments.columns", "doc_id or title", &"neither");
        }
        if let Some(queries) = &self.queries {
            check_query_files("ingest.judgments.queries", queries, checks);
        }
        if ingest.log.is_none() {
            let named = self.queries.is_some() || self.columns.as_ref().is_some_and(|columns| columns.query.is_some());
            checks.require(named, "ingest.judgments.queries", "query texts, as there is no log", &"none");
        }
    }
}

/// Refuses files of query texts that cannot be read, under the key `key`.
pub(super) fn check_query_files(key: &str, queries: &QueryFiles, checks: &mut Checks) {
    checks.at_least(&format!("{key}.paths"), queries.paths().len(), 1);
    if let QueryFiles::Table(table) = queries {
        check_dialect(checks, key, table.format, &table.dialect);
    }
}
