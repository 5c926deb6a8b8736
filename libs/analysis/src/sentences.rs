//! Sentences of a text.

use std::ops::RangeInclusive;

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text (UAX #29, untailored) whose number of words is in `words`, without the white space around them. As
/// UAX #29 ends no sentence before a small letter, in a text without capital letters each full stop before a space ends one too.
pub fn sentences<'a>(text: &'a str, words: RangeInclusive<usize>) -> impl Iterator<Item = &'a str> {
    let is_fit = move |sentence: &&str| words.contains(&sentence.unicode_words().take(words.end() + 1).count());
    let is_small = !text.chars().any(char::is_uppercase);
    let parts = move |sentence: &'a str| {
        let at_stops = is_small.then(|| sentence.split_inclusive(". "));
        at_stops.into_iter().flatten().chain((!is_small).then_some(sentence))
    };
    text.unicode_sentences().flat_map(parts).map(str::trim).filter(is_fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_have_so_many_words() {
        let text = "A red bowl. It holds 3.5 litres of water, and no more! Yes?  红色的碗。";
        let found = |words| sentences(text, words).collect::<Vec<_>>();
        // Each character of the last one is a word.
        assert_eq!(found(2..=4), ["A red bowl.", "红色的碗。"]);
        assert_eq!(found(1..=1), ["Yes?"]);
        assert_eq!(found(5..=9), ["It holds 3.5 litres of water, and no more!"]);
        assert!(sentences("", 0..=9).next().is_none());
    }

    #[test]
    fn texts_in_small_letters_have_sentences_too() {
        let text = "it holds 3.5 litres . the bowl is red. is it of glass? it is .";
        let found: Vec<&str> = sentences(text, 1..=9).collect();
        assert_eq!(found, ["it holds 3.5 litres .", "the bowl is red.", "is it of glass?", "it is ."]);
        assert_eq!(sentences("Seen by f. the second, it is of glass.", 1..=9).count(), 1);
    }
}
