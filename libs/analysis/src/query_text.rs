//! The normal form of query texts.

use std::borrow::Cow;

use icu_casemap::CaseMapper;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, PrependedConcatenationMark};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// Lengthens the line between two Arabic letters.
const TATWEEL: char = '\u{640}';

/// The cell without dots, which Braille has for a space.
const BRAILLE_BLANK: char = '\u{2800}';

/// A lower-case i with a second dot, which is what the Turkish capital with a dot becomes.
const DOTTED_I: &str = "i\u{307}";

/// After so many passes a text no longer changes.
const MAX_PASSES: usize = 8;

/// NFKC and full case folding, without characters that are not seen, white space and control characters collapsed to
/// single spaces; empty for a text that shows nothing. Normalising twice changes nothing.
#[must_use]
pub fn normalise(text: &str) -> String {
    if is_plain(text) {
        return text.to_string();
    }
    if text.is_ascii() {
        return words(&text.to_ascii_lowercase());
    }
    // What is dropped or folded can let its neighbours compose, and what is composed can be folded again.
    let mut form = text.to_string();
    for _ in 0..MAX_PASSES {
        let next = pass(&form);
        if next == form {
            break;
        }
        form = next;
    }
    form
}

/// True for the normal form of most queries: ASCII without capitals and controls, and single spaces between the words.
fn is_plain(text: &str) -> bool {
    let mut after_space = true;
    for &byte in text.as_bytes() {
        let space = byte == b' ';
        if !matches!(byte, b' '..=b'@' | b'['..=b'~') || (space && after_space) {
            return false;
        }
        after_space = space;
    }
    !after_space || text.is_empty()
}

fn pass(text: &str) -> String {
    let seen: String = text.chars().filter(|&c| is_seen(c)).collect();
    let mut composed = nfkc(Cow::Owned(seen));
    if !composed.chars().all(is_seen) {
        composed = composed.chars().filter(|&c| is_seen(c)).collect();
    }
    let folded = nfkc(CaseMapper::new().fold_string(&composed));
    // One query, whether its capitals were folded here or in a Turkish program.
    if folded.contains(DOTTED_I) { words(&folded.replace(DOTTED_I, "i")) } else { words(&folded) }
}

fn nfkc(text: Cow<'_, str>) -> Cow<'_, str> {
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text,
        IsNormalized::No | IsNormalized::Maybe => text.nfkc().collect(),
    }
}

/// False for characters that change nothing in what the reader sees but joins, directions and line breaks.
fn is_seen(c: char) -> bool {
    if c.is_ascii() {
        return true;
    }
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    let format = CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format;
    // Of the other format characters those are seen that enclose the digits after them, such as the Arabic year sign.
    let seen = !format || CodePointSetData::new::<PrependedConcatenationMark>().contains(c);
    seen && !ignorable && c != TATWEEL
}

