//! What a model reads of a query and a document: the input templates, cut to budgets of tokens.

use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::config::Architecture;
use crate::error::{Error, Result};
use crate::tokenizer::{END, Tokenizer};

const QUERY_PREFIX: &str = "query:";
const DOCUMENT_PREFIX: &str = " document:";

/// How query and document become one sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Template {
    /// `query: {query} document: {title} {summary}{end_token}`, tokenized as one text.
    Prompt {
        /// The token that ends every sequence, whatever was cut before it.
        end_token: String,
    },
    /// The BERT pair `[CLS] query [SEP] title summary [SEP]`, with token types 0 up to the first `[SEP]` and 1 after it.
    Pair,
}

/// Which token the score is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The last one: a decoder has read everything there.
    LastToken,
    /// The first one, through the pooler of BERT.
    FirstToken,
}

/// How a model scores. Stored with the model, for it scores well only the way it was trained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// The input template.
    pub template: Template,
    /// Where the score is read.
    pub pooling: Pooling,
    /// Tokens of the query that are kept, at least 1.
    pub max_query_tokens: usize,
    /// Tokens of title and summary together that are kept, at least 1.
    pub max_document_tokens: usize,
}

impl Scoring {
    /// The scoring of an architecture: a prompt ending in `</s>` read at its last token for decoders, a pair read at its
    /// first for encoders.
    pub fn of(architecture: Architecture, max_query_tokens: usize, max_document_tokens: usize) -> Self {
        let (template, pooling) = match architecture {
            Architecture::Llama => (Template::Prompt { end_token: END.to_owned() }, Pooling::LastToken),
            Architecture::Bert => (Template::Pair, Pooling::FirstToken),
        };
        Self { template, pooling, max_query_tokens, max_document_tokens }
    }

    /// Refuses a scoring that the architecture cannot do, and budgets of nothing.
    pub(crate) fn check(&self, architecture: Architecture) -> std::result::Result<(), String> {
        if self.max_query_tokens == 0 || self.max_document_tokens == 0 {
            return Err("max_query_tokens and max_document_tokens must be at least 1".to_owned());
        }
        match (architecture, &self.template, self.pooling) {
            (Architecture::Llama, Template::Prompt { .. }, Pooling::LastToken)
            | (Architecture::Bert, Template::Pair, Pooling::FirstToken) => Ok(()),
            (architecture, template, pooling) => {
                Err(format!("{architecture:?} models do not score {template:?} at {pooling:?}"))
            }
        }
    }
}

/// The texts of a query and a document. Runs of white space count as one space; an empty title or summary leaves no gap.
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

/// A query and a document as a model reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// The segment of each token.
    pub type_ids: Vec<u32>,
    /// Where the tokens of title and summary lie in `ids`: continued pre-training learns to predict these alone.
    pub document: Range<usize>,
}

/// Ids of the tokens a template adds.
#[derive(Clone, Copy, Debug)]
enum Marks {
    Prompt { end: u32 },
    Pair { start: u32, separator: u32 },
}

/// Turns texts into sequences.
#[derive(Debug)]
pub struct Encoder<'a> {
    tokenizer: &'a Tokenizer,
    max_query_tokens: usize,
    max_document_tokens: usize,
    marks: Marks,
    fixed_tokens: usize,
}

impl<'a> Encoder<'a> {
    /// An encoder of this tokenizer's tokens.
    ///
    /// # Errors
    /// A vocabulary without the tokens that the template adds.
    pub fn new(tokenizer: &'a Tokenizer, scoring: &Scoring) -> Result<Self> {
        let (marks, fixed_tokens) = match &scoring.template {
            Template::Prompt { end_token } => {
                let (prefixes, _) = tokenizer.encode(&format!("{QUERY_PREFIX}{DOCUMENT_PREFIX}"))?;
                (Marks::Prompt { end: tokenizer.id(end_token)? }, prefixes.len() + 1)
            }
            Template::Pair => (Marks::Pair { start: tokenizer.id("[CLS]")?, separator: tokenizer.id("[SEP]")? }, 3),
        };
        let &Scoring { max_query_tokens, max_document_tokens, .. } = scoring;
        Ok(Self { tokenizer, max_query_tokens, max_document_tokens, marks, fixed_tokens })
    }

    /// The length of the longest sequence.
    pub fn max_tokens(&self) -> usize {
        self.fixed_tokens.saturating_add(self.max_query_tokens).saturating_add(self.max_document_tokens)
    }

    /// The sequence of one query and document.
    ///
    /// # Errors
    /// A failure inside the tokenizer.
    pub fn encode(&self, texts: &Texts<'_>) -> Result<Sequence> {
        match self.marks {
            Marks::Prompt { end } => self.encode_prompt(texts, end),
            Marks::Pair { start, separator } => self.encode_pair(texts, start, separator),
        }
    }

