//! Values out of text: trimmed, and missing where the text stands for nothing.

use std::borrow::Cow;

use crate::record::{Lists, Value, is_list};

/// The texts that stand for a missing value, beside blank ones.
#[derive(Debug, Clone)]
pub(crate) struct Nulls {
    texts: Vec<String>,
    /// By first byte: true if a text starts with it. Nearly all values are told apart here.
    first: [bool; 256],
    longest: usize,
}

impl Nulls {
    pub(crate) fn new(texts: impl IntoIterator<Item = String>) -> Nulls {
        let texts = texts.into_iter().map(|text| text.trim().to_string()).filter(|text| !text.is_empty());
        let texts: Vec<String> = texts.collect();
        let mut first = [false; 256];
        texts.iter().for_each(|text| first[usize::from(text.as_bytes()[0])] = true);
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Nulls { texts, first, longest }
    }

    /// `text` trimmed, or `None` if it stands for a missing value.
    #[inline]
    pub(crate) fn present<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (first, last) = (text.as_bytes().first()?, text.as_bytes().last()?);
        let plain = first.is_ascii_graphic() && last.is_ascii_graphic();
        let text = if plain { text } else { text.trim() };
        let null = match text.as_bytes().first() {
            None => true,
            Some(&first) => {
                text.len() <= self.longest
                    && self.first[usize::from(first)]
                    && self.texts.iter().any(|null| null == text)
            }
        };
        (!null).then_some(text)
    }

    /// The value that `text` is.
    #[inline]
    pub(crate) fn value<'a>(&self, text: Cow<'a, str>) -> Value<'a> {
        self.item(text).map_or(Value::Missing, Value::Text)
    }

    /// The value that `text` is, if it is not missing.
    #[inline]
    pub(crate) fn item<'a>(&self, text: Cow<'a, str>) -> Option<Cow<'a, str>> {
        match text {
            Cow::Borrowed(text) => self.present(text).map(Cow::Borrowed),
            Cow::Owned(text) => {
                let present = self.present(&text)?;
                Some(Cow::Owned(if present.len() == text.len() { text } else { present.to_string() }))
            }
        }
    }

    /// The value of field `name` that is the list `items`, or why it has none.
    pub(crate) fn list<'a>(
        &self,
        name: &str,
        lists: Lists,
        items: impl Iterator<Item = Option<Cow<'a, str>>>,
    ) -> Result<Value<'a>, String> {
        let items = items.map(|item| item.and_then(|item| self.item(item)));
        match lists {
            Lists::Refused => Err(is_list(name)),
            Lists::Items => Ok(Value::Items(items.map(Option::unwrap_or_default).collect())),
            Lists::Joined => {
                let texts: Vec<Cow<str>> = items.flatten().collect();
                Ok(self.value(Cow::Owned(texts.join(" "))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_and_null_markers_are_missing() {
        let nulls = Nulls::new(["\\N", "-", " NA ", ""].map(String::from));
        for (text, expected) in [
            ("", None),
            (" \t", None),
            ("\u{3000}", None),
            (" \\N ", None),
            ("NA", None),
            ("-", None),
            ("-1", Some("-1")),
            ("N", Some("N")),
            (" é\u{a0}", Some("é")),
        ] {
            assert_eq!(nulls.present(text), expected, "{text:?}");
            assert_eq!(nulls.value(Cow::Owned(text.into())).text(), expected, "{text:?}");
        }
        assert_eq!(Nulls::new([]).present("NA"), Some("NA"));
    }

    #[test]
    fn lists_are_refused_joined_or_given() {
        let nulls = Nulls::new(["-".into()]);
        let items = || [Some(" a"), None, Some("-"), Some("b")].into_iter().map(|item| item.map(Cow::Borrowed));
        assert_eq!(nulls.list("d", Lists::Refused, items()), Err("d is not a single value: it is a list".into()));
        assert_eq!(nulls.list("d", Lists::Joined, items()), Ok(Value::Text("a b".into())));
        let expected = ["a", "", "", "b"].map(Cow::Borrowed).to_vec();
        assert_eq!(nulls.list("d", Lists::Items, items()), Ok(Value::Items(expected)));
        assert_eq!(nulls.list("d", Lists::Joined, std::iter::empty()), Ok(Value::Missing));
    }
}
