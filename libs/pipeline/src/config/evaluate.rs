//! The `[evaluate]` table.

use std::path::Path;

use ranking::metrics::{Conventions, Gain, Grade, Metric, NoRelevant, Ties, Unjudged};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tables::Schema;

use super::load::{Checks, ConfigError, tables_of};
use super::retrieval::Retriever;
use super::run::{RUN_NAME, is_run_name};

/// Metrics and the report.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// The metrics that are reported, in this order; by each, systems are compared in pairs. Each but pnr, which is pooled over the
    /// queries, is a mean over the queries. Where this run's teacher is a system, `kendall_tau`, the agreement of each system's
    /// order with the teacher's, stands beside them. Without `ingest.judgments`, this and the other keys about grades do not
    /// apply: `kendall_tau` and `teacher_ndcg@10` measure how near each system is to the teacher's order of the test queries.
    pub metrics: Vec<Metric>,
    /// The one of `metrics` that systems are compared by first, that verdicts are about, that a training validates by, and that `interpolate`
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
    pub relevant_grade: Grade,
    /// Highest grade of the judgments' scale, for err: from 1 to 4.
    pub max_grade: Grade,
    /// Bootstrap resamples for confidence intervals.
    pub bootstrap: usize,
    /// Random sign flips of the paired test: at least 20 for each comparison of `family`, so that a p-value below 0.05 is possible
    /// after the correction.
    pub permutations: usize,
    /// The comparisons that the run is made for, each a system and the one that it is compared with: on all test queries by
    /// `primary`, with a verdict, and p-values corrected for one another by Holm's method. All other comparisons are exploratory,
    /// and not corrected. Those of the default whose systems the run does not have are left out.
    pub family: Vec<[String; 2]>,
    /// A system that loses less than this of the primary metric, by the 95 % interval of the difference, is EQUAL to the one that it
    /// is compared with. One with all of the interval above 0 is a WIN, every other one a REGRESSION.
    pub margin: f64,
    /// An earlier run of the same root: its student becomes the system `baseline`, which the student is compared with. It must have
    /// been evaluated on the same queries and candidates.
    pub baseline: Option<String>,
    /// What parts the test queries into slices, which are measured and compared apart: columns of the table `queries`, or `words`,
    /// the number of words between spaces. Numbers are parted at their median, `searches` into `head` and `tail`; of a text, each
    /// value is a slice.
    pub slices: Vec<String>,
}

/// The system that the student of `evaluate.baseline` becomes.
pub const BASELINE: &str = "baseline";

/// Fewest draws of the paired test for each comparison that is corrected.
pub const DRAWS_PER_COMPARISON: usize = 20;

/// Slices by the number of words.
pub const WORDS: &str = "words";

