//! From texts to token sequences: the input templates, cut to budgets of tokens.

use std::ops::Range;

use rayon::prelude::*;

use super::template::{Scoring, Template, Texts};
use super::tokenizer::{Frame, Tokenizer};
use crate::error::{Error, Result};

const QUERY_PREFIX: &str = "query:";
const DOCUMENT_PREFIX: &str = " document:";

/// The tokens of a query and a document as a model reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Token type (segment) of each token.
    pub type_ids: Vec<u32>,
    /// The places in `ids` of the query's tokens.
    pub query: Range<usize>,
    /// The places in `ids` of the tokens of title and summary, the only ones that continued pre-training predicts.
    pub document: Range<usize>,
}

/// The tokens that a template adds.
#[derive(Clone, Debug)]
enum Marks {
    Prompt { end: u32 },
    Pair(Frame),
}

/// Turns pairs of a query and a document into token sequences.
#[derive(Clone, Debug)]
pub struct PairTokenizer {
    tokenizer: Tokenizer,
    max_query_tokens: usize,
    max_document_tokens: usize,
    marks: Marks,
    fixed_tokens: usize,
}

impl PairTokenizer {
    /// Pairs in the tokens of `tokenizer`, by the template and budgets of `scoring`.
    ///
    /// # Errors
    /// A tokenizer without the tokens or the post-processor that the template needs.
    pub fn new(tokenizer: &Tokenizer, scoring: &Scoring) -> Result<Self> {
        let (marks, fixed_tokens) = match &scoring.template {
            Template::Prompt { end_token } => {
                let (prefixes, _) = tokenizer.encode(&format!("{QUERY_PREFIX}{DOCUMENT_PREFIX}"))?;
                (Marks::Prompt { end: tokenizer.id(end_token)? }, prefixes.len() + 1)
            }
            Template::Pair => {
                let frame = tokenizer.pair_frame()?;
                let fixed_tokens = frame.tokens();
                (Marks::Pair(frame), fixed_tokens)
            }
        };
        let &Scoring { max_query_tokens, max_document_tokens, .. } = scoring;
        Ok(Self { tokenizer: tokenizer.clone(), max_query_tokens, max_document_tokens, marks, fixed_tokens })
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
        match &self.marks {
            Marks::Prompt { end } => self.encode_prompt(texts, *end),
            Marks::Pair(frame) => self.encode_pair(texts, frame),
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
        let query_text = text_after(texts.query());
        let document_text = text_after(texts.document());
        let query_end = QUERY_PREFIX.len() + query_text.len();
        let document_start = query_end + DOCUMENT_PREFIX.len();
        let text = format!("{QUERY_PREFIX}{query_text}{DOCUMENT_PREFIX}{document_text}");
        let (tokens, starts) = self.tokenizer.encode(&text)?;
        let mut ids = Vec::with_capacity(tokens.len() + 1);
        let (mut query, mut document_tokens) = (0..0, 0);
        for (token, begin) in tokens.into_iter().zip(starts) {
            if begin >= document_start {
                if document_tokens == self.max_document_tokens {
                    break;
                }
                document_tokens += 1;
            } else if (QUERY_PREFIX.len()..query_end).contains(&begin) {
                if query.len() == self.max_query_tokens {
                    continue;
                }
                let first = if query.is_empty() { ids.len() } else { query.start };
                query = first..ids.len() + 1;
            }
            ids.push(token);
        }
        let document = ids.len() - document_tokens..ids.len();
        ids.push(end);
        let type_ids = vec![0; ids.len()];
        Ok(Sequence { ids, type_ids, query, document })
    }

    fn encode_pair(&self, texts: &Texts<'_>, frame: &Frame) -> Result<Sequence> {
        let (mut query, _) = self.tokenizer.encode(&texts.query())?;
        let (mut document, _) = self.tokenizer.encode(&texts.document())?;
        query.truncate(self.max_query_tokens);
        document.truncate(self.max_document_tokens);
        let length = frame.tokens() + query.len() + document.len();
        let (mut ids, mut type_ids) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut append = |tokens: &[u32], types: &[u32]| {
            let start = ids.len();
            ids.extend_from_slice(tokens);
            type_ids.extend_from_slice(types);
            start..ids.len()
        };
        append(&frame.before.ids, &frame.before.type_ids);
        let query = append(&query, &vec![frame.query_type; query.len()]);
        append(&frame.between.ids, &frame.between.type_ids);
        let document = append(&document, &vec![frame.document_type; document.len()]);
        append(&frame.after.ids, &frame.after.type_ids);
        Ok(Sequence { ids, type_ids, query, document })
    }
}

/// Refuses a tokenizer with ids that the embedding has no row for, and sequences longer than the model's positions.
pub(crate) fn check_fit(pairs: &PairTokenizer, vocab_size: usize, max_tokens: usize) -> Result<()> {
    let found = pairs.tokenizer.vocabulary_size();
    if found > vocab_size {
        return Err(Error::Tokenizer(format!(
            "its vocabulary has {found} ids, the model's embedding only {vocab_size} rows (vocab_size in config.json)"
        )));
    }
    if pairs.max_tokens() > max_tokens {
        return Err(Error::Tokenizer(format!(
            "sequences take up to {} tokens (max_query_tokens + max_document_tokens + {}), the model has {max_tokens} \
             positions (max_position_embeddings in config.json)",
            pairs.max_tokens(),
            pairs.fixed_tokens,
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::text::Kind;

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

    fn encode(tokenizer: &Tokenizer, kind: Kind, query: usize, document: usize, texts: &Texts<'_>) -> Sequence {
        PairTokenizer::new(tokenizer, &Scoring::of(kind, query, document)).unwrap().encode(texts).unwrap()
    }

    #[test]
    fn a_prompt_that_is_not_cut_is_the_template_tokenized_whole() {
        let tokenizer = teacher();
        let sequence = encode(&tokenizer, Kind::Decoder, 100, 100, &TEXT);
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
        let whole = encode(&tokenizer, Kind::Decoder, 100, 100, &texts);
        let cut = encode(&tokenizer, Kind::Decoder, 1, 2, &texts);
        assert_eq!(cut.document.len(), 2);
        assert_eq!(cut.ids.last(), whole.ids.last());
        assert_eq!(tokenizer.decode(&cut.ids).unwrap(), "query: red document: shoes shoes");
    }

    #[test]
    fn a_pair_equals_the_tokenizers_own() {
        let tokenizer = student();
        let sequence = encode(&tokenizer, Kind::Encoder, 100, 100, &TEXT);
        let pair = tokenizer.inner().encode((TEXT.query(), TEXT.document()), true).unwrap();
        assert_eq!((&sequence.ids[..], &sequence.type_ids[..]), (pair.get_ids(), pair.get_type_ids()));
    }

    #[test]
    fn a_cut_pair_keeps_its_separators() {
        let tokenizer = student();
        let texts = Texts { query: "red red red", title: "shoes shoes shoes", summary: "" };
        let sequence = encode(&tokenizer, Kind::Encoder, 1, 2, &texts);
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
        let sequence = encode(&tokenizer, Kind::Decoder, 100, 100, &texts);
        assert_eq!(sequence.ids.iter().filter(|id| **id == end).count(), 1);
        let tokenizer = student();
        let separator = tokenizer.id("[SEP]").unwrap();
        let texts = Texts { query: "[SEP]", title: "[SEP]", summary: "" };
        let sequence = encode(&tokenizer, Kind::Encoder, 100, 100, &texts);
        assert_eq!(sequence.ids.iter().filter(|id| **id == separator).count(), 2);
    }

    #[test]
    fn empty_texts_leave_the_frame() {
        let empty = Texts { query: "", title: " ", summary: "" };
        let tokenizer = teacher();
        let sequence = encode(&tokenizer, Kind::Decoder, 8, 8, &empty);
        assert_eq!(tokenizer.decode(&sequence.ids).unwrap(), "query: document:");
        assert!(sequence.document.is_empty());
        let sequence = encode(&student(), Kind::Encoder, 8, 8, &empty);
        assert_eq!((sequence.ids.len(), sequence.document), (3, 2..2));
    }

    #[test]
    fn a_batch_keeps_the_order() {
        let tokenizer = student();
        let pairs = PairTokenizer::new(&tokenizer, &Scoring::of(Kind::Encoder, 8, 8)).unwrap();
        let titles: Vec<String> = (0..50).map(|i| "red ".repeat(i % 7) + "shoes").collect();
        let texts: Vec<Texts<'_>> = titles.iter().map(|title| Texts { query: "red", title, summary: "" }).collect();
        let batch = pairs.encode_batch(&texts).unwrap();
        for (texts, sequence) in texts.iter().zip(batch) {
            assert_eq!(sequence, pairs.encode(texts).unwrap());
        }
    }

    proptest::proptest! {
        #[test]
        fn no_sequence_is_longer_than_promised(query in ".{0,40}", title in ".{0,40}", q in 1_usize..6, d in 1_usize..9) {
            let texts = Texts { query: &query, title: &title, summary: "more" };
            static TOKENIZERS: LazyLock<[(Tokenizer, Kind); 2]> =
                LazyLock::new(|| [(teacher(), Kind::Decoder), (student(), Kind::Encoder)]);
            for (tokenizer, kind) in &*TOKENIZERS {
                let pairs = PairTokenizer::new(tokenizer, &Scoring::of(*kind, q, d)).unwrap();
                let sequence = pairs.encode(&texts).unwrap();
                assert!(sequence.ids.len() <= pairs.max_tokens());
                assert!(sequence.document.len() <= d);
                assert_eq!(sequence.document.end, sequence.ids.len() - 1);
                assert_eq!(sequence.ids.len(), sequence.type_ids.len());
            }
        }
    }
}
