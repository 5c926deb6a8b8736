//! How many tokens of a query and a document are read, and which are cut.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The tokens that a sequence has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "truncation", deny_unknown_fields)]
pub enum Window {
    /// One window: the longer of query and document is cut first, until both are equally long, then both. What
    /// `truncation=True` means in transformers.
    LongestFirst {
        /// Most tokens of a sequence, those of the template included.
        max_length: usize,
    },
    /// One window: of a pair the document alone is cut, and the query where nothing of the document is left; of one text its
    /// end before the template's, which is what transformers cuts of a rendered template.
    OnlySecond {
        /// Most tokens of a sequence, those of the template included.
        max_length: usize,
    },
    /// Query and document are cut apart.
    Fields {
        /// Most tokens of the query.
        max_query_tokens: usize,
        /// Most tokens of title and summary together.
        max_document_tokens: usize,
    },
}

impl Window {
    /// The longest sequence of a template that has `fixed` tokens of its own.
    pub(crate) fn max_tokens(self, fixed: usize) -> usize {
        match self {
            Self::LongestFirst { max_length } | Self::OnlySecond { max_length } => max_length,
            Self::Fields { max_query_tokens, max_document_tokens } => {
                fixed.saturating_add(max_query_tokens).saturating_add(max_document_tokens)
            }
        }
    }

    /// The shortest sequence with room for both texts beside the `fixed` tokens of the template.
    pub(super) fn least_tokens(self, fixed: usize) -> usize {
        match self {
            Self::LongestFirst { .. } | Self::OnlySecond { .. } => fixed + 2,
            Self::Fields { max_query_tokens, .. } => fixed.saturating_add(max_query_tokens).saturating_add(1),
        }
    }

    /// This one with at most `max_length` tokens of a sequence whose template has `fixed`; of fields, the document loses them.
    pub(super) fn shortened(self, max_length: usize, fixed: usize) -> Self {
        match self {
            Self::LongestFirst { .. } => Self::LongestFirst { max_length },
            Self::OnlySecond { .. } => Self::OnlySecond { max_length },
            Self::Fields { max_query_tokens, .. } => {
                let max_document_tokens = max_length.saturating_sub(fixed.saturating_add(max_query_tokens));
                Self::Fields { max_query_tokens, max_document_tokens }
            }
        }
    }

    /// How many tokens are kept of a query and a document of so many, beside `fixed` tokens of the template.
    pub(super) fn kept(self, query: usize, document: usize, fixed: usize) -> (usize, usize) {
        match self {
            Self::LongestFirst { max_length } => longest_first(query, document, max_length.saturating_sub(fixed)),
            Self::OnlySecond { max_length } => {
                let room = max_length.saturating_sub(fixed);
                let query = query.min(room);
                (query, document.min(room - query))
            }
            Self::Fields { max_query_tokens, max_document_tokens } => {
                (query.min(max_query_tokens), document.min(max_document_tokens))
            }
        }
    }

    /// Refuses a window without room for a token of either text beside the `fixed` tokens of the template.
    pub(super) fn check(self, fixed: usize) -> Result<()> {
        let refusal = |field, found: usize, expected| Err(Error::Config { field, found: found.to_string(), expected });
        match self {
            Self::LongestFirst { max_length } | Self::OnlySecond { max_length }
                if max_length < self.least_tokens(fixed) =>
            {
                let least = self.least_tokens(fixed);
                let expected = format!("at least {least}, as the input template alone has {fixed} tokens");
                refusal("max_length", max_length, expected)
            }
            Self::Fields { max_query_tokens: 0, .. } => refusal("max_query_tokens", 0, "at least 1".to_owned()),
            Self::Fields { max_document_tokens: 0, .. } => refusal("max_document_tokens", 0, "at least 1".to_owned()),
            _ => Ok(()),
        }
    }
}

/// As the truncation `LongestFirst` of the Hugging Face tokenizers: where both are to be cut, an odd token is the longer
/// one's.
fn longest_first(query: usize, document: usize, room: usize) -> (usize, usize) {
    if query + document <= room {
        return (query, document);
    }
    let (shorter, longer) = (query.min(document), query.max(document));
    let (shorter, longer) =
        if shorter + shorter <= room { (shorter, longer.min(room - shorter)) } else { (room / 2, room - room / 2) };
    if query > document { (longer, shorter) } else { (shorter, longer) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sequence of so many tokens.
    fn encoding(tokens: usize) -> tokenizers::Encoding {
        let token = |id| tokenizers::Token::new(id, "x".to_owned(), (0, 1));
        tokenizers::Encoding::from_tokens((0..tokens as u32).map(token).collect(), 0)
    }

    proptest::proptest! {
        #[test]
        fn the_longest_is_cut_as_the_tokenizers_library_cuts_it(query in 0_usize..40, document in 0_usize..40, room in 1_usize..50) {
            let params = tokenizers::TruncationParams { max_length: room, ..Default::default() };
            let (first, second) =
                tokenizers::truncate_encodings(encoding(query), Some(encoding(document)), &params).unwrap();
            let expected = (first.len(), second.unwrap().len());
            let window = Window::LongestFirst { max_length: room + 3 };
            proptest::prop_assert_eq!(window.kept(query, document, 3), expected);
        }

        #[test]
        fn the_document_alone_is_cut_while_there_is_any(query in 0_usize..40, document in 0_usize..40, room in 0_usize..50) {
            let (q, d) = Window::OnlySecond { max_length: room }.kept(query, document, 0);
            proptest::prop_assert_eq!(q + d, room.min(query + document));
            proptest::prop_assert!(q == query || d == 0);
        }
    }

    #[test]
    fn a_window_without_room_is_refused() {
        let message = |window: Window| window.check(3).unwrap_err().to_string();
        let expected = "max_length = 4: expected at least 5, as the input template alone has 3 tokens";
        assert_eq!(message(Window::LongestFirst { max_length: 4 }), expected);
        assert_eq!(message(Window::OnlySecond { max_length: 4 }), expected);
        assert!(Window::LongestFirst { max_length: 5 }.check(3).is_ok());
        let fields = |max_query_tokens, max_document_tokens| Window::Fields { max_query_tokens, max_document_tokens };
        assert_eq!(message(fields(0, 1)), "max_query_tokens = 0: expected at least 1");
        assert_eq!(message(fields(1, 0)), "max_document_tokens = 0: expected at least 1");
    }
}