/// What a run is made for: how the student compares with what is there, and whether the teacher, and BM25 beside either, is worth it.
const FAMILY: [[&str; 2]; 8] = [
    ["student", BASELINE],
    ["student", "teacher"],
    ["student", "log_order"],
    ["student", "bm25"],
    ["student", "student_labels_only"],
    ["teacher", "bm25"],
    ["teacher+bm25", "bm25"],
    ["student+bm25", "bm25"],
];

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
            permutations: 100_000,
            family: FAMILY.map(|pair| pair.map(String::from)).to_vec(),
            margin: 0.02,
            baseline: None,
            slices: vec!["searches".into()],
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

    /// The table of an evaluation of files, outside a pipeline: the defaults with `--set evaluate.key=value`, and a family.
    ///
    /// # Errors
    /// [`ConfigError`] for a key that does not apply, or a value out of its range.
    pub fn alone(overrides: &[String], family: Vec<[String; 2]>) -> Result<EvaluateConfig, ConfigError> {
        const KEYS: [&str; 11] = [
            "metrics",
            "primary",
            "gain",
            "ties",
            "no_relevant",
            "unjudged",
            "relevant_grade",
            "max_grade",
            "bootstrap",
            "permutations",
            "margin",
        ];
        let given = tables_of(overrides)?;
        let mut checks = Checks::of(Path::new("--set"));
        let mut table = toml::Table::new();
        for (name, keys) in &given {
            let keys = keys.as_table().filter(|_| name == "evaluate");
            let expected = format!("keys of evaluate: {}", KEYS.join(", "));
            checks.require(keys.is_some(), name, &expected, &"another table");
            for (key, value) in keys.into_iter().flatten() {
                checks.require(KEYS.contains(&key.as_str()), &format!("evaluate.{key}"), &expected, value);
                table.insert(key.clone(), value.clone());
            }
        }
        let config: EvaluateConfig = serde_path_to_error::deserialize(toml::Value::Table(table)).map_err(|e| {
            let (path, key) = ("--set".into(), format!("evaluate.{}", e.path()));
            ConfigError::Key { path, key, reason: e.into_inner().message().replace('\n', " ") }
        })?;
        let config = EvaluateConfig { family, slices: Vec::new(), ..config };
        config.check_metrics(&mut checks);
        config.check_tests(&mut checks);
        for (key, grade) in [("relevant_grade", config.relevant_grade), ("max_grade", config.max_grade)] {
            // Its stopping probabilities are fractions of 2^max_grade.
            checks.require((1..=1000).contains(&grade), &format!("evaluate.{key}"), "a grade from 1 to 1000", &grade);
        }
        checks.finish().map(|()| config)
    }

    /// Checks the table of the run `own_name`.
    pub(super) fn check(&self, own_name: &str, checks: &mut Checks) {
        for name in &self.merge_runs {
            let expected = format!("{RUN_NAME}, of other runs than {own_name}");
            checks.require(is_run_name(name) && name != own_name, "evaluate.merge_runs", &expected, name);
        }
        self.check_metrics(checks);
        for (key, grade) in [("relevant_grade", self.relevant_grade), ("max_grade", self.max_grade)] {
            checks.require((1..=4).contains(&grade), &format!("evaluate.{key}"), "a grade from 1 to 4", &grade);
        }
        checks.at_least("evaluate.depth", self.depth, 2);
        if let Some(name) = &self.baseline {
            let expected = format!("{RUN_NAME}, of another run than {own_name}");
            checks.require(is_run_name(name) && name != own_name, "evaluate.baseline", &expected, name);
        }
        self.check_tests(checks);
        for (i, name) in self.slices.iter().enumerate() {
            checks.require(
                is_slice(name),
                "evaluate.slices",
                "columns of the table queries but its ids and texts, or words",
                name,
            );
            let once = !self.slices[..i].contains(name);
            checks.require(once, "evaluate.slices", "each column once", &format!("{name} twice"));
        }
    }

    /// Checks what the intervals and tests are drawn for.
    pub(super) fn check_tests(&self, checks: &mut Checks) {
        checks.at_least("evaluate.bootstrap", self.bootstrap, 100);
        let least = DRAWS_PER_COMPARISON * self.family.len().max(1);
        let expected = format!("at least {least}, {DRAWS_PER_COMPARISON} for each comparison of evaluate.family");
        checks.require(self.permutations >= least, "evaluate.permutations", &expected, &self.permutations);
        checks.require(
            self.margin.is_finite() && self.margin >= 0.0,
            "evaluate.margin",
            "a number from 0",
            &self.margin,
        );
        for (i, [a, b]) in self.family.iter().enumerate() {
            checks.require(a != b, "evaluate.family", "pairs of two systems", &format!("{a} twice in a pair"));
            let once = self.family[..i].iter().all(|[c, d]| ![[c, d], [d, c]].contains(&[a, b]));
            checks.require(once, "evaluate.family", "each pair once", &format!("{a} and {b} twice"));
        }
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

    /// True if the comparisons are those that stand for every run, so that systems which a run does not have are no mistake.
    #[must_use]
    pub fn is_default_family(&self) -> bool {
        self.family.iter().eq(FAMILY.iter())
    }

    pub(super) fn check_metrics(&self, checks: &mut Checks) {
        for (i, metric) in self.metrics.iter().enumerate() {
            let once = !self.metrics[..i].contains(metric);
            checks.require(once, "evaluate.metrics", "each metric once", &format!("{metric} twice"));
        }
        let compared = self.metrics.contains(&self.primary) && !self.primary.is_pooled();
        checks.require(compared, "evaluate.primary", "one of evaluate.metrics, not pnr", &self.primary);
    }
}

