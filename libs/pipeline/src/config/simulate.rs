//! The `[simulate]` table: a search engine's world and its visitors.

use serde::{Deserialize, Serialize};

use super::load::Checks;

/// The simulated world and its log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimulateConfig {
    /// A BEIR folder (corpus.jsonl, queries.jsonl, qrels.tsv) to put visitors over, in place of the made-up world.
    pub collection: Option<String>,
    /// The made-up world; refused together with `collection`.
    pub world: Option<WorldConfig>,
    /// Days of log, one file each.
    pub days: usize,
    /// Searches over all days.
    pub searches: usize,
    /// Exponent of Zipf's law, which says how often each query is asked.
    pub zipf_exponent: f64,
    /// Results on a page.
    pub results_per_page: usize,
    /// Share of a page's results that come from a recall channel beside BM25, which finds documents by meaning.
    pub semantic_share: f64,
    /// How visitors click.
    pub clicks: ClickConfig,
}

/// Size of the made-up world.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorldConfig {
    /// Documents.
    pub documents: usize,
    /// Distinct queries.
    pub queries: usize,
    /// Queries that experts have judged, drawn from all of them.
    pub judged_queries: usize,
    /// Documents judged for each of them.
    pub judged_documents: usize,
    /// Concepts (things people look for), each with several surface words.
    pub concepts: usize,
    /// Qualifiers (colours, sizes, brands, ...) that documents and queries may share.
    pub qualifiers: usize,
    /// Share of query words that are another surface word than the documents use.
    pub vocabulary_gap: f64,
}

/// How visitors click.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClickConfig {
    /// The click model.
    pub model: ClickModelKind,
    /// Position-based: examination at position k is k^-exponent.
    pub examination_exponent: f64,
    /// Dynamic Bayesian: chance to look on after an unsatisfying result.
    pub continuation: f64,
    /// Chance that an examined, irrelevant result is clicked all the same.
    pub noise: f64,
    /// Share of pages abandoned without a look.
    pub abandoned: f64,
    /// Share of sessions that are robots clicking everything.
    pub robots: f64,
    /// Share of events that are logged twice.
    pub duplicates: f64,
}

/// Published click models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
