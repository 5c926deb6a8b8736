//! How a model reads a query and a document: the template, the window of tokens, and where the score is read.

use serde::{Deserialize, Serialize};

use super::passages::Passages;
use super::tokenizer::END;
use super::window::Window;

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
    /// One text with the query and the document in it.
    Prompt {
        /// The text, with `{query}` and `{document}` once each, in any order; the document is title and summary. Written as
        /// `{ query}` or `{ document}`, a space comes before what is not empty, and none before what is.
        text: String,
        /// True to add what the tokenizer adds to a text, such as a token for its beginning.
        special_tokens: bool,
    },
    /// The tokenizer's own pair of query and document, with the special tokens and token types of its post-processor:
    /// `[CLS] query [SEP] document [SEP]` for BERT.
    Pair {
        /// What stands before every query.
        query_prompt: String,
    },
}

impl Template {
    /// How a user names the tokenizer's own pair.
    pub const PAIR: &str = "pair";

    /// The template that a user writes: [`Self::PAIR`], or a text as of [`Self::Prompt`].
    pub fn given(text: &str) -> Self {
        if text == Self::PAIR { Self::pair() } else { Self::Prompt { text: text.to_owned(), special_tokens: true } }
    }

    /// The tokenizer's own pair of query and document.
    pub fn pair() -> Self {
        Self::Pair { query_prompt: String::new() }
    }

    /// `query: {query} document: {title} {summary}` and an end token: what decoders learn here (arXiv 2411.04539, section 3.1).
    pub fn of_decoder(end_token: &str) -> Self {
        Self::Prompt { text: format!("query:{{ query}} document:{{ document}}{end_token}"), special_tokens: true }
    }
}

/// Which tokens the score is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last one, the only token of a decoder that sees the whole sequence.
    LastToken,
    /// The first one.
    FirstToken,
    /// All of them: the mean of what the last layer makes of each.
    Mean,
}

impl Kind {
    /// What models of this kind read the score from unless their architecture says otherwise.
    pub(crate) fn pooling(self) -> Pooling {
        match self {
            Self::Decoder => Pooling::LastToken,
            Self::Encoder => Pooling::FirstToken,
        }
    }
}

/// How a model scores. It is stored with the model, because scores are only right for the input it was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// The input template.
    pub template: Template,
    /// Where the score is read.
    pub pooling: Pooling,
    /// How many tokens are read, and which are cut.
    pub window: Window,
    /// How documents longer than the window are read; without it, they are cut.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passages: Option<Passages>,
}

impl Scoring {
    /// The default of a kind of model: decoders read a prompt that ends in `</s>` and score at its last token, encoders
    /// read a pair and score at its first.
    pub fn of(kind: Kind, window: Window) -> Self {
        let template = match kind {
            Kind::Decoder => Template::of_decoder(END),
            Kind::Encoder => Template::pair(),
        };
        Self { template, pooling: kind.pooling(), window, passages: None }
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
