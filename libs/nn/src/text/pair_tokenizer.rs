//! From texts to token sequences: the input templates, cut to a window of tokens.

use std::ops::Range;

use rayon::prelude::*;
use tokenizers::Encoding;

use super::passages::{PairSequences, Passages, later_passages};
use super::prompt::Prompt;
use super::template::{Scoring, Template, Texts};
use super::tokenizer::{Frame, Tokenizer};
use super::window::Window;
use crate::error::{Error, Result};

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

/// Tokens that title and summary may have more within a template than alone, where a word at the beginning is another token.
const BEGINNINGS: usize = 2;

/// What stands around the two texts.
#[derive(Clone, Debug)]
enum Layout {
    Prompt { prompt: Prompt, special_tokens: bool },
    Pair { frame: Frame, query_prompt: String },
}

/// Turns pairs of a query and a document into token sequences.
#[derive(Clone, Debug)]
pub struct PairTokenizer {
    tokenizer: Tokenizer,
    window: Window,
    layout: Layout,
    /// Tokens of the template alone.
    fixed_tokens: usize,
    /// The last of them.
    last: Option<u32>,
    /// True if texts lose their first tokens rather than their last.
    cuts_left: bool,
    /// How documents longer than the window are read; without it, they are cut.
    passages: Option<Passages>,
}

impl PairTokenizer {
    /// Pairs in the tokens of `tokenizer`, by the template and window of `scoring`.
    ///
    /// # Errors
    /// A template that does not name both texts; a post-processor that mixes them; a window without room for them; passages
    /// where texts lose their first tokens.
    pub fn new(tokenizer: &Tokenizer, scoring: &Scoring) -> Result<Self> {
        let layout = match &scoring.template {
            Template::Prompt { text, special_tokens } => {
                Layout::Prompt { prompt: Prompt::parse(text)?, special_tokens: *special_tokens }
            }
            Template::Pair { query_prompt } => {
                Layout::Pair { frame: tokenizer.pair_frame()?, query_prompt: query_prompt.clone() }
            }
        };
        let (fixed_tokens, last) = match &layout {
            Layout::Prompt { prompt, special_tokens } => {
                let fixed = tokenizer.encode_whole(&prompt.fill("", "").text, *special_tokens)?;
                (fixed.len(), fixed.get_ids().last().copied())
            }
            Layout::Pair { frame, .. } => (frame.tokens(), frame.after.ids.last().copied()),
        };
        scoring.window.check(fixed_tokens)?;
        let (cuts_left, passages) = (tokenizer.truncates_left(), scoring.passages);
        if cuts_left && passages.is_some() {
            let expected =
                "none with a tokenizer that cuts texts on the left (truncation_side in tokenizer_config.json)";
            return Err(Error::Config { field: "passages", found: "a table".into(), expected: expected.into() });
        }
        let (tokenizer, window) = (tokenizer.clone(), scoring.window);
        Ok(Self { tokenizer, window, layout, fixed_tokens, last, cuts_left, passages })
    }

    /// This one, where texts that are too long lose their first tokens (`left`) or their last. Where they lose their first,
    /// documents are not read in passages.
    #[must_use]
    pub fn cutting(&self, left: bool) -> Self {
        let passages = self.passages.filter(|_| !left);
        Self { cuts_left: left, passages, ..self.clone() }
    }

    /// This one with a window that has room for all tokens of all texts.
    #[must_use]
    pub fn without_window(&self) -> Self {
        Self { window: Window::LongestFirst { max_length: usize::MAX }, passages: None, ..self.clone() }
    }

    /// This one with sequences of at most `max_length` tokens, or its own most where they are fewer.
    ///
    /// # Errors
    /// A length that leaves no room for both texts.
    pub fn shortened(&self, max_length: usize) -> Result<Self> {
        if max_length >= self.max_tokens() {
            return Ok(self.clone());
        }
        let least = self.window.least_tokens(self.fixed_tokens);
        if max_length < least {
            let expected = format!("at least {least}, so that it has room for both texts beside the input template");
            return Err(Error::Config { field: "max_length", found: max_length.to_string(), expected });
        }
        Ok(Self { window: self.window.shortened(max_length, self.fixed_tokens), ..self.clone() })
    }

