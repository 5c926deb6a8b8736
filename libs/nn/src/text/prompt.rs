//! Templates that are one text with the query and the document in it.

use std::ops::Range;

use crate::error::{Error, Result};

/// Which of the two texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Query,
    Document,
}

impl Side {
    const BOTH: [Side; 2] = [Side::Query, Side::Document];

    /// Its place in a template: plain, and with a space before what is not empty.
    fn places(self) -> [&'static str; 2] {
        match self {
            Self::Query => ["{query}", "{ query}"],
            Self::Document => ["{document}", "{ document}"],
        }
    }
}

/// The place of a text in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    side: Side,
    /// True if a space comes before a text that is not empty.
    pub(crate) spaced: bool,
}

impl Place {
    /// The role of the text's message in a chat template for rankers.
    pub(crate) fn role(self) -> &'static str {
        match self.side {
            Side::Query => "query",
            Side::Document => "document",
        }
    }
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prompt {
    /// What stands before the first place, between the places and after the second.
    pub(crate) around: [String; 3],
    /// Query and document, in the order of the template.
    pub(crate) places: [Place; 2],
}

/// A filled template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filled {
    pub(crate) text: String,
    /// Where the query and the document are in it, the space before them included, in bytes.
    pub(super) query: Range<usize>,
    pub(super) document: Range<usize>,
}

impl Prompt {
    /// Parses a text with `{query}` or `{ query}`, and `{document}` or `{ document}`, once each.
    ///
    /// # Errors
    /// A text without one of them, or with one twice.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut found: Vec<(usize, &str, Place)> = Vec::new();
        for side in Side::BOTH {
            for (place, spaced) in side.places().into_iter().zip([false, true]) {
                found.extend(text.match_indices(place).map(|(at, _)| (at, place, Place { side, spaced })));
            }
        }
        found.sort_by_key(|(at, ..)| *at);
        let [(first, first_place, one), (second, second_place, two)] = found[..] else { return Err(unusable(text)) };
        if one.side == two.side {
            return Err(unusable(text));
        }
        let around = [&text[..first], &text[first + first_place.len()..second], &text[second + second_place.len()..]];
        Ok(Self { around: around.map(str::to_owned), places: [one, two] })
    }

    /// The text with a query and a document in it.
    pub(crate) fn fill(&self, query: &str, document: &str) -> Filled {
        let mut filled = Filled { text: self.around[0].clone(), query: 0..0, document: 0..0 };
        for (place, after) in self.places.iter().zip(&self.around[1..]) {
            let (content, range) = match place.side {
                Side::Query => (query, &mut filled.query),
                Side::Document => (document, &mut filled.document),
            };
            let start = filled.text.len();
            if place.spaced && !content.is_empty() {
                filled.text.push(' ');
            }
            filled.text.push_str(content);
            *range = start..filled.text.len();
            filled.text.push_str(after);
        }
        filled
    }
}

fn unusable(text: &str) -> Error {
    Error::Config {
        field: "template",
        found: format!("{text:?}"),
        expected: "a text with {query} and {document} once each, or \"pair\", the tokenizer's own pair".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(template: &str, query: &str, document: &str) -> (String, String, String) {
        let Filled { text, query, document } = Prompt::parse(template).unwrap().fill(query, document);
        (text.clone(), text[query].to_owned(), text[document].to_owned())
    }

    #[test]
    fn texts_take_their_places_in_any_order() {
        let expected =
            |text: &str, query: &str, document: &str| (text.to_owned(), query.to_owned(), document.to_owned());
        assert_eq!(filled("q: {query} d: {document}</s>", "a b", "c"), expected("q: a b d: c</s>", "a b", "c"));
        assert_eq!(filled("{document}|{query}", "{document}", "c"), expected("c|{document}", "{document}", "c"));
        assert_eq!(filled("q:{ query} d:{ document}.", "a", "c"), expected("q: a d: c.", " a", " c"));
        assert_eq!(filled("q:{ query} d:{ document}.", "", ""), expected("q: d:.", "", ""));
        assert_eq!(filled("{\"q\": {query}, {document}}", "a", "c"), expected("{\"q\": a, c}", "a", "c"));
    }

    #[test]
    fn templates_without_both_texts_are_refused() {
        for text in ["", "{query}", "{document}", "{query}{query}", "{query}{ query}{document}", "{Query} {document}"] {
            let error = Prompt::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("template = {text:?}: expected a text with {{query}}")), "{error}");
        }
    }
}
