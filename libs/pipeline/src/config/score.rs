//! The table `[score]`: which lists are scored, and by which teachers.

use std::fmt;
use std::path::Path;

use ranking::sampler::Sampler;
use remote::chat::{PermutationConfig, YesNoConfig};
use remote::pool::{Api, PoolConfig};
use schemars::JsonSchema;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::base::BaseModel;
use super::input::InputConfig;
use super::load::{Checks, default_fn};
use super::retrieval::{RetrievalConfig, Retriever};

/// The largest weight of a teacher, so that the sum of all stays finite.
const MAX_WEIGHT: f64 = 1000.0;

/// List-wise scoring by the teacher.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ScoreConfig {
    /// Documents of a query's list at most: shown ones first, by impressions.
    pub list_size: usize,
    /// Documents added to every list of those that BM25 finds for the query and that were not shown.
    pub unseen_documents: usize,
    /// BM25's rank, from 1, of the first document that can be added as unseen: the very first documents are often relevant.
    pub unseen_from_rank: usize,
    /// Which of these documents are added, by BM25's ranks.
    pub unseen_sampler: Sampler,
    /// BM25's last rank that they are drawn from; needed beside a sampler other than `top`.
    pub unseen_depth: Option<usize>,
    /// Random documents added to every list, so that the student sees clear misses.
    pub random_documents: usize,
    /// Queries that are made of documents, beside the run's own, where the pipeline has this table: the teacher scores what is found
    /// for them, and the student learns from it. For collections with few queries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generated: Option<GeneratedQueries>,
    /// Training queries scored at most, most searched first; 0 takes all.
    pub max_queries: usize,
    /// Tokens of one forward pass.
    pub batch_tokens: usize,
    /// Over what the scores of several teachers are standardised before they are averaged.
    pub standardise_over: StandardiseOver,
    /// True to choose the weights of two to four teachers by the primary metric of the validation queries, with `standardise_over = "list"`:
    /// what `evaluate.interpolate` measures is then distilled.
    pub choose_weights: bool,
    /// What scores: one table `[score.teacher]`, or several tables `[[score.teacher]]`, whose scores are standardised and averaged.
    /// Where absent: this run's own teacher.
    #[serde(deserialize_with = "one_or_several", skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "OneOrSeveral")]
    pub teacher: Vec<ScoringTeacher>,
}

/// How many queries are made of documents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratedQueries {
    /// Titles, at most; a title counts where there is a text below it. Where no document has a title, the first sentence of a text
    /// takes its place.
    pub titles: usize,
    /// Sentences of 5 to 40 words, at most.
    pub sentences: usize,
    /// Sentences of one document, at most.
    pub sentences_per_document: usize,
}

impl Default for GeneratedQueries {
    fn default() -> Self {
        GeneratedQueries { titles: 0, sentences: 0, sentences_per_document: 2 }
    }
}

/// Over what scores get mean 0 and standard deviation 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StandardiseOver {
    /// All pairs, so that a score says the same for every query.
    #[default]
    Table,
    /// Each query's list, as `evaluate.interpolate` does: for scores whose size depends on the query, such as BM25's.
    List,
}

/// One teacher that scores: a saved ranker (`use`), servers that are asked over HTTP (`servers`), a file of scores (`scores`), or
/// what finds documents (`retriever`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoringTeacher {
    /// Its part of the average, beside other teachers; above 0, up to 1000.
    #[serde(default = "weight")]
    pub weight: f64,
    /// A saved ranker: `teacher`, this run's own; a folder; or `hf:org/name[@revision]`.
    #[serde(rename = "use")]
    pub ranker: Option<BaseModel>,
    /// How the saved ranker reads a query and a document, where its folder does not say so.
    #[serde(default)]
    pub input: InputConfig,
    /// Servers that score over HTTP. A table is made again when a key changes that can change a score: `api`, `addresses`,
    /// `model`, `batch`, `extra`.
    pub servers: Option<PoolConfig>,
    /// Scores that exist. The lists are then those of the file, also for other teachers beside it: its queries of the training split
    /// (without `ingest.judgments`, of all splits), with its documents that the collection has. `list_size`, `random_documents` and
    /// the keys of unseen documents do not apply.
    pub scores: Option<ScoresFile>,
    /// BM25, or what else `[retrieval]` has, beside other teachers: the student then learns what both know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retriever: Option<Retriever>,
    /// With `servers.api = "chat"`: the language model puts each list in order, window by window (`RankGPT`, arXiv 2304.09542). The
    /// score falls in equal steps from 1, the first document, to 0, the last.
    pub permutations: Option<PermutationConfig>,
    /// With `servers.api = "chat"`: the language model says of each document whether it is relevant; the score is the
    /// log-probability of yes less that of no.
    pub yes_no: Option<YesNoConfig>,
}