    /// The length of the longest sequence.
    pub fn max_tokens(&self) -> usize {
        self.window.max_tokens(self.fixed_tokens)
    }

    /// A token to pad sequences with: the tokenizer's own, unless it is the last of the template. transformers reads a
    /// decoder's score at the last token that is not padding.
    pub(crate) fn padding(&self) -> u32 {
        let own = self.tokenizer.pad_id().filter(|id| Some(*id) != self.last);
        own.or_else(|| self.tokenizer.special_id_besides(self.last)).unwrap_or(u32::from(self.last == Some(0)))
    }

    /// The sequence of one query and document.
    ///
    /// # Errors
    /// A failure inside the tokenizer; a pair without any token.
    pub fn encode(&self, texts: &Texts<'_>) -> Result<Sequence> {
        let sequence = match &self.layout {
            Layout::Prompt { prompt, special_tokens } => self.encode_prompt(texts, prompt, *special_tokens),
            Layout::Pair { frame, query_prompt } => self.encode_pair(texts, frame, query_prompt),
        }?;
        if sequence.ids.is_empty() {
            let what =
                "a pair of a query and a document without any token, where the input template adds none: leave it out";
            return Err(Error::Tokenizer(what.to_owned()));
        }
        Ok(sequence)
    }

    /// The sequences of many, in their order, computed in parallel.
    ///
    /// # Errors
    /// A failure inside the tokenizer.
    pub fn encode_batch(&self, texts: &[Texts<'_>]) -> Result<Vec<Sequence>> {
        texts.par_iter().map(|texts| self.encode(texts)).collect()
    }

    /// The sequences of many, in their order, computed in parallel; of documents longer than the window, those of all passages.
    ///
    /// # Errors
    /// A failure inside the tokenizer.
    pub fn encode_passages(&self, texts: &[Texts<'_>]) -> Result<PairSequences> {
        let sequences = |texts: &Texts<'_>| self.split(texts)?.iter().map(|passage| self.encode(passage)).collect();
        Ok(PairSequences::of(texts.par_iter().map(sequences).collect::<Result<_>>()?))
    }

    /// The passages of a document, each as a document of its own. The first one is the whole, which the window cuts.
    fn split<'a>(&self, texts: &Texts<'a>) -> Result<Vec<Texts<'a>>> {
        let mut split = vec![*texts];
        let Some(passages) = self.passages else { return Ok(split) };
        let count = |text: &str| Ok::<_, Error>(self.tokenizer.encode(text)?.0.len());
        let query = match &self.layout {
            Layout::Prompt { .. } => count(&texts.query())?,
            Layout::Pair { query_prompt, .. } => count(&format!("{query_prompt}{}", texts.query()))?,
        };
        let (title, (_, starts)) = (count(texts.title)?, self.tokenizer.encode(texts.summary)?);
        let (_, room) = self.window.kept(query, title + starts.len(), self.fixed_tokens);
        if room == title + starts.len() {
            return Ok(split);
        }
        // A title that takes most of a passage stands in the first one alone.
        let shown = if title <= room / 2 { (texts.title, title) } else { ("", 0) };
        let first = room.saturating_sub(title + BEGINNINGS);
        let place = |token: usize| {
            let place = starts.get(token).copied().unwrap_or(texts.summary.len());
            // A token may begin within a character.
            (0..=place).rfind(|&place| texts.summary.is_char_boundary(place)).unwrap_or(0)
        };
        let begins_word = |token: usize| {
            let before = texts.summary[..place(token)].chars().next_back();
            before.is_none_or(char::is_whitespace) || texts.summary[place(token)..].starts_with(char::is_whitespace)
        };
        let tokens = (first, room.saturating_sub(shown.1 + BEGINNINGS), starts.len());
        for tokens in later_passages(passages, tokens, begins_word) {
            let summary = &texts.summary[place(tokens.start)..place(tokens.end)];
            split.push(Texts { title: shown.0, summary, ..*texts });
        }
        Ok(split)
    }