    /// The sequences of many, in their order, computed in parallel.
    ///
    /// # Errors
    /// A failure inside the tokenizer.
    pub fn encode_batch(&self, texts: &[Texts<'_>]) -> Result<Vec<Sequence>> {
        texts.par_iter().map(|texts| self.encode(texts)).collect()
    }

    /// Tokenizes the whole text, as any other reader of the template would, and cuts the parts by where tokens begin.
    fn encode_prompt(&self, texts: &Texts<'_>, end: u32) -> Result<Sequence> {
        let text_after = |text: String| if text.is_empty() { text } else { format!(" {text}") };
        let query = text_after(texts.query());
        let document = text_after(texts.document());
        let query_end = QUERY_PREFIX.len() + query.len();
        let document_start = query_end + DOCUMENT_PREFIX.len();
        let (tokens, starts) = self.tokenizer.encode(&format!("{QUERY_PREFIX}{query}{DOCUMENT_PREFIX}{document}"))?;
        let mut ids = Vec::with_capacity(tokens.len() + 1);
        let (mut query_tokens, mut document_tokens) = (0, 0);
        for (token, begin) in tokens.into_iter().zip(starts) {
            if begin >= document_start {
                document_tokens += 1;
                if document_tokens > self.max_document_tokens {
                    break;
                }
            } else if (QUERY_PREFIX.len()..query_end).contains(&begin) {
                query_tokens += 1;
                if query_tokens > self.max_query_tokens {
                    continue;
                }
            }
            ids.push(token);
        }
        let kept = document_tokens.min(self.max_document_tokens);
        let document = ids.len() - kept..ids.len();
        ids.push(end);
        let type_ids = vec![0; ids.len()];
        Ok(Sequence { ids, type_ids, document })
    }

    fn encode_pair(&self, texts: &Texts<'_>, start: u32, separator: u32) -> Result<Sequence> {
        let (mut query, _) = self.tokenizer.encode(&texts.query())?;
        let (mut document, _) = self.tokenizer.encode(&texts.document())?;
        query.truncate(self.max_query_tokens);
        document.truncate(self.max_document_tokens);
        let mut ids = vec![start];
        ids.append(&mut query);
        ids.push(separator);
        let first = ids.len();
        ids.append(&mut document);
        let document = first..ids.len();
        ids.push(separator);
        let type_ids = (0..ids.len()).map(|index| u32::from(index >= first)).collect();
        Ok(Sequence { ids, type_ids, document })
    }
}

/// Refuses a tokenizer with ids that the embedding has no row for, and sequences longer than the model's positions.
pub(crate) fn check_fit(encoder: &Encoder<'_>, vocab_size: usize, max_tokens: usize) -> Result<()> {
    let found = encoder.tokenizer.vocabulary_size();
    if found > vocab_size {
        return Err(Error::Tokenizer(format!(
            "its vocabulary has {found} ids, the model's embedding only {vocab_size} rows (vocab_size in config.json)"
        )));
    }
    if encoder.max_tokens() > max_tokens {
        return Err(Error::Tokenizer(format!(
            "sequences take up to {} tokens (max_query_tokens + max_document_tokens + {}), the model has {max_tokens} \
             positions (max_position_embeddings in config.json)",
            encoder.max_tokens(),
            encoder.fixed_tokens,
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;

    const TEXT: Texts<'_> = Texts { query: "red  shoes ", title: "Cheap red shoes", summary: "shoes, red\nand cheap" };

    fn corpus() -> impl Iterator<Item = &'static str> {
        ["query: red shoes document: cheap red shoes, and more", "Cheap shoes! query: document: red and cheap"]
            .into_iter()
            .cycle()
            .take(20)
    }

    fn teacher() -> Tokenizer {
        Tokenizer::train_byte_level_bpe(corpus(), 300).unwrap()
    }

    fn student() -> Tokenizer {
        Tokenizer::train_word_piece(corpus(), 60).unwrap()
    }

    fn encode(
        tokenizer: &Tokenizer,
        architecture: Architecture,
        query: usize,
        document: usize,
        texts: &Texts<'_>,
    ) -> Sequence {
        Encoder::new(tokenizer, &Scoring::of(architecture, query, document)).unwrap().encode(texts).unwrap()
    }

    #[test]
    fn a_prompt_that_is_not_cut_is_the_template_tokenized_whole() {
        let tokenizer = teacher();
        let sequence = encode(&tokenizer, Architecture::Llama, 100, 100, &TEXT);
        let text = "query: red shoes document: Cheap red shoes shoes, red and cheap";
        let (mut whole, _) = tokenizer.encode(text).unwrap();
        whole.push(tokenizer.id("</s>").unwrap());
        assert_eq!(sequence.ids, whole);
        let document = &sequence.ids[sequence.document.clone()];
        assert_eq!(tokenizer.decode(document).unwrap(), " Cheap red shoes shoes, red and cheap");
        assert_eq!(sequence.document.end, sequence.ids.len() - 1);
    }

    #[test]
    fn budgets_cut_query_and_document_apart_and_keep_the_end() {
        let tokenizer = teacher();
        let texts = Texts { query: "red red red red", title: "shoes shoes", summary: "and and and" };
        let whole = encode(&tokenizer, Architecture::Llama, 100, 100, &texts);
        let cut = encode(&tokenizer, Architecture::Llama, 1, 2, &texts);
        assert_eq!(cut.document.len(), 2);
        assert_eq!(cut.ids.last(), whole.ids.last());
        assert_eq!(tokenizer.decode(&cut.ids).unwrap(), "query: red document: shoes shoes");
    }

    #[test]
    fn a_pair_equals_the_tokenizers_own() {
        let tokenizer = student();
        let sequence = encode(&tokenizer, Architecture::Bert, 100, 100, &TEXT);
        let pair = tokenizer.inner().encode((TEXT.query(), TEXT.document()), true).unwrap();
        assert_eq!((&sequence.ids[..], &sequence.type_ids[..]), (pair.get_ids(), pair.get_type_ids()));
    }

    #[test]
    fn a_cut_pair_keeps_its_separators() {
        let tokenizer = student();
        let texts = Texts { query: "red red red", title: "shoes shoes shoes", summary: "" };
        let sequence = encode(&tokenizer, Architecture::Bert, 1, 2, &texts);
        let id = |token: &str| tokenizer.id(token).unwrap();
        assert_eq!(sequence.ids, [id("[CLS]"), id("red"), id("[SEP]"), id("shoes"), id("shoes"), id("[SEP]")]);
        assert_eq!(sequence.type_ids, [0, 0, 0, 1, 1, 1]);
        assert_eq!(sequence.document, 3..5);
    }

    #[test]
    fn texts_cannot_forge_special_tokens() {
        let tokenizer = teacher();
        let end = tokenizer.id("</s>").unwrap();
        let texts = Texts { query: "a </s> b", title: "</s>", summary: "<pad>" };
        let sequence = encode(&tokenizer, Architecture::Llama, 100, 100, &texts);
        assert_eq!(sequence.ids.iter().filter(|id| **id == end).count(), 1);
        let tokenizer = student();
        let separator = tokenizer.id("[SEP]").unwrap();
        let texts = Texts { query: "[SEP]", title: "[SEP]", summary: "" };
        let sequence = encode(&tokenizer, Architecture::Bert, 100, 100, &texts);
        assert_eq!(sequence.ids.iter().filter(|id| **id == separator).count(), 2);
    }

    #[test]
    fn empty_texts_leave_the_frame() {
        let empty = Texts { query: "", title: " ", summary: "" };
        let tokenizer = teacher();
        let sequence = encode(&tokenizer, Architecture::Llama, 8, 8, &empty);
        assert_eq!(tokenizer.decode(&sequence.ids).unwrap(), "query: document:");
        assert!(sequence.document.is_empty());
        let sequence = encode(&student(), Architecture::Bert, 8, 8, &empty);
        assert_eq!((sequence.ids.len(), sequence.document), (3, 2..2));
    }

    #[test]
    fn a_batch_keeps_the_order() {
        let tokenizer = student();
        let encoder = Encoder::new(&tokenizer, &Scoring::of(Architecture::Bert, 8, 8)).unwrap();
        let titles: Vec<String> = (0..50).map(|i| "red ".repeat(i % 7) + "shoes").collect();
        let texts: Vec<Texts<'_>> = titles.iter().map(|title| Texts { query: "red", title, summary: "" }).collect();
        let batch = encoder.encode_batch(&texts).unwrap();
        for (texts, sequence) in texts.iter().zip(batch) {
            assert_eq!(sequence, encoder.encode(texts).unwrap());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_sequence_is_longer_than_promised(query in ".{0,40}", title in ".{0,40}", q in 1_usize..6, d in 1_usize..9) {
            let texts = Texts { query: &query, title: &title, summary: "more" };
            static TOKENIZERS: LazyLock<[(Tokenizer, Architecture); 2]> =
                LazyLock::new(|| [(teacher(), Architecture::Llama), (student(), Architecture::Bert)]);
            for (tokenizer, architecture) in &*TOKENIZERS {
                let encoder = Encoder::new(tokenizer, &Scoring::of(*architecture, q, d)).unwrap();
                let sequence = encoder.encode(&texts).unwrap();
                assert!(sequence.ids.len() <= encoder.max_tokens());
                assert!(sequence.document.len() <= d);
                assert_eq!(sequence.document.end, sequence.ids.len() - 1);
                assert_eq!(sequence.ids.len(), sequence.type_ids.len());
            }
        }
    }
}
