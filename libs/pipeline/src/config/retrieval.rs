//! The `[retrieval]` table.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::BaseModel;
use super::evaluate::Candidates;
use super::load::Checks;

/// How documents are found for a query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalConfig {
    /// A bi-encoder whose vectors find documents too: a sentence-transformers folder with mean pooling, or that of a plain
    /// encoder, or `hf:org/name[@revision]`. The stage `embed` then makes the vectors.
    pub dense: Option<BaseModel>,
    /// By what the documents that nobody judged are found: negatives of the rank losses, and lists to score.
    pub lists: Retriever,
}

impl Default for RetrievalConfig {
    fn default() -> RetrievalConfig {
        RetrievalConfig { dense: None, lists: Retriever::Bm25 }
    }
}

/// What finds documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retriever {
    /// BM25 over title and summary.
    Bm25,
    /// The cosine of the vectors of `retrieval.dense`.
    Dense,
    /// Both, by reciprocal rank fusion: the sum of 1 / (60 + rank) over the two first thousands (Cormack et al., SIGIR 2009).
    Fused,
}

impl fmt::Display for Retriever {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Retriever::Bm25 => "bm25",
            Retriever::Dense => "dense",
            Retriever::Fused => "fused",
        })
    }
}

impl RetrievalConfig {
    /// Checks the table, and that those who need vectors have them.
    pub(super) fn check(&self, candidates: Candidates, checks: &mut Checks) {
        let own = self.dense == Some(BaseModel::Teacher);
        checks.require(!own, "retrieval.dense", "a folder or hf:org/name[@revision]", &"teacher");
        self.check_can("retrieval.lists", self.lists, checks);
        if let Some(by) = candidates.retriever() {
            self.check_can("evaluate.candidates", by, checks);
        }
    }

    /// Checks that `by`, the value of `key`, has the vectors that it needs.
    pub(super) fn check_can(&self, key: &str, by: Retriever, checks: &mut Checks) {
        let found = format!("{by}, without the model retrieval.dense");
        let can = self.dense.is_some() || by == Retriever::Bm25;
        checks.require(can, key, "bm25, or retrieval.dense beside it", &found);
    }
}
