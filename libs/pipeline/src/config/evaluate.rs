//! The `[evaluate]` table.

use serde::{Deserialize, Serialize};

use super::load::Checks;
use super::run::{RUN_NAME, is_run_name};

/// Metrics and the report.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Which documents every system ranks for a test query.
    pub candidates: Candidates,
    /// Documents taken from BM25 for `candidates = "bm25"`.
    pub depth: usize,
    /// Adds, for each model, the system `<model>+bm25`: `w * model + (1 - w) * bm25` of scores standardised query by query,
    /// with the weight w in 0, 0.05, ..., 1 that is best by NDCG@10 on the validation split; where runs are pooled, on the
    /// test queries of the other runs.
    pub interpolate: bool,
    /// Runs of the same root, such as the folds of a cross-validation, whose test queries are evaluated as one set with
    /// what those runs' systems answered; no other stage of this run is needed. They must test different queries.
    pub pool: Vec<String>,
    /// Gain of a grade in NDCG.
    pub gain: Gain,
    /// Order of documents with equal scores.
    pub ties: Ties,
    /// NDCG of a query without a relevant document.
    pub no_relevant: NoRelevant,
    /// Bootstrap resamples for confidence intervals.
    pub bootstrap: usize,
    /// Random sign flips of the paired test.
    pub permutations: usize,
}

/// Which documents every system ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// The judged documents of the query.
    Judged,
    /// The first `depth` documents of BM25 over the whole collection; an unjudged one counts as grade 0.
    Bm25,
}

/// Gain of a grade g.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gain {
    /// 2^g - 1.
    Exponential,
    /// g.
    Linear,
}

/// Order of documents with equal scores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ties {
    /// By document id, descending, as `trec_eval` does.
    DocIdDescending,
    /// As the system listed them.
    Stable,
}

/// NDCG of a query without a relevant document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoRelevant {
    /// The query does not count.
    Skip,
    /// 0, as `trec_eval`.
    Zero,
    /// 1, as `LightGBM`.
    One,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        EvaluateConfig {
            candidates: Candidates::Judged,
            depth: 50,
            interpolate: false,
            pool: Vec::new(),
            gain: Gain::Exponential,
            ties: Ties::DocIdDescending,
            no_relevant: NoRelevant::Skip,
            bootstrap: 2_000,
            permutations: 10_000,
        }
    }
}

impl EvaluateConfig {
    /// Checks the table of the run `own_name`.
    pub(super) fn check(&self, own_name: &str, checks: &mut Checks) {
        for name in &self.pool {
            let expected = format!("{RUN_NAME}, of other runs than {own_name}");
            checks.require(is_run_name(name) && name != own_name, "evaluate.pool", &expected, name);
        }
        checks.at_least("evaluate.depth", self.depth, 2);
        checks.at_least("evaluate.bootstrap", self.bootstrap, 100);
        checks.at_least("evaluate.permutations", self.permutations, 100);
    }
}
