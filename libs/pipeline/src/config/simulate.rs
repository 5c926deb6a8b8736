//! The `[simulate]` table: a search engine's world and its visitors.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::Checks;

/// A simulated search engine and its click log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateConfig {
    /// A BEIR folder (corpus.jsonl and queries.jsonl, plain or `.gz`; qrels.tsv, or those of all splits, qrels/*.tsv) whose documents the visitors search, in place of the generated
    /// world.
    pub collection: Option<String>,
    /// Size of the generated world; refused together with `collection`.
    pub world: Option<WorldConfig>,
    /// Days of the log, one file each.
    pub days: usize,
    /// Number of searches over all days.
    pub searches: usize,
    /// Exponent of Zipf's law, the distribution of query frequencies.
    pub zipf_exponent: f64,
    /// Results on a page.
    pub results_per_page: usize,
    /// Share of a page's results that come from a semantic retriever beside BM25.
    pub semantic_share: f64,
    /// Click behaviour of the visitors.
    pub clicks: ClickConfig,
}

/// Size of the generated world.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorldConfig {
    /// Number of documents.
    pub documents: usize,
    /// Number of distinct queries.
    pub queries: usize,
    /// Number of judged queries, drawn from all queries.
    pub judged_queries: usize,
    /// Judged documents of each judged query.
    pub judged_documents: usize,
    /// Number of concepts (things that people search for), each with several synonyms.
    pub concepts: usize,
    /// Number of qualifiers (colours, sizes, brands, ...) of documents and queries.
    pub qualifiers: usize,
    /// Share of query words that are synonyms no document contains.
    pub vocabulary_gap: f64,
}

/// Click behaviour of the visitors.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ClickConfig {
    /// The click model.
    pub model: ClickModelKind,
    /// Position-based model: the examination probability at position k is k^-exponent.
    pub examination_exponent: f64,
    /// Dynamic Bayesian network: probability of continuing after an unsatisfying result.
    pub continuation: f64,
    /// Probability of a click on an examined, irrelevant result.
    pub noise: f64,
    /// Share of pages without any examination.
    pub abandoned: f64,
    /// Share of sessions by robots, which click everything.
    pub robots: f64,
    /// Share of events logged twice.
    pub duplicates: f64,
}

/// Published click models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClickModelKind {
    /// Position-based model (Craswell et al., WSDM 2008).
    PositionBased,
    /// Dynamic Bayesian network (Chapelle and Zhang, WWW 2009).
    DynamicBayesian,
}

impl Default for SimulateConfig {
    fn default() -> Self {
        SimulateConfig {
            collection: None,
            world: None,
            days: 7,
            searches: 30_000,
            zipf_exponent: 0.8,
            results_per_page: 10,
            semantic_share: 0.4,
            clicks: ClickConfig::default(),
        }
    }
}

impl Default for WorldConfig {
    fn default() -> Self {
        WorldConfig {
            documents: 6_000,
            queries: 3_000,
            judged_queries: 400,
            judged_documents: 20,
            concepts: 60,
            qualifiers: 30,
            vocabulary_gap: 0.5,
        }
    }
}

impl Default for ClickConfig {
    fn default() -> Self {
        ClickConfig {
            model: ClickModelKind::PositionBased,
            examination_exponent: 0.7,
            continuation: 0.85,
            noise: 0.05,
            abandoned: 0.1,
            robots: 0.01,
            duplicates: 0.01,
        }
    }
}

impl SimulateConfig {
    pub(super) fn check(&self, checks: &mut Checks) {
        let both = self.collection.is_some() && self.world.is_some();
        checks.require(!both, "simulate.world", "no such table beside simulate.collection", &"both");
        checks.local("simulate.collection", self.collection.as_deref().unwrap_or_default());
        checks.at_least("simulate.days", self.days, 1);
        checks.at_least("simulate.searches", self.searches, self.days.max(1));
        checks.positive("simulate.zipf_exponent", self.zipf_exponent);
        checks.at_least("simulate.results_per_page", self.results_per_page, 1);
        checks.fraction("simulate.semantic_share", self.semantic_share);
        if let Some(world) = &self.world {
            world.check(checks);
        }
        let clicks = &self.clicks;
        checks.positive("simulate.clicks.examination_exponent", clicks.examination_exponent);
        for (key, value) in [
            ("continuation", clicks.continuation),
            ("noise", clicks.noise),
            ("abandoned", clicks.abandoned),
            ("robots", clicks.robots),
            ("duplicates", clicks.duplicates),
        ] {
            checks.fraction(&format!("simulate.clicks.{key}"), value);
        }
    }
}

impl WorldConfig {
    fn check(&self, checks: &mut Checks) {
        checks.at_least("simulate.world.documents", self.documents, 20);
        checks.at_least("simulate.world.queries", self.queries, 10);
        let judged = (1..=self.queries).contains(&self.judged_queries);
        checks.require(judged, "simulate.world.judged_queries", "1 to simulate.world.queries", &self.judged_queries);
        let depth = (2..=self.documents).contains(&self.judged_documents);
        checks.require(
            depth,
            "simulate.world.judged_documents",
            "2 to simulate.world.documents",
            &self.judged_documents,
        );
        checks.at_least("simulate.world.concepts", self.concepts, 5);
        checks.at_least("simulate.world.qualifiers", self.qualifiers, 3);
        checks.fraction("simulate.world.vocabulary_gap", self.vocabulary_gap);
    }
}