/// A file of scores.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScoresFile {
    /// The file, plain or compressed.
    pub path: String,
    /// How it is written.
    pub format: ScoresFormat,
    /// With `format = "rankgpt"`: a JSON file with an answer such as `"[3] > [1] > [2]"` for each list of the file, in the same order;
    /// the numbers are places in the list, from 1. Places that an answer repeats or that do not exist are dropped, and documents that
    /// it lacks follow in the order of the list.
    pub permutations: Option<String>,
}

/// How a file of scores is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ScoresFormat {
    /// JSON objects with `query_id`, `doc_id` and `score`.
    Jsonl,
    /// Comma-separated, with a header that has these names.
    Csv,
    /// Tab-separated, with a header that has these names.
    Tsv,
    /// Parquet with columns of these names.
    Parquet,
    /// A run as TREC has it: query, `Q0`, document, rank, score, tag.
    Trec,
    /// Results of `RankLLM`, JSON or JSON lines: `query.qid` and `candidates`, the best first, each with `docid`. The score falls in
    /// equal steps from 1, the first document, to 0, the last; scores of the file do not count.
    RankLlm,
    /// Lists of `RankGPT`, JSON or JSON lines: `hits`, the best first, each with `qid` and `docid`; or `retrieved_passages`, each with
    /// `docid`, which the file `permutations` orders. A list without `qid` or `query_id` is found by its `query`. Scored as `rank_llm`.
    #[serde(rename = "rankgpt")]
    RankGpt,
}

default_fn!(weight: f64 = 1.0);

impl Default for ScoreConfig {
    fn default() -> Self {
        ScoreConfig {
            list_size: 20,
            unseen_documents: 0,
            unseen_from_rank: 1,
            unseen_sampler: Sampler::Top,
            unseen_depth: None,
            random_documents: 0,
            generated: None,
            max_queries: 0,
            batch_tokens: 4096,
            standardise_over: StandardiseOver::Table,
            choose_weights: false,
            teacher: Vec::new(),
        }
    }
}

impl ScoreConfig {
    /// The teachers; this run's own where none is named.
    #[must_use]
    pub fn teachers(&self) -> Vec<ScoringTeacher> {
        if self.teacher.is_empty() { vec![ScoringTeacher::own()] } else { self.teacher.clone() }
    }

    pub(super) fn check(&self, retrieval: &RetrievalConfig, checks: &mut Checks) {
        let retrievers = self.teacher.iter().filter_map(|teacher| teacher.retriever);
        retrievers.for_each(|by| retrieval.check_can("score.teacher.retriever", by, checks));
        checks.at_least("score.list_size", self.list_size, 2);
        checks.at_least("score.batch_tokens", self.batch_tokens, 1);
        self.check_unseen(checks);
        self.teacher.iter().for_each(|teacher| teacher.check(checks));
        if let Some(generated) = &self.generated {
            self.check_generated(generated, checks);
        }
        if self.choose_weights {
            self.check_choice(checks);
        }
        let averages = self.teacher.len() > 1 || self.standardise_over == StandardiseOver::Table;
        checks.require(averages, "score.standardise_over", "it beside several teachers alone", &"list");
    }
}

impl ScoreConfig {
    fn check_choice(&self, checks: &mut Checks) {
        let (key, count) = ("score.choose_weights", self.teacher.len());
        checks.require((2..=4).contains(&count), key, "two to four teachers in [[score.teacher]]", &count);
        let list = self.standardise_over == StandardiseOver::List;
        checks.require(list, key, "it beside standardise_over = \"list\"", &"table");
        for teacher in &self.teacher {
            let weight = teacher.weight;
            checks.require(weight == 1.0, "score.teacher.weight", "none beside choose_weights = true", &weight);
            let file = teacher.scores.is_some();
            checks.require(!file, key, "none beside score.teacher.scores, which has no validation queries", &true);
        }
    }

    fn check_generated(&self, generated: &GeneratedQueries, checks: &mut Checks) {
        let table = "score.generated";
        let some = generated.titles + generated.sentences > 0;
        checks.require(some, table, "titles or sentences above 0", &"none");
        checks.at_least("score.generated.sentences_per_document", generated.sentences_per_document, 1);
        let file = self.teacher.iter().any(|teacher| teacher.scores.is_some());
        checks.require(!file, table, "none beside score.teacher.scores, whose lists are scored", &"a table");
    }

