//! Queries: normalised texts, their numbers and their ids.

use std::collections::{BTreeSet, HashMap};

use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use unicode_normalization::UnicodeNormalization;

use crate::names::Names;

/// NFKC, lower case, white space and control characters collapsed to single spaces.
pub(crate) fn normalise(text: &str) -> String {
    // Lower-casing can compose anew and decompose again, so the normal form is taken once more after it.
    let lower: String = text.nfkc().flat_map(char::to_lowercase).nfkc().collect();
    let separator = |c: char| c.is_whitespace() || c.is_control();
    let words: Vec<&str> = lower.split(separator).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

/// SHA-256 of a normalised text; independent of seed, source and platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextHash([u8; 32]);

impl TextHash {
    pub(crate) fn of(normalised: &str) -> TextHash {
        TextHash(Sha256::digest(normalised.as_bytes()).into())
    }

    /// The first 16 hexadecimal digits.
    pub(crate) fn id(&self) -> String {
        self.0[..8].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A number from other bits than the id's.
    pub(crate) fn number(&self) -> u64 {
        self.0[8..16].iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }
}

/// All queries of the log and the judgments.
#[derive(Debug, Default)]
pub(crate) struct Queries {
    texts: Names,
    hashes: Vec<TextHash>,
    /// The smallest id the source gave each text.
    source_ids: Vec<Option<String>>,
    /// Numbers of raw texts; `None` for texts that are blank once normalised.
    known: HashMap<String, Option<u32>>,
}

impl Queries {
    /// The number of a raw text; `None` if its normalised form is empty.
    pub(crate) fn number(&mut self, raw: &str) -> Option<u32> {
        if let Some(&known) = self.known.get(raw) {
            return known;
        }
        let normalised = normalise(raw);
        let number = (!normalised.is_empty()).then(|| self.add(&normalised));
        self.known.insert(raw.to_string(), number);
        number
    }

    fn add(&mut self, normalised: &str) -> u32 {
        let number = self.texts.number(normalised);
        if number as usize == self.hashes.len() {
            self.hashes.push(TextHash::of(normalised));
            self.source_ids.push(None);
        }
        number
    }

    /// Records an id that the source uses for the query.
    pub(crate) fn note_id(&mut self, query: u32, id: &str) {
        let smallest = &mut self.source_ids[query as usize];
        if smallest.as_deref().is_none_or(|known| id < known) {
            *smallest = Some(id.to_string());
        }
    }

    pub(crate) fn text(&self, query: u32) -> &str {
        self.texts.name(query)
    }

    pub(crate) fn hash(&self, query: u32) -> &TextHash {
        &self.hashes[query as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.texts.len()
    }

    /// By query: the smallest id that the source uses for its text, unless a text before it in byte-wise order has that id;
    /// else the text's hash.
    ///
    /// # Errors
    /// Where two texts would get one id all the same.
    pub(crate) fn ids(&self) -> Result<Vec<String>> {
        let mut ids: Vec<String> = self.hashes.iter().map(TextHash::id).collect();
        let mut by_text: Vec<usize> = (0..self.len()).collect();
        by_text.sort_by(|&a, &b| self.texts.name(a as u32).cmp(self.texts.name(b as u32)));
        let mut taken = BTreeSet::new();
        for &query in &by_text {
            if let Some(id) = &self.source_ids[query]
                && taken.insert(id.clone())
            {
                ids[query].clone_from(id);
            }
        }
        let distinct: BTreeSet<&String> = ids.iter().collect();
        if distinct.len() < ids.len() {
            bail!("two query texts got one query id; map another column as ingest.log.columns.query_id, or none");
        }
        Ok(ids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_query_in_every_spelling() {
        for text in ["blue ray", " Blue\tRAY ", "ｂｌｕｅ ray", "blue\u{a0}\u{0}ray\r\n"] {
            assert_eq!(normalise(text), "blue ray", "{text:?}");
        }
        assert_eq!(normalise("ﬁne Ⅳ"), "fine iv");
        assert_eq!(normalise(" \t "), "");
    }

    #[test]
    fn the_id_is_the_beginning_of_the_sha256() {
        // printf abc | sha256sum
        assert_eq!(TextHash::of("abc").id(), "ba7816bf8f01cfea");
        assert_eq!(TextHash::of("abc").number(), 0x4141_40de_5dae_2223);
    }

    #[test]
    fn the_text_is_the_key() {
        let mut queries = Queries::default();
        let (tv, set, other) = (queries.number("tv"), queries.number("TV "), queries.number("radio"));
        assert_eq!(tv, set);
        assert_eq!(queries.number("  "), None);
        let (tv, radio) = (tv.unwrap(), other.unwrap());
        // One text under two ids, and one id for two texts.
        queries.note_id(tv, "9");
        queries.note_id(tv, "7");
        queries.note_id(radio, "7");
        let ids = queries.ids().unwrap();
        assert_eq!(ids[radio as usize], "7");
        assert_eq!(ids[tv as usize], TextHash::of("tv").id());
    }

    #[test]
    fn an_id_that_is_another_texts_hash_is_refused() {
        let mut queries = Queries::default();
        let a = queries.number("a").unwrap();
        queries.number("b").unwrap();
        queries.note_id(a, &TextHash::of("b").id());
        assert!(queries.ids().is_err());
    }

    proptest! {
        #[test]
        fn normalising_twice_changes_nothing(text in any::<String>()) {
            let once = normalise(&text);
            prop_assert_eq!(normalise(&once), once);
        }
    }
}
