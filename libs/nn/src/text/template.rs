//! How a model reads a query and a document: the template, its budgets of tokens, and where the score is read.

use serde::{Deserialize, Serialize};

use super::tokenizer::END;

/// How the tokens of a model see each other. It decides how a model scores unless its folder says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Every token sees every other one, as in BERT.
    Encoder,
    /// A token sees itself and those before it, as in Llama: the model can predict the next token.
    Decoder,
}

/// How query and document become one sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Template {
    /// `query: {query} document: {title} {summary}{end_token}`, tokenized as one text.
    Prompt {
        /// The last token of every sequence, also where the text before it was cut.
        end_token: String,
    },
    /// The tokenizer's own pair of query and `{title} {summary}`, with the special tokens and token types of its
    /// post-processor: `[CLS] query [SEP] document [SEP]` for BERT.
    Pair,
}

/// Which token the score is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last one, the only token of a decoder that sees the whole sequence.
    LastToken,
    /// The first one.
    FirstToken,
}

/// How a model scores. It is stored with the model, because scores are only right for the input it was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// The input template.
    pub template: Template,
    /// Where the score is read.
    pub pooling: Pooling,
    /// Most tokens of the query, at least 1; the rest is cut.
    pub max_query_tokens: usize,
    /// Most tokens of title and summary together, at least 1; the rest is cut.
    pub max_document_tokens: usize,
}

impl Scoring {
    /// The default of a kind of model: decoders read a prompt that ends in `</s>` and score at its last token, encoders
    /// read a pair and score at its first.
    pub fn of(kind: Kind, max_query_tokens: usize, max_document_tokens: usize) -> Self {
        let (template, pooling) = match kind {
            Kind::Decoder => (Template::Prompt { end_token: END.to_owned() }, Pooling::LastToken),
            Kind::Encoder => (Template::Pair, Pooling::FirstToken),
        };
        Self { template, pooling, max_query_tokens, max_document_tokens }
    }

    /// Refuses a scoring that models of this kind cannot do, and budgets of 0. `name` is the architecture, for the error.
    pub(crate) fn check(&self, kind: Kind, name: &str) -> std::result::Result<(), String> {
        if self.max_query_tokens == 0 || self.max_document_tokens == 0 {
            return Err("max_query_tokens and max_document_tokens must be at least 1".to_owned());
        }
        match (kind, &self.template, self.pooling) {
            (Kind::Decoder, Template::Prompt { .. }, Pooling::LastToken)
            | (Kind::Encoder, Template::Pair, Pooling::FirstToken) => Ok(()),
            (_, template, pooling) => Err(format!("{name} models do not score {template:?} at {pooling:?}")),
        }
    }
}

/// The texts of a query and a document. A run of white space counts as one space, and an empty title or summary adds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts<'a> {
    /// The query.
    pub query: &'a str,
    /// The document's title.
    pub title: &'a str,
    /// The document's summary.
    pub summary: &'a str,
}

impl Texts<'_> {
    /// The query as models read it.
    pub fn query(&self) -> String {
        join_words(self.query.split_whitespace())
    }

    /// Title and summary as models read them.
    pub fn document(&self) -> String {
        join_words(self.title.split_whitespace().chain(self.summary.split_whitespace()))
    }
}

fn join_words<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let mut text = String::new();
    for word in words {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(word);
    }
    text
}