    /// Tokenizes the whole text, as any other reader of the template would, and cuts tokens of its texts.
    fn encode_prompt(&self, texts: &Texts<'_>, prompt: &Prompt, special_tokens: bool) -> Result<Sequence> {
        let filled = prompt.fill(&texts.query(), &texts.document());
        let encoding = self.tokenizer.encode_whole(&filled.text, special_tokens)?;
        let [query, document] = apart([&filled.query, &filled.document].map(|text| tokens_within(&encoding, text)));
        let dropped = match self.window {
            Window::OnlySecond { max_length } => {
                vec![self.dropped_at_the_end(&query, &document, encoding.len(), max_length)]
            }
            window => {
                let fixed = encoding.len() - query.len() - document.len();
                let (query_kept, document_kept) = window.kept(query.len(), document.len(), fixed);
                vec![self.dropped(&query, query_kept), self.dropped(&document, document_kept)]
            }
        };
        let ids = encoding.get_ids().iter().enumerate();
        let ids = ids.filter(|(at, _)| !dropped.iter().any(|dropped| dropped.contains(at))).map(|(_, &id)| id);
        let ids: Vec<u32> = ids.collect();
        let lost = |dropped: &Range<usize>, place: usize| place.clamp(dropped.start, dropped.end) - dropped.start;
        let left_of = |place: usize| dropped.iter().map(|dropped| lost(dropped, place)).sum::<usize>();
        let moved = |tokens: &Range<usize>| {
            let [start, end] = [tokens.start, tokens.end].map(|place| place - left_of(place));
            start..end
        };
        Ok(Sequence { type_ids: vec![0; ids.len()], query: moved(&query), document: moved(&document), ids })
    }

    /// What transformers and sentence-transformers cut of a rendered text that is too long: its last tokens, but those of the
    /// template after the second text are put back.
    fn dropped_at_the_end(
        &self,
        query: &Range<usize>,
        document: &Range<usize>,
        tokens: usize,
        most: usize,
    ) -> Range<usize> {
        let excess = tokens.saturating_sub(most);
        if self.cuts_left {
            return 0..excess;
        }
        let end = query.end.max(document.end);
        end.saturating_sub(excess)..end
    }

    fn encode_pair(&self, texts: &Texts<'_>, frame: &Frame, query_prompt: &str) -> Result<Sequence> {
        let (query, _) = self.tokenizer.encode(&format!("{query_prompt}{}", texts.query()))?;
        let (document, _) = self.tokenizer.encode(&texts.document())?;
        let (query_kept, document_kept) = self.window.kept(query.len(), document.len(), self.fixed_tokens);
        let length = self.fixed_tokens + query_kept + document_kept;
        let (mut ids, mut type_ids) = (Vec::with_capacity(length), Vec::with_capacity(length));
        let mut append = |tokens: &[u32], types: &[u32]| {
            let start = ids.len();
            ids.extend_from_slice(tokens);
            type_ids.extend_from_slice(types);
            start..ids.len()
        };
        append(&frame.before.ids, &frame.before.type_ids);
        let query = append(self.kept(&query, query_kept), &vec![frame.query_type; query_kept]);
        append(&frame.between.ids, &frame.between.type_ids);
        let document = append(self.kept(&document, document_kept), &vec![frame.document_type; document_kept]);
        append(&frame.after.ids, &frame.after.type_ids);
        Ok(Sequence { ids, type_ids, query, document })
    }