/// True for what queries can be parted by.
fn is_slice(name: &str) -> bool {
    let columns = Schema::named("queries").map(|schema| schema.columns.iter());
    let has = |mut columns: std::slice::Iter<'_, tables::Column>| columns.any(|column| column.name == name);
    name == WORDS || (!["query_id", "query"].contains(&name) && columns.is_ok_and(has))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(overrides: &[&str]) -> Result<EvaluateConfig, String> {
        let overrides: Vec<String> = overrides.iter().map(ToString::to_string).collect();
        let family = vec![["a".into(), "b".into()]; 1];
        EvaluateConfig::alone(&overrides, family).map_err(|error| error.to_string())
    }

    #[test]
    fn keys_that_do_not_apply_to_files_are_refused() {
        let config =
            alone(&["evaluate.gain=linear", "evaluate.max_grade=9", "evaluate.metrics=[\"ndcg@10\", \"map\"]"])
                .unwrap();
        assert_eq!((config.gain, config.max_grade, config.metrics.len()), (Gain::Linear, 9, 2));
        assert!(config.slices.is_empty() && config.family.len() == 1);
        let cases = [
            ("evaluate.depth=5", "--set: evaluate.depth: expected keys of evaluate: metrics, primary,"),
            ("run.seed=5", "--set: run: expected keys of evaluate: metrics, primary,"),
            ("evaluate.gain=square", "--set: evaluate.gain: unknown variant `square`"),
            ("evaluate.primary=map", "--set: evaluate.primary: expected one of evaluate.metrics, not pnr, found map"),
            ("evaluate.relevant_grade=0", "--set: evaluate.relevant_grade: expected a grade from 1 to 1000, found 0"),
            ("evaluate.permutations=19", "--set: evaluate.permutations: expected at least 20, 20 for each"),
            ("evaluate.margin=-1", "--set: evaluate.margin: expected a number from 0, found -1"),
        ];
        for (given, expected) in cases {
            let error = alone(&[given]).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn comparisons_slices_and_baselines_that_cannot_be_made_are_refused() {
        type Change = fn(&mut EvaluateConfig);
        let refused = |change: Change| {
            let mut config = EvaluateConfig::default();
            change(&mut config);
            let mut checks = Checks::of(Path::new("p.toml"));
            config.check("own", &mut checks);
            checks.finish().map_or_else(|error| error.to_string(), |()| String::new())
        };
        assert_eq!(refused(|config| config.slices = vec!["words".into(), "split".into(), "searches".into()]), "");
        let cases: [(Change, &str); 6] = [
            (
                |c| c.permutations = 159,
                "evaluate.permutations: expected at least 160, 20 for each comparison of evaluate.family",
            ),
            (
                |c| c.family.push(["bm25".into(), "student".into()]),
                "evaluate.family: expected each pair once, found bm25 and student",
            ),
            (
                |c| c.family = vec![["bm25".into(), "bm25".into()]],
                "evaluate.family: expected pairs of two systems, found bm25",
            ),
            (|c| c.slices = vec!["query".into()], "evaluate.slices: expected columns of the table queries"),
            (|c| c.slices = vec!["words".into(); 2], "evaluate.slices: expected each column once, found words twice"),
            (|c| c.baseline = Some("own".into()), "evaluate.baseline: expected letters, digits"),
        ];
        for (change, expected) in cases {
            let error = refused(change);
            assert!(error.starts_with(&format!("p.toml: {expected}")), "{error}");
        }
    }
}