fn words(text: &str) -> String {
    let separator = |c: char| c.is_whitespace() || c.is_control() || c == BRAILLE_BLANK;
    let mut words = String::with_capacity(text.len());
    for word in text.split(separator).filter(|word| !word.is_empty()) {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_query_in_every_spelling() {
        for text in ["blue ray", " Blue\tRAY ", "ｂｌｕｅ ray", "blue\u{a0}\u{0}ray\r\n", "blue  ray"] {
            assert_eq!(normalise(text), "blue ray", "{text:?}");
        }
        assert_eq!(normalise("ﬁne Ⅳ"), "fine iv");
        for text in ["", " ", " \t ", "\u{7f}"] {
            assert_eq!(normalise(text), "");
        }
    }

    #[test]
    fn what_is_not_seen_does_not_count() {
        let dropped = [
            '\u{200b}',
            '\u{200c}',
            '\u{200d}',
            '\u{200e}',
            '\u{200f}',
            '\u{202a}',
            '\u{202e}',
            '\u{2060}',
            '\u{2064}',
            '\u{2066}',
            '\u{2069}',
            '\u{feff}',
            '\u{ad}',
            '\u{fe00}',
            '\u{fe0f}',
            '\u{e0100}',
            '\u{e01ef}',
            '\u{e0001}',
            '\u{e0020}',
            '\u{e007f}',
            '\u{180b}',
            '\u{180e}',
            '\u{180f}',
            '\u{34f}',
            '\u{61c}',
            '\u{115f}',
            '\u{1160}',
            '\u{3164}',
            '\u{ffa0}',
            '\u{fff9}',
            '\u{640}',
        ];
        for c in dropped {
            assert_eq!(normalise(&c.to_string()), "", "{c:?}");
            assert_eq!(normalise(&format!("{c}red{c} sho{c}es{c}")), "red shoes", "{c:?}");
            assert_eq!(normalise(&format!("red{c}shoes")), "redshoes", "{c:?}");
        }
        for c in ['\u{a0}', '\u{3000}', '\t', '\n', '\u{85}', '\u{2028}', '\u{2029}', '\u{2800}', '\u{1680}', '\u{1f}']
        {
            assert_eq!(normalise(&format!("{c}red{c}{c}shoes{c}")), "red shoes", "{c:?}");
        }
        assert_eq!(normalise("cafe\u{200b}\u{301}"), "café");
        assert_eq!(normalise("❤\u{fe0f}"), "❤");
        assert_eq!(normalise("\u{202b}\u{200f}שלום\u{202c}"), "שלום");
        assert_eq!(normalise("مــر"), "مر");
        assert_eq!(normalise("\u{600}12"), "\u{600}12");
    }

    #[test]
    fn case_is_folded() {
        for text in ["STRASSE", "straße", "STRAẞE", "ﬆraße", "Straſſe"] {
            assert_eq!(normalise(text), "strasse", "{text}");
        }
        for text in ["ΟΔΟΣ", "οδος", "οδοσ"] {
            assert_eq!(normalise(text), "οδοσ", "{text}");
        }
        for text in ["İSTANBUL", "i\u{307}stanbul", "ISTANBUL", "I\u{307}stanbul"] {
            assert_eq!(normalise(text), "istanbul", "{text}");
        }
        assert_eq!(normalise("ısparta"), "ısparta");
        assert_eq!(normalise("\u{212a}"), "k");
        assert_eq!(normalise("Ǆ"), "dž");
        assert_eq!(normalise("ΰ"), normalise("\u{1fe3}"));
    }

    #[test]
    fn width_is_folded_and_words_stay_apart() {
        assert_eq!(normalise("ｶﾞﾗｽ"), "ガラス");
        assert_eq!(normalise("ガラス"), "ガラス");
        assert_eq!(normalise("中文　搜索"), "中文 搜索");
        assert_eq!(normalise("中文搜索"), "中文搜索");
    }

    #[test]
    fn plain_texts_are_their_own_form() {
        for text in ["", "a", "red shoes", "a-b c_d 10% {x}~"] {
            assert!(is_plain(text), "{text:?}");
            assert_eq!(pass(text), text);
        }
        for text in [" a", "a ", "a  b", "A", "a\tb", "é", "\u{7f}", " "] {
            assert!(!is_plain(text), "{text:?}");
        }
    }

    #[test]
    fn every_character_is_folded_once_and_for_all() {
        // The planes that are left out hold ideographs, Hangul and private characters.
        let ranges = ['\0'..='\u{33ff}', '\u{a640}'..='\u{abff}', '\u{f900}'..='\u{1ffff}', '\u{e0000}'..='\u{e0fff}'];
        for c in ranges.into_iter().flatten() {
            let once = normalise(&format!("{c} i{c}\u{307} a{c}\u{345}\u{301}"));
            assert_eq!(normalise(&once), once, "{c:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>()) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }

        #[test]
        fn ascii_takes_the_short_way_to_the_same_form(text in "[ -~\\t\\n]{0,20}") {
            prop_assert_eq!(normalise(&text), pass(&text));
        }

        #[test]
        fn one_form_in_either_case(text in "\\PC{0,20}") {
            // The dotless i has the capital of the dotted one.
            prop_assume!(!text.contains('ı'));
            prop_assert_eq!(normalise(&text.to_uppercase()), normalise(&text));
        }
    }
}