    fn check_unseen(&self, checks: &mut Checks) {
        let ScoreConfig {
            unseen_documents, unseen_from_rank: from_rank, unseen_sampler: sampler, unseen_depth, ..
        } = *self;
        checks.at_least("score.unseen_from_rank", from_rank, 1);
        let expected = "1 without score.unseen_documents";
        checks.require(unseen_documents > 0 || from_rank <= 1, "score.unseen_from_rank", expected, &from_rank);
        let (is_top, found) = (sampler == Sampler::Top, "another sampler");
        let expected = "\"top\" without score.unseen_documents";
        checks.require(unseen_documents > 0 || is_top, "score.unseen_sampler", expected, &found);
        match unseen_depth {
            Some(depth) => {
                checks.require(!is_top, "score.unseen_depth", "it beside a sampler other than \"top\"", &depth);
                checks.at_least("score.unseen_depth", depth, from_rank);
            }
            None => {
                let expected = "a rank beside a sampler other than \"top\"";
                checks.require(is_top, "score.unseen_depth", expected, &"none");
            }
        }
    }
}

impl ScoringTeacher {
    fn own() -> ScoringTeacher {
        ScoringTeacher {
            weight: weight(),
            ranker: Some(BaseModel::Teacher),
            input: InputConfig::default(),
            servers: None,
            scores: None,
            retriever: None,
            permutations: None,
            yes_no: None,
        }
    }

    /// True for this run's own teacher.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.ranker == Some(BaseModel::Teacher)
    }

    /// The file of its prompt, where the configuration names one.
    #[must_use]
    pub fn template(&self) -> Option<&Path> {
        let of_permutations = self.permutations.as_ref().and_then(|permutations| permutations.template.as_deref());
        of_permutations.or_else(|| self.yes_no.as_ref().and_then(|yes_no| yes_no.template.as_deref()))
    }

    fn check(&self, checks: &mut Checks) {
        checks.positive("score.teacher.weight", self.weight);
        checks.require(self.weight <= MAX_WEIGHT, "score.teacher.weight", "a number up to 1000", &self.weight);
        self.input.check("score.teacher", 1, checks);
        let sources = [self.ranker.is_some(), self.servers.is_some(), self.scores.is_some(), self.retriever.is_some()];
        let given = sources.iter().filter(|&&is_given| is_given).count();
        checks.require(
            given == 1,
            "score.teacher",
            "one of the keys `use`, `servers`, `scores` and `retriever`",
            &given,
        );
        if let Some(ScoresFile { format, permutations: Some(path), .. }) = &self.scores {
            let expected = "none beside a format other than `rankgpt`";
            checks.require(*format == ScoresFormat::RankGpt, "score.teacher.scores.permutations", expected, path);
        }
        let is_given = self.input != InputConfig::default();
        let saved = self.ranker.is_some() && !self.is_own();
        checks.require(saved || !is_given, "score.teacher.input", "it beside `use`, a saved ranker", &"a table");
        let prompts = usize::from(self.permutations.is_some()) + usize::from(self.yes_no.is_some());
        match &self.servers {
            Some(servers) if servers.api == Api::Chat => {
                let expected = "one of the tables `permutations` and `yes_no` beside api = \"chat\"";
                checks.require(prompts == 1, "score.teacher", expected, &prompts);
            }
            _ => {
                let expected = "no table `permutations` or `yes_no` without servers of api = \"chat\"";
                checks.require(prompts == 0, "score.teacher", expected, &"one");
            }
        }
        if let Some(Err(error)) = self.servers.as_ref().map(PoolConfig::check) {
            checks.require(false, "score.teacher.servers", "usable servers", &error);
        }
    }
}

/// What `score.teacher` is in the JSON schema.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "serde would lose what is wrong with a table, so that `one_or_several` reads it")]
enum OneOrSeveral {
    One(Box<ScoringTeacher>),
    Several(Vec<ScoringTeacher>),
}

/// A table, or an array of tables.
fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ScoringTeacher>, D::Error> {
    struct Teachers;

    impl<'de> Visitor<'de> for Teachers {
        type Value = Vec<ScoringTeacher>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table or an array of tables")
        }

        fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
            Ok(vec![ScoringTeacher::deserialize(MapAccessDeserializer::new(table))?])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, tables: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(tables))
        }
    }

    deserializer.deserialize_any(Teachers)
}
