//! How a model reads a query and a document: the tables `[teacher.input]` and `[distill.input]`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::load::{Checks, default_fn};

/// The input of a model. What is left out, the folder of its base model says, as transformers and sentence-transformers
/// read it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct InputConfig {
    /// One text with `{query}` and `{document}` in it, once each, such as `"Query: {query} Document: {document}</s>"`, or
    /// `"pair"`, the tokenizer's own pair. Where absent: what the base model's folder says; for decoders that are no rankers
    /// yet `query: {query} document: {document}` and the end token; for encoders the pair.
    pub template: Option<String>,
    /// Most tokens of a sequence, those of the template included. Where absent: what the base model takes, but at most 512;
    /// 128 for models from random weights.
    pub max_length: Option<usize>,
    /// What is cut from longer texts. Where absent: `longest_first` for pairs, unless the base model's folder says otherwise, and
    /// `only_second` for templates that are one text; both are what sentence-transformers does.
    pub truncation: Option<Truncation>,
    /// Tokens kept of a query, with `truncation = "fields"`.
    pub max_query_tokens: Option<usize>,
    /// Tokens kept of a document (title and summary), with `truncation = "fields"`.
    pub max_document_tokens: Option<usize>,
    /// Documents longer than the window are read in passages, where the pipeline has this table: the score of a document is the
    /// highest one of its passages, in training too. Without it, they are cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passages: Option<PassagesConfig>,
}

/// The passages of a document: the first one is what the window leaves of it, the next ones are its title with later parts of the
/// summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PassagesConfig {
    /// Most passages of a document, at least 2; what is beyond them is cut.
    pub most: usize,
    /// Tokens of the summary that a passage shares with the one before it, at most half a passage.
    #[serde(default = "overlap")]
    pub overlap: usize,
}

default_fn!(overlap: usize = 32);

/// What is cut from texts that are too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The longer of query and document until both are equally long, then both: what sentence-transformers does.
    LongestFirst,
    /// The document; of one text its end, before what the template ends with.
    OnlySecond,
    /// Query and document apart, to `max_query_tokens` and `max_document_tokens`. No other library can be told so: they read
    /// longer queries and documents of a model that is saved with it.
    Fields,
}

impl fmt::Display for Truncation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Truncation::LongestFirst => "longest_first",
            Truncation::OnlySecond => "only_second",
            Truncation::Fields => "fields",
        })
    }
}

impl InputConfig {
    /// The longest sequence that the table alone speaks of, the tokens of its template left out where it has fields.
    pub(super) fn longest(&self) -> usize {
        let fields =
            self.max_query_tokens.unwrap_or_default().saturating_add(self.max_document_tokens.unwrap_or_default());
        self.max_length.unwrap_or(fields)
    }

    /// Checks the table of a model that is trained with a loss on so many logits.
    pub(super) fn check(&self, table: &str, outputs: usize, checks: &mut Checks) {
        if let Some(passages) = self.passages {
            checks.at_least(&format!("{table}.input.passages.most"), passages.most, 2);
            let expected = "it beside losses on one logit, and without distill.term_control";
            checks.require(outputs == 1, &format!("{table}.input.passages"), expected, &format!("{outputs} logits"));
        }
        let fields = self.truncation == Some(Truncation::Fields);
        for (key, tokens) in
            [("max_query_tokens", self.max_query_tokens), ("max_document_tokens", self.max_document_tokens)]
        {
            let key = format!("{table}.input.{key}");
            let found = tokens.map_or("none".to_string(), |tokens| tokens.to_string());
            let beside = "it with truncation = \"fields\", and only there";
            checks.require(fields == tokens.is_some(), &key, beside, &found);
            checks.token_budget(&key, tokens.unwrap_or(1));
        }
        let key = format!("{table}.input.max_length");
        checks.token_budget(&key, self.max_length.unwrap_or(1));
        let found = self.max_length.unwrap_or_default();
        let expected = "none with truncation = \"fields\", which has max_query_tokens and max_document_tokens";
        checks.require(!(fields && self.max_length.is_some()), &key, expected, &found);
    }
}
