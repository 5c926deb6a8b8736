//! Texts as tokens.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use snowball_stemmers_rs::{Algorithm, Stemmer};

use crate::accents::AccentFolding;
use crate::name::AnalyzerName;
use crate::normal_form::normal_form;
use crate::segments::{Segment, for_each_segment};

/// Raised with every change of the rules that changes a token, so that indexes of earlier rules are refused.
const RULES: u32 = 1;

/// The most characters of a token.
const MAX_CHARACTERS: usize = 255;

/// Makes the tokens of texts by the rules at the head of the crate. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Analyzer {
    name: AnalyzerName,
    stemmer: Option<Algorithm>,
    stop_words: Arc<HashSet<String>>,
}

impl Analyzer {
    /// The analyzer of a name.
    pub fn new(name: AnalyzerName) -> Self {
        let language = name.language();
        let stop_words = language.map_or("", |language| language.stop_words);
        Self {
            name,
            stemmer: language.map(|language| language.stemmer),
            stop_words: Arc::new(stop_words.lines().map(|word| normal_form(word).into_owned()).collect()),
        }
    }

    /// The name that it was made of.
    pub fn name(&self) -> AnalyzerName {
        self.name
    }

    /// Name and version of the rules, such as `unicode 1`: recorded with an index, so that one of other rules is refused.
    pub fn identity(&self) -> String {
        format!("{} {RULES}", self.name.name())
    }

    /// Calls `take` with each token of `text` in order. No token is empty or longer than 255 characters.
    pub fn for_each(&self, text: &str, mut take: impl FnMut(&str)) {
        if self.name == AnalyzerName::Whitespace {
            return normal_form(text).split_whitespace().for_each(|token| for_each_piece(token, &mut take));
        }
        let mut accents = AccentFolding::default();
        for_each_segment(&normal_form(text), |segment| match segment {
            Segment::Bigram(bigram) => for_each_piece(bigram, &mut take),
            Segment::Word(word) => {
                if let Some(stem) = self.stem(word) {
                    for_each_piece(accents.fold(&stem), &mut take);
                }
            }
        });
    }

    /// The tokens of `text` in order, as [`Analyzer::for_each`] gives them.
    pub fn tokens(&self, text: &str) -> Vec<String> {
        let mut tokens = Vec::new();
        self.for_each(text, |token| tokens.push(token.to_owned()));
        tokens
    }

    /// The stem of `word`, which still has its accents; `None` for a stop word.
    fn stem<'a>(&self, word: &'a str) -> Option<Cow<'a, str>> {
        match self.stemmer {
            // Stemmers may take the square of a word's length.
            Some(stemmer) if !is_long(word) => {
                let possessive = if self.name == AnalyzerName::English { word.strip_suffix("'s") } else { None };
                let word = possessive.unwrap_or(word);
                (!self.stop_words.contains(word)).then(|| Stemmer::create(stemmer).stem(word))
            }
            _ => Some(Cow::Borrowed(word)),
        }
    }
}

fn is_long(token: &str) -> bool {
    token.len() > MAX_CHARACTERS && token.chars().nth(MAX_CHARACTERS).is_some()
}

/// Cuts `token` into pieces of the greatest length allowed.
fn for_each_piece(token: &str, mut take: impl FnMut(&str)) {
    let mut rest = token;
    while is_long(rest) {
        let end = rest.char_indices().nth(MAX_CHARACTERS).map_or(rest.len(), |(at, _)| at);
        take(&rest[..end]);
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        take(rest);
    }
}

#[cfg(test)]
mod tests;
