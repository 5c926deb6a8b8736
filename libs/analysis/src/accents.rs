//! Accent folding of one word.

use std::sync::LazyLock;

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup, Script};
use unicode_normalization::UnicodeNormalization;

/// The word without accents, and the buffers that it is made in.
#[derive(Debug, Default)]
pub(crate) struct AccentFolding {
    decomposed: String,
    folded: String,
}

impl AccentFolding {
    pub(crate) fn fold<'a>(&'a mut self, word: &'a str) -> &'a str {
        if word.is_ascii() {
            return word;
        }
        self.folded.clear();
        if word.chars().all(|c| push_known(c, &mut self.folded)) {
            return &self.folded;
        }
        self.fold_marks(word)
    }

    /// Folds by the definition.
    fn fold_marks(&mut self, word: &str) -> &str {
        self.decomposed.clear();
        let mut after_folded = false;
        for c in word.nfd() {
            if !is_mark(c) {
                after_folded = loses_marks(c);
            } else if after_folded && is_nonspacing(c) {
                continue;
            }
            push_plain(c, &mut self.decomposed);
        }
        self.folded.clear();
        self.folded.extend(self.decomposed.nfc());
        &self.folded
    }
}

/// Adds what `c` becomes if that does not depend on its neighbours; returns whether it is known.
fn push_known(c: char, to: &mut String) -> bool {
    if c.is_ascii() {
        to.push(c);
        return true;
    }
    match LETTERS.get(c as usize) {
        Some(Some(known)) => to.push_str(known),
        _ => return false,
    }
    true
}

/// What each letter becomes of the alphabets below the end of extended Greek whose marks are dropped.
static LETTERS: LazyLock<Vec<Option<Box<str>>>> = LazyLock::new(|| {
    let letter = |c: char| {
        let mut folding = AccentFolding::default();
        (loses_marks(c) && c.is_alphabetic() && !is_mark(c))
            .then(|| folding.fold_marks(c.encode_utf8(&mut [0; 4])).into())
    };
    ('\0'..='\u{1FFF}').map(letter).collect()
});

fn is_mark(c: char) -> bool {
    GeneralCategoryGroup::Mark.contains(CodePointMapData::<GeneralCategory>::new().get(c))
}

fn is_nonspacing(c: char) -> bool {
    CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::NonspacingMark
}

/// True for the scripts whose marks are accents or optional vowels, which searchers leave out.
fn loses_marks(c: char) -> bool {
    c.is_ascii_alphabetic()
        || matches!(
            CodePointMapData::<Script>::new().get(c),
            Script::Latin | Script::Greek | Script::Cyrillic | Script::Arabic | Script::Hebrew
        )
}

/// Adds `c`, or what is typed in its place where Unicode knows no decomposition.
fn push_plain(c: char, to: &mut String) {
    match c {
        'ø' => to.push('o'),
        'đ' | 'ð' => to.push('d'),
        'ł' => to.push('l'),
        'ı' => to.push('i'),
        'ħ' => to.push('h'),
        'æ' => to.push_str("ae"),
        'œ' => to.push_str("oe"),
        'þ' => to.push_str("th"),
        _ => to.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn marks_fall_by_the_script_of_their_base() {
        let folded = |word| AccentFolding::default().fold(word).to_owned();
        assert_eq!(folded("crème"), "creme");
        assert_eq!(folded("đường"), "duong");
        assert_eq!(folded("smørrebrød"), "smorrebrod");
        assert_eq!(folded("þæð"), "thaed");
        assert_eq!(folded("ёй"), "еи");
        assert_eq!(folded("ά"), "α");
        assert_eq!(folded("مُحَمَّد"), "محمد");
        assert_eq!(folded("שָׁלוֹם"), "שלום");
        assert_eq!(folded("हिन्दी"), "हिन्दी");
        assert_eq!(folded("\u{301}a\u{301}"), "\u{301}a");
    }

    proptest! {
        #[test]
        fn known_letters_are_a_shortcut(word in "([a-zß-ɏ]|[Ͱ-ӿ]|[א-ت]|[ḁ-ỿ]|[ἀ-ῼ]|[\u{300}-\u{345}]|[가-각]|\\PC){0,20}") {
            let mut folding = AccentFolding::default();
            let by_definition = folding.fold_marks(&word).to_owned();
            prop_assert_eq!(folding.fold(&word), by_definition);
        }
    }
}