    /// The tokens of a text that are left of it.
    fn kept<'a>(&self, tokens: &'a [u32], count: usize) -> &'a [u32] {
        if self.cuts_left { &tokens[tokens.len() - count..] } else { &tokens[..count] }
    }

    /// The places that a text loses of its own.
    fn dropped(&self, places: &Range<usize>, kept: usize) -> Range<usize> {
        if self.cuts_left { places.start..places.end - kept } else { places.start + kept..places.end }
    }
}

/// The tokens of a part of the text: those that have a character of it.
fn tokens_within(encoding: &Encoding, part: &Range<usize>) -> Range<usize> {
    let within = |&(start, end): &(usize, usize)| !part.is_empty() && start < part.end && end > part.start;
    let offsets = encoding.get_offsets();
    match (offsets.iter().position(within), offsets.iter().rposition(within)) {
        (Some(first), Some(last)) => first..last + 1,
        _ => 0..0,
    }
}

/// The tokens of two texts; one that spans both is the first one's.
fn apart([query, document]: [Range<usize>; 2]) -> [Range<usize>; 2] {
    if query.start <= document.start {
        let start = document.start.max(query.end);
        [query, start..document.end.max(start)]
    } else {
        let start = query.start.max(document.end);
        [start..query.end.max(start), document]
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
            "sequences take up to {} tokens, {} of them of the template, the model has {max_tokens} positions \
             (max_position_embeddings in config.json)",
            pairs.max_tokens(),
            pairs.fixed_tokens,
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use serde_json::json;
    use tokenizers::{TruncationDirection, TruncationParams};

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

    fn fields(max_query_tokens: usize, max_document_tokens: usize) -> Window {
        Window::Fields { max_query_tokens, max_document_tokens }
    }

    fn encode(tokenizer: &Tokenizer, kind: Kind, query: usize, document: usize, texts: &Texts<'_>) -> Sequence {
        encode_by(tokenizer, &Scoring::of(kind, fields(query, document)), texts)
    }

    fn encode_by(tokenizer: &Tokenizer, scoring: &Scoring, texts: &Texts<'_>) -> Sequence {
        PairTokenizer::new(tokenizer, scoring).unwrap().encode(texts).unwrap()
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
    fn later_passages_are_the_title_with_later_parts_of_the_summary() {
        let words: Vec<String> = (0..9).map(|word| ["red", "shoes", "and", "cheap"][word % 4].to_owned()).collect();
        let summary = words.join(" ");
        let texts = Texts { query: "red", title: "Cheap shoes", summary: &summary };
        for (tokenizer, kind) in [(student(), Kind::Encoder), (teacher(), Kind::Decoder)] {
            let passages = Some(Passages { most: 9, overlap: 0 });
            let room = 6;
            let scoring = Scoring { passages, ..Scoring::of(kind, fields(9, room)) };
            let pairs = PairTokenizer::new(&tokenizer, &scoring).unwrap();
            let read = pairs.encode_passages(&[texts, Texts { summary: "and", ..texts }]).unwrap();
            assert_eq!(read.sequences[0], pairs.encode(&texts).unwrap());
            assert_eq!(read.sequences.last(), Some(&pairs.encode(&Texts { summary: "and", ..texts }).unwrap()));
            let of_first = &read.sequences[..read.sequences.len() - 1];
            assert!(of_first.len() > 2 && of_first.iter().all(|sequence| sequence.document.len() <= room));
            let told =
                of_first.iter().map(|sequence| tokenizer.decode(&sequence.ids[sequence.document.clone()]).unwrap());
            let told: Vec<String> = told.map(|text| text.trim().to_lowercase()).collect();
            assert!(told.iter().all(|text| text.starts_with("cheap shoes ")), "{told:?}");
            assert!(told[0].starts_with("cheap shoes red shoes"), "{told:?}");
            assert!(told.last().unwrap().ends_with("cheap red"), "{told:?}");
            assert_eq!(words[7..], ["cheap", "red"]);
        }
    }

    #[test]
    fn special_tokens_written_in_a_text_are_special_tokens() {
        let tokenizer = teacher();
        let end = tokenizer.id("</s>").unwrap();
        let texts = Texts { query: "a </s> b", title: "</s>", summary: "<pad>" };
        let sequence = encode(&tokenizer, Kind::Decoder, 100, 100, &texts);
        assert_eq!(sequence.ids.iter().filter(|id| **id == end).count(), 3);
        let tokenizer = student();
        let texts = Texts { query: "[SEP] red", title: "[SEP]", summary: "[MASK]" };
        let sequence = encode(&tokenizer, Kind::Encoder, 100, 100, &texts);
        let pair = tokenizer.inner().encode((texts.query(), texts.document()), true).unwrap();
        assert_eq!((&sequence.ids[..], &sequence.type_ids[..]), (pair.get_ids(), pair.get_type_ids()));
    }

    /// Scorings by one window, with templates in both orders.
    fn in_one_window(max_length: usize) -> Vec<Scoring> {
        let window = Window::LongestFirst { max_length };
        let reversed =
            Scoring { template: Template::given("{document} of {query}?</s>"), ..Scoring::of(Kind::Decoder, window) };
        vec![Scoring::of(Kind::Decoder, window), reversed]
    }

    #[test]
    fn a_prompt_is_cut_inside_its_texts_alone() {
        let tokenizer = teacher();
        let texts = Texts { query: "red red red red", title: "shoes shoes shoes", summary: "and and and" };
        for scoring in in_one_window(100).iter().zip(in_one_window(12)) {
            let (whole, cut) = (encode_by(&tokenizer, scoring.0, &texts), encode_by(&tokenizer, &scoring.1, &texts));
            assert_eq!(cut.ids.len(), 12);
            let rest = |sequence: &Sequence| {
                let texts = |at: &usize| !sequence.query.contains(at) && !sequence.document.contains(at);
                (0..sequence.ids.len()).filter(texts).map(|at| sequence.ids[at]).collect::<Vec<u32>>()
            };
            assert_eq!(rest(&cut), rest(&whole));
            let starts = |cut: &[u32], whole: &[u32]| assert_eq!(cut, &whole[..cut.len()]);
            starts(&cut.ids[cut.query.clone()], &whole.ids[whole.query.clone()]);
            starts(&cut.ids[cut.document.clone()], &whole.ids[whole.document.clone()]);
            assert!(cut.query.len() < whole.query.len() && cut.document.len() < whole.document.len());
        }
    }

    #[test]
    fn sequences_are_as_short_as_asked() {
        let tokenizer = teacher();
        let texts = Texts { query: "red red red red", title: "shoes shoes shoes", summary: "and and and" };
        for window in [
            Window::LongestFirst { max_length: 40 },
            Window::OnlySecond { max_length: 40 },
            Window::Fields { max_query_tokens: 2, max_document_tokens: 30 },
        ] {
            let pairs = PairTokenizer::new(&tokenizer, &Scoring::of(Kind::Decoder, window)).unwrap();
            let whole = pairs.encode(&texts).unwrap().ids.len();
            let least = window.least_tokens(pairs.fixed_tokens);
            for length in least..whole {
                let shortened = pairs.shortened(length).unwrap();
                assert_eq!((shortened.encode(&texts).unwrap().ids.len(), shortened.max_tokens()), (length, length));
            }
            assert!(matches!(pairs.shortened(least - 1), Err(Error::Config { field: "max_length", .. })), "{window:?}");
            assert_eq!(pairs.shortened(usize::MAX).unwrap().max_tokens(), pairs.max_tokens());
        }
    }

    #[test]
    fn a_prompt_loses_its_last_tokens_but_those_of_the_template() {
        let tokenizer = teacher();
        let texts = Texts { query: "red red red red", title: "shoes shoes shoes", summary: "and and and" };
        for template in ["q: {query} d: {document}</s>", "{document} of {query}?</s>", "{query}{document}"] {
            let by = |max_length| {
                let scoring = Scoring::of(Kind::Decoder, Window::OnlySecond { max_length });
                encode_by(&tokenizer, &Scoring { template: Template::given(template), ..scoring }, &texts)
            };
            let whole = by(100);
            let tail = whole.ids.len() - whole.query.end.max(whole.document.end);
            assert!(whole.ids.len() >= 10);
            for max_length in 10..whole.ids.len() + 2 {
                let cut = by(max_length);
                let kept = max_length.min(whole.ids.len());
                let expected = [&whole.ids[..kept - tail], &whole.ids[whole.ids.len() - tail..]].concat();
                assert_eq!(cut.ids, expected, "{template} {max_length}");
                assert!(cut.query.end <= kept - tail && cut.document.end <= kept - tail);
                assert!(cut.query.len() <= whole.query.len() && cut.document.len() <= whole.document.len());
            }
        }
    }

    #[test]
    fn a_pair_without_a_token_is_refused() {
        let scoring = Scoring::of(Kind::Decoder, Window::LongestFirst { max_length: 9 });
        let scoring = Scoring { template: Template::given("{query}{document}"), ..scoring };
        let empty = Texts { query: "", title: "", summary: "" };
        let error = PairTokenizer::new(&teacher(), &scoring).unwrap().encode(&empty).unwrap_err().to_string();
        assert!(error.contains("without any token"), "{error}");
    }

    #[test]
    fn a_pair_in_one_window_is_cut_as_the_tokenizers_library_cuts_it() {
        let tokenizer = student();
        let mut library = tokenizer.inner().clone();
        for (side, direction) in [("right", TruncationDirection::Right), ("left", TruncationDirection::Left)] {
            let tokenizer = tokenizer.with_fields(&[("truncation_side", json!(side))]).unwrap();
            for max_length in 5..24 {
                let params = TruncationParams { max_length, direction, ..TruncationParams::default() };
                library.with_truncation(Some(params)).unwrap();
                for (query, title) in [
                    ("red red cheap", "shoes"),
                    ("red", "cheap shoes, red and"),
                    ("red and cheap shoes", "and red shoes, cheap"),
                ] {
                    let texts = Texts { query, title, summary: "red" };
                    let pair = library.encode((texts.query(), texts.document()), true).unwrap();
                    let scoring = Scoring::of(Kind::Encoder, Window::LongestFirst { max_length });
                    let sequence = encode_by(&tokenizer, &scoring, &texts);
                    assert_eq!((&sequence.ids[..], &sequence.type_ids[..]), (pair.get_ids(), pair.get_type_ids()));
                }
            }
        }
    }

    #[test]
    fn a_prompt_stands_before_every_query_of_a_pair() {
        let tokenizer = student();
        let template = Template::Pair { query_prompt: "cheap: ".to_owned() };
        let scoring = Scoring { template, ..Scoring::of(Kind::Encoder, Window::LongestFirst { max_length: 100 }) };
        let pair = tokenizer.inner().encode(("cheap: red", "shoes"), true).unwrap();
        let texts = Texts { query: "red", title: "shoes", summary: "" };
        assert_eq!(encode_by(&tokenizer, &scoring, &texts).ids, pair.get_ids());
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
        let pairs = PairTokenizer::new(&tokenizer, &Scoring::of(Kind::Encoder, fields(8, 8))).unwrap();
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
                let pairs = PairTokenizer::new(tokenizer, &Scoring::of(*kind, fields(q, d))).unwrap();
                let sequence = pairs.encode(&texts).unwrap();
                assert!(sequence.ids.len() <= pairs.max_tokens());
                assert!(sequence.document.len() <= d);
                assert_eq!(sequence.document.end, sequence.ids.len() - 1);
                assert_eq!(sequence.ids.len(), sequence.type_ids.len());
            }
        }
    }
}
