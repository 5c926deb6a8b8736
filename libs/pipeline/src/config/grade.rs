//! The table `[grade]`: which queries and documents a language model grades, and how.

use std::path::Path;

use remote::chat::GradeConfig;
use remote::pool::{Api, PoolConfig};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// Grades from 0 to 3 by a language model (UMBRELA, arXiv 2406.06519), as judgments of `[ingest.judgments]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GradingConfig {
    /// The servers that grade, with `api = "chat"`.
    pub servers: PoolConfig,
    /// What they are asked.
    #[serde(default)]
    pub prompt: GradeConfig,
    /// The split whose queries are graded: `train`, `validation` or `test`.
    #[serde(default = "split")]
    pub split: String,
    /// Queries at most, drawn by `run.seed`; a larger number adds queries to those of a smaller one.
    #[serde(default = "queries")]
    pub queries: usize,
    /// Documents of each query at most, taken in turn from the sources of `from`.
    #[serde(default = "documents")]
    pub documents: usize,
    /// Where documents are taken from, each source once.
    #[serde(default = "from")]
    pub from: Vec<GradedSource>,
}

/// Where the documents to grade are taken from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GradedSource {
    /// Documents that are judged for the query, in random order: they tell the agreement.
    Judged,
    /// Documents that the logged search engine showed for it, most shown first.
    Shown,
    /// BM25's first documents.
    Bm25,
}

default_fn!(split: String = "test".into());
default_fn!(queries: usize = 50);
default_fn!(documents: usize = 20);
default_fn!(from: Vec<GradedSource> = vec![GradedSource::Judged, GradedSource::Shown, GradedSource::Bm25]);

impl GradingConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        let split = self.split.as_str();
        let is_split = ["train", "validation", "test"].contains(&split);
        checks.require(is_split, "grade.split", "train, validation or test", &split);
        checks.at_least("grade.queries", self.queries, 1);
        checks.at_least("grade.documents", self.documents, 1);
        let is_once = self.from.iter().enumerate().all(|(place, source)| !self.from[..place].contains(source));
        let expected = "one or more of judged, shown and bm25, each once";
        checks.require(!self.from.is_empty() && is_once, "grade.from", expected, &format!("{:?}", self.from));
        let template = self.prompt.template.as_deref().map(Path::to_string_lossy);
        checks.local("grade.prompt.template", &template.unwrap_or_default());
        let is_chat = self.servers.api == Api::Chat;
        checks.require(is_chat, "grade.servers.api", "chat, as servers of other APIs give no grades", &"another");
        if let Err(error) = self.servers.check() {
            checks.require(false, "grade.servers", "usable servers", &error);
        }
    }
}
