//! Queries: normalised texts, their numbers and their ids.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use analysis::normalised_query;
use anyhow::Result;
use pipeline::BadInput;
use rayon::prelude::*;
use sha2::{Digest, Sha256};

use crate::names::Names;

/// Query numbers by the ids of the judgments.
pub(crate) type QueryIds = BTreeMap<String, Vec<u32>>;

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

    /// True of what can be such an id.
    pub(crate) fn is_id(text: &str) -> bool {
        text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
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
    /// Ids that the source gives the texts, each with its texts.
    source_ids: BTreeMap<String, BTreeSet<u32>>,
}

impl Queries {
    /// The number of a raw text; `None` if its normalised form is empty.
    pub(crate) fn number(&mut self, raw: &str) -> Option<u32> {
        let text = normalised_query(raw);
        (!text.is_empty()).then(|| self.normalised(&text))
    }

    /// The number of a normalised text that is not empty.
    pub(crate) fn normalised(&mut self, text: &str) -> u32 {
        let number = self.texts.number(text);
        if number as usize == self.hashes.len() {
            self.hashes.push(TextHash::of(text));
        }
        number
    }

    /// Records an id that the source uses for the query.
    pub(crate) fn note_id(&mut self, query: u32, id: &str) {
        match self.source_ids.get_mut(id) {
            Some(queries) => {
                queries.insert(query);
            }
            None => {
                self.source_ids.insert(id.to_string(), BTreeSet::from([query]));
            }
        }
    }

    /// The queries that the source names by an id; those without ids of their own by the hash of their text.
    pub(crate) fn by_id(&self) -> QueryIds {
        let mut ids: QueryIds =
            self.source_ids.iter().map(|(id, queries)| (id.clone(), queries.iter().copied().collect())).collect();
        for (query, hash) in (0..).zip(&self.hashes) {
            ids.entry(hash.id()).or_insert_with(|| vec![query]);
        }
        ids
    }

    /// The number of source ids that name several texts, and the one with the most texts.
    pub(crate) fn shared_ids(&self) -> Option<(usize, &str, usize)> {
        let shared = || self.source_ids.iter().filter(|(_, queries)| queries.len() > 1);
        let (example, texts) = shared().max_by_key(|(_, queries)| queries.len())?;
        Some((shared().count(), example, texts.len()))
    }

    pub(crate) fn text(&self, query: u32) -> &str {
        self.texts.name(query)
    }

    pub(crate) fn hash(&self, query: u32) -> &TextHash {
        &self.hashes[query as usize]
    }

    /// By query: the smallest id that the source uses for its text, unless a text before it in byte-wise order has that id;
    /// else the text's hash.
    pub(crate) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<String> = self.hashes.par_iter().map(TextHash::id).collect();
        let mut smallest: BTreeMap<u32, &String> = BTreeMap::new();
        for (id, queries) in &self.source_ids {
            queries.iter().for_each(|&query| {
                smallest.entry(query).or_insert(id);
            });
        }
        let mut named: Vec<(&str, u32, &String)> =
            smallest.into_iter().map(|(query, id)| (self.text(query), query, id)).collect();
        named.par_sort_unstable();
        let mut taken = HashSet::new();
        for (_, query, id) in named {
            if taken.insert(id) {
                ids[query as usize].clone_from(id);
            }
        }
        ids
    }
}

/// Refuses two queries with one id; `order` is the order of the ids.
///
/// # Errors
/// [`BadInput`].
pub(crate) fn check_distinct(ids: &[String], order: &[u32]) -> Result<()> {
    if order.windows(2).any(|pair| ids[pair[0] as usize] == ids[pair[1] as usize]) {
        let problem = "two query texts got one query id; map another column as ingest.log.columns.query_id, or none";
        return Err(BadInput(format!("log: {problem}")).into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::order;

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
        let ids = queries.ids();
        assert_eq!(ids[radio as usize], "7");
        assert_eq!(ids[tv as usize], TextHash::of("tv").id());
        assert_eq!(queries.by_id()["7"], [tv, radio]);
        assert_eq!(queries.by_id()["9"], [tv]);
        assert_eq!(queries.shared_ids(), Some((1, "7", 2)));
    }

    #[test]
    fn an_id_that_is_another_texts_hash_is_refused() {
        let mut queries = Queries::default();
        let a = queries.number("a").unwrap();
        queries.number("b").unwrap();
        queries.note_id(a, &TextHash::of("b").id());
        let ids = queries.ids();
        assert!(check_distinct(&ids, &order(&ids)).is_err());
    }
}
