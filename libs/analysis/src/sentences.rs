//! Sentences of a text.

use std::ops::RangeInclusive;

use unicode_segmentation::UnicodeSegmentation;

/// The sentences of a text (UAX #29, untailored) whose number of words is in `words`, without the white space around them.
pub fn sentences(text: &str, words: RangeInclusive<usize>) -> impl Iterator<Item = &str> {
    let is_fit = move |sentence: &&str| words.contains(&sentence.unicode_words().take(words.end() + 1).count());
    text.unicode_sentences().map(str::trim).filter(is_fit)
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
}
