//! The normal form that texts are cut into tokens in: NFKC and full case folding without invisible characters.

use std::borrow::Cow;
use std::sync::LazyLock;

use icu_casemap::CaseMapper;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
use icu_properties::{CodePointMapData, CodePointSetData};
use unicode_normalization::char::canonical_combining_class;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick, is_nfkc_quick};

/// Stands between words of scripts that have no visible space.
const ZERO_WIDTH_SPACE: char = '\u{200B}';
/// Lengthens the line between two Arabic letters.
const TATWEEL: char = '\u{640}';
/// Draws a key around a digit.
const KEYCAP: char = '\u{20E3}';

/// The normal form of `text`, borrowed if `text` is ASCII in lower case.
pub(crate) fn normal_form(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        let capitals = text.bytes().any(|byte| byte.is_ascii_uppercase());
        return if capitals { Cow::Owned(text.to_ascii_lowercase()) } else { Cow::Borrowed(text) };
    }
    let mut form = String::with_capacity(text.len());
    // Where the characters begin that are normalised together: an independent one and all after it that are not.
    let mut together = 0;
    let mut dependent = false;
    for (at, c) in text.char_indices() {
        if !is_independent(c) {
            dependent = true;
        } else {
            push_form(&text[together..at], dependent, &mut form);
            together = at;
            dependent = false;
        }
    }
    push_form(&text[together..], dependent, &mut form);
    Cow::Owned(form)
}

/// Adds the form of `text`, which is one independent character or none unless it is `dependent`.
fn push_form(text: &str, dependent: bool, form: &mut String) {
    if dependent {
        return form.push_str(&normalise(text));
    }
    let Some(c) = text.chars().next() else { return };
    match c {
        ..='\x7F' => form.push(c.to_ascii_lowercase()),
        '\u{FF01}'..='\u{FF5E}' => form.push(halfwidth(c)),
        _ => match FORMS.get(c as usize) {
            Some(Some(known)) => form.push_str(known),
            _ => form.push(c),
        },
    }
}

/// The lower-case ASCII character of a full-width one.
fn halfwidth(c: char) -> char {
    char::from_u32(c as u32 - 0xFEE0).map_or(c, |c| c.to_ascii_lowercase())
}

/// True for characters that join with nothing before them: the form of a text is the form of what is before such a character
/// and the form of the rest. Its own is given by `FORMS`, or it is full-width ASCII, or the character is its own form.
fn is_independent(c: char) -> bool {
    match c {
        ..='\x7F' => true,
        '\u{80}'..TABLE_END => FORMS[c as usize].is_some(),
        '\u{3001}'..='\u{3029}' | '\u{3041}'..='\u{3096}' | '\u{30A0}'..='\u{30FE}' => true,
        '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}' | '\u{AC00}'..='\u{D7A3}' | '\u{FF01}'..='\u{FF5E}' => true,
        _ => false,
    }
}

/// Alphabets of living languages and punctuation are below this, and so is the ideographic space.
const TABLE_END: char = '\u{3001}';

/// The form of each character below `TABLE_END` that is independent.
static FORMS: LazyLock<Vec<Option<Box<str>>>> = LazyLock::new(|| ('\0'..TABLE_END).map(independent_form).collect());

fn independent_form(c: char) -> Option<Box<str>> {
    let form = normalise(c.encode_utf8(&mut [0; 4])).into_owned();
    let first = form.nfd().next()?;
    let mark = canonical_combining_class(c) != 0 || canonical_combining_class(first) != 0;
    let joins = is_nfc_quick(std::iter::once(first)) != IsNormalized::Yes;
    (!mark && !joins).then(|| form.into_boxed_str())
}

/// The normal form by its definition.
fn normalise(text: &str) -> Cow<'_, str> {
    let kept = keep(Cow::Borrowed(text));
    // The Hangul filler of one letter becomes the one of a syllable, which is as invisible.
    let composed = keep(nfkc(kept));
    match composed {
        Cow::Borrowed(composed) => nfkc(CaseMapper::new().fold_string(composed)),
        Cow::Owned(composed) => Cow::Owned(nfkc(CaseMapper::new().fold_string(&composed)).into_owned()),
    }
}

/// Removes invisible characters and makes all apostrophes alike.
fn keep(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().all(|c| is_visible(c) && c != '’') {
        return text;
    }
    Cow::Owned(text.chars().filter(|&c| is_visible(c)).map(|c| if c == '’' { '\'' } else { c }).collect())
}

fn is_visible(c: char) -> bool {
    if c.is_ascii() || c == ZERO_WIDTH_SPACE {
        return true;
    }
    let format = CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::Format;
    let ignorable = CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c);
    !(format || ignorable || c == TATWEEL || c == KEYCAP)
}

fn nfkc(text: Cow<'_, str>) -> Cow<'_, str> {
    match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text,
        IsNormalized::No | IsNormalized::Maybe => Cow::Owned(text.nfkc().collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_alike_has_one_form() {
        assert_eq!(normal_form("Ｗｉ－Ｆｉ　６Ｅ"), "wi-fi 6e");
        assert_eq!(normal_form("ﾊﾞｰｺｰﾄﾞ"), "バーコード");
        assert_eq!(normal_form("STRASSE Straße"), "strasse strasse");
        assert_eq!(normal_form("co\u{ad}op\u{200d}er\u{feff}ate"), "cooperate");
        assert_eq!(normal_form("กา\u{200b}แฟ"), "กา\u{200b}แฟ");
        assert_eq!(normal_form("e\u{200d}\u{301}"), "é");
        assert_eq!(normal_form("rock’n’roll"), "rock'n'roll");
        assert_eq!(normal_form("1\u{fe0f}\u{20e3}"), "1");
        assert_eq!(normal_form("كتـــاب"), "كتاب");
        assert_eq!(normal_form("\u{3164}x\u{ffa0}"), "x");
        assert!(matches!(normal_form("plain ascii"), Cow::Borrowed(_)));
    }

    /// Every character after a letter and before a mark, which joins with what is before it if anything does.
    #[test]
    fn independent_characters_do_not_join_with_others() {
        for c in (char::MIN..=char::MAX).filter(|&c| is_independent(c)) {
            for text in
                [format!("e{c}"), format!("{c}\u{301}"), format!("か{c}\u{3099}"), format!("\u{1100}{c}\u{11A8}")]
            {
                assert_eq!(normal_form(&text), normalise(&text), "{text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_give_the_form_of_the_whole(
            text in concat!(
                "([a-zA-Z0-9 ]|[À-ɏ]|[Ͱ-ӿ]|[\u{300}-\u{345}]|[֑-ۿ]|[ऀ-ॿ]|[฀-໿]|[က-႟]|[ᄀ-ᇿ]|[ក-៿]|[ἀ-῿]",
                "|[\u{2000}-\u{20ff}]|[぀-ヿ]|[가-힣]|[\u{ff00}-\u{ffef}]|[\u{fe00}-\u{fe0f}]|.){0,40}",
            )
        ) {
            prop_assert_eq!(normal_form(&text), normalise(&text));
        }

        #[test]
        fn ascii_is_a_shortcut(text in "[\\x00-\\x7f]{0,60}") {
            prop_assert_eq!(normal_form(&text), normalise(&text));
        }
    }
}
