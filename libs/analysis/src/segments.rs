//! Cuts a normalised text into words and bigrams.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup, Script};
use unicode_segmentation::UnicodeSegmentation;

/// A piece of a normalised text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Segment<'a> {
    /// A word by UAX #29.
    Word(&'a str),
    /// Two adjacent units of a script that does not separate words, or one that stands alone.
    Bigram(&'a str),
}

/// Calls `take` with each segment of `form` in order.
pub(crate) fn for_each_segment<'a>(form: &'a str, mut take: impl FnMut(Segment<'a>)) {
    let mut rest = form;
    while !rest.is_empty() {
        let (words, run) = rest.split_at(rest.find(starts_unit).unwrap_or(rest.len()));
        for_each_word(words, |word| take(Segment::Word(word)));
        rest = take_run(run, |bigram| take(Segment::Bigram(bigram)));
    }
}

/// Gives the bigrams of the run at the start of `text`; returns what follows the run.
fn take_run<'a>(text: &'a str, mut take: impl FnMut(&'a str)) -> &'a str {
    let mut before = None;
    let mut unit = 0;
    let mut end = text.len();
    for (at, c) in text.char_indices().skip(1) {
        if starts_unit(c) {
            if let Some(start) = before.replace(unit) {
                take(&text[start..at]);
            }
            unit = at;
        } else if !is_mark(c) {
            end = at;
            break;
        }
    }
    if end > 0 {
        take(&text[before.unwrap_or(unit)..end]);
    }
    &text[end..]
}

/// True for the letters and numbers of scripts that do not separate words.
fn starts_unit(c: char) -> bool {
    match c {
        ..'\u{E00}' => false,
        // Most of Han, Hangul and kana, and signs that Unicode counts to more than one script.
        '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{3041}'..='\u{3096}' | '\u{30A1}'..='\u{30FA}' => true,
        '\u{3006}' | '\u{3031}'..='\u{3035}' | '\u{303C}' | '\u{30FC}' => true,
        _ => is_letter_or_number(c) && is_unseparated(c),
    }
}

fn is_unseparated(c: char) -> bool {
    matches!(
        CodePointMapData::<Script>::new().get(c),
        Script::Han
            | Script::Hiragana
            | Script::Katakana
            | Script::Hangul
            | Script::Thai
            | Script::Lao
            | Script::Khmer
            | Script::Myanmar
    )
}

fn is_letter_or_number(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    GeneralCategoryGroup::Letter.contains(category) || GeneralCategoryGroup::Number.contains(category)
}

fn is_mark(c: char) -> bool {
    !c.is_ascii() && GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

/// Words always end at white space and most ASCII punctuation, so that only what is left of other words needs the tables.
fn for_each_word<'a>(text: &'a str, mut take: impl FnMut(&'a str)) {
    for piece in text.split(|c: char| c.is_ascii() && !may_join(c)) {
        let piece = piece.trim_matches(['.', ',', ':', ';', '"']);
        if piece.chars().all(is_plain) {
            if !piece.is_empty() {
                take(piece);
            }
        } else if piece.is_ascii() {
            piece.unicode_words().for_each(&mut take);
        } else {
            piece.split_word_bounds().filter(|word| word.contains(is_letter_or_number)).for_each(&mut take);
        }
    }
}

/// True for the ASCII characters that can stand inside a word.
fn may_join(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '\'' | '"' | '.' | ',' | ':' | ';')
}

/// True for letters and digits of common alphabets, which are always joined.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c,
            'ß'..='ö' | 'ø'..='\u{24F}' | 'α'..='ω' | 'а'..='џ' | '\u{620}'..='\u{64A}' | '\u{1EA0}'..='\u{1EFF}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn segments(form: &str) -> Vec<&str> {
        let mut all = Vec::new();
        for_each_segment(form, |(Segment::Word(text) | Segment::Bigram(text))| all.push(text));
        all
    }

    #[test]
    fn runs_become_bigrams_and_the_rest_words() {
        assert_eq!(segments("iphone15手机壳"), ["iphone15", "手机", "机壳"]);
        assert_eq!(segments("猫 と 犬"), ["猫", "と", "犬"]);
        assert_eq!(segments("データ々"), ["デー", "ータ", "タ々"]);
        assert_eq!(segments("lg전자tv"), ["lg", "전자", "tv"]);
        assert_eq!(
            segments("don't 3.14 1,000 snake_case a@b.c, -- 👍"),
            ["don't", "3.14", "1,000", "snake_case", "a", "b.c"]
        );
    }

    #[test]
    fn marks_stay_with_their_base() {
        assert_eq!(segments("ก้อน"), ["ก้อ", "อน"]);
        assert_eq!(segments("ที่"), ["ที่"]);
        assert_eq!(segments("ខ្មែរ"), ["ខ្មែ", "មែរ"]);
        assert_eq!(segments("\u{e49}ก"), ["ก"]);
    }

    proptest! {
        /// The pieces that are cut off before are only a shortcut.
        #[test]
        fn words_are_those_of_the_standard(
            text in concat!(
                "([a-z1'\".,:;_ ]|[\\x00-\\x7f]|[ß-ɏ]|[α-ω]|[а-џ]|[א-ת]|[ؠ-ي]|[Ạ-ỿ]",
                "|[\u{301}\u{a0}\u{b7}०-९٠-٩\u{200b}]){0,30}",
            )
        ) {
            let expected: Vec<&str> =
                text.split_word_bounds().filter(|word| word.contains(is_letter_or_number)).collect();
            prop_assert_eq!(segments(&text), expected);
        }

        #[test]
        fn segments_are_in_order_and_within_the_text(text in "\\PC{0,40}") {
            let mut start = text.as_ptr() as usize;
            for segment in segments(&text) {
                prop_assert!(!segment.is_empty() && segment.as_ptr() as usize >= start);
                start = segment.as_ptr() as usize;
            }
        }
    }
}
