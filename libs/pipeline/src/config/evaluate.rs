//! The `[evaluate]` table.

use ranking::metrics::{Conventions, Gain, Metric, NoRelevant, Ties, Unjudged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;
use super::retrieval::Retriever;
use super::run::{RUN_NAME, is_run_name};

/// Metrics and the report.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// The metrics that are reported, in this order. Each but pnr, which is pooled over the queries, is a mean over the
    /// queries; by those, systems are compared in pairs. Without `ingest.judgments`, this and the other keys about grades do not
    /// apply: `kendall_tau` and `teacher_ndcg@10` measure how near each system is to the teacher's order of the test queries.
    pub metrics: Vec<Metric>,
    /// The one of `metrics` that systems are compared by first, that a training validates by, and that `interpolate`
    /// chooses weights by; not pnr.
    pub primary: Metric,
    /// Which documents every system ranks for a test query. Without `ingest.judgments`, those that the teacher scored.
    pub candidates: Candidates,
    /// Documents of each query, where `candidates` are found in the collection.
    pub depth: usize,
    /// Adds, for each model, the system `<model>+bm25`: `w * model + (1 - w) * bm25` of scores standardised query by query,
    /// with the weight w in 0, 0.05, ..., 1 that is best by `primary` on the validation split; where runs are merged, on the
    /// test queries of the other runs.
    pub interpolate: bool,
    /// Runs of the same root, such as the folds of a cross-validation, whose test queries are evaluated as one set with
    /// what those runs' systems answered; no other stage of this run is needed. They must test different queries.
    pub merge_runs: Vec<String>,
    /// Gain of a grade in NDCG.
    pub gain: Gain,
    /// Order of documents with equal scores.
    pub ties: Ties,
    /// Value of a query without a relevant document.
    pub no_relevant: NoRelevant,
    /// Treatment of documents without a judgment.
    pub unjudged: Unjudged,
    /// Lowest relevant grade for the metrics of binary relevance, from 1 to 4.
    pub relevant_grade: u8,
    /// Highest grade of the judgments' scale, for err: from 1 to 4.
    pub max_grade: u8,
    /// Bootstrap resamples for confidence intervals.
    pub bootstrap: usize,
    /// Random sign flips of the paired test.
    pub permutations: usize,
}

/// Which documents every system ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Candidates {
    /// The judged documents of the query.
    Judged,
    /// The first `depth` documents of BM25 over the whole collection, judged or not.
    Bm25,
    /// The first `depth` documents by the vectors of `retrieval.dense`.
    Dense,
    /// The first `depth` documents by both.
    Fused,
}

impl Candidates {
    /// What finds them; `None` for judged documents, which are not looked for.
    #[must_use]
    pub fn retriever(self) -> Option<Retriever> {
        match self {
            Candidates::Judged => None,
            Candidates::Bm25 => Some(Retriever::Bm25),
            Candidates::Dense => Some(Retriever::Dense),
            Candidates::Fused => Some(Retriever::Fused),
        }
    }
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        let Conventions { gain, ties, no_relevant, unjudged, relevant_grade, max_grade } = Conventions::default();
        EvaluateConfig {
            metrics: Metric::REPORTED.to_vec(),
            primary: Metric::PRIMARY,
            candidates: Candidates::Judged,
            depth: 50,
            interpolate: false,
            merge_runs: Vec::new(),
            gain,
            ties,
            no_relevant,
            unjudged,
            relevant_grade,
            max_grade,
            bootstrap: 2_000,
            permutations: 10_000,
        }
    }
}

/// The part of `[evaluate]` that validation while training follows too.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Validation {
    /// As [`EvaluateConfig::candidates`].
    pub candidates: Candidates,
    /// As [`EvaluateConfig::depth`].
    pub depth: usize,
    /// As [`EvaluateConfig::primary`].
    pub metric: Metric,
    /// The conventions of the metric.
    pub conventions: Conventions,
}

impl EvaluateConfig {
    /// The conventions of the metrics.
    #[must_use]
    pub fn conventions(&self) -> Conventions {
        let EvaluateConfig { gain, ties, no_relevant, unjudged, relevant_grade, max_grade, .. } = *self;
        Conventions { gain, ties, no_relevant, unjudged, relevant_grade, max_grade }
    }

    /// How a training validates.
    #[must_use]
    pub fn validation(&self) -> Validation {
        let EvaluateConfig { candidates, depth, primary: metric, .. } = *self;
        Validation { candidates, depth, metric, conventions: self.conventions() }
    }

    /// Checks the table of the run `own_name`.
    pub(super) fn check(&self, own_name: &str, checks: &mut Checks) {
        for name in &self.merge_runs {
            let expected = format!("{RUN_NAME}, of other runs than {own_name}");
            checks.require(is_run_name(name) && name != own_name, "evaluate.merge_runs", &expected, name);
        }
        self.check_metrics(checks);
        checks.at_least("evaluate.depth", self.depth, 2);
        checks.at_least("evaluate.bootstrap", self.bootstrap, 100);
        checks.at_least("evaluate.permutations", self.permutations, 100);
    }

    /// Without judgments, systems are measured by the teacher's order alone, on what the teacher scored.
    pub(super) fn check_without_judgments(&self, checks: &mut Checks) {
        const NEED_JUDGMENTS: [&str; 11] = [
            "metrics",
            "primary",
            "candidates",
            "depth",
            "interpolate",
            "merge_runs",
            "gain",
            "no_relevant",
            "unjudged",
            "relevant_grade",
            "max_grade",
        ];
        let values = |config: &EvaluateConfig| serde_json::to_value(config).unwrap_or_default();
        let (given, default) = (values(self), values(&EvaluateConfig::default()));
        for key in NEED_JUDGMENTS {
            let expected = "none without ingest.judgments: systems are measured by the teacher's order";
            checks.require(given[key] == default[key], &format!("evaluate.{key}"), expected, &given[key]);
        }
    }

    fn check_metrics(&self, checks: &mut Checks) {
        for (i, metric) in self.metrics.iter().enumerate() {
            let once = !self.metrics[..i].contains(metric);
            checks.require(once, "evaluate.metrics", "each metric once", &format!("{metric} twice"));
        }
        let compared = self.metrics.contains(&self.primary) && !self.primary.is_pooled();
        checks.require(compared, "evaluate.primary", "one of evaluate.metrics, not pnr", &self.primary);
        for (key, grade) in [("relevant_grade", self.relevant_grade), ("max_grade", self.max_grade)] {
            checks.require((1..=4).contains(&grade), &format!("evaluate.{key}"), "a grade from 1 to 4", &grade);
        }
    }
}
