//! Numbers in place of repeated texts.

use hashbrown::HashTable;
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

/// Distinct texts, numbered from 0 in the order of their first use; all in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<usize>,
    entries: HashTable<Entry>,
}

/// What is known of a text without a look at it: each look at a large table waits for memory.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u64,
    start: usize,
    length: u32,
    number: u32,
}

impl Entry {
    fn is(&self, hash: u64, name: &str, text: &str) -> bool {
        self.hash == hash && self.length as usize == name.len() && text[self.start..].starts_with(name)
    }
}

impl Names {
    /// The number of `name`; adds it if it is new.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        let hash = xxh3_64(name.as_bytes());
        match self.entries.find(hash, |entry| entry.is(hash, name, &self.text)) {
            Some(entry) => entry.number,
            None => self.add(hash, name),
        }
    }

    /// Adds a text that is new.
    fn add(&mut self, hash: u64, name: &str) -> u32 {
        let number = self.ends.len() as u32;
        let entry = Entry { hash, start: self.text.len(), length: name.len() as u32, number };
        self.text.push_str(name);
        self.ends.push(self.text.len());
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
        number
    }

    /// The number of `name`, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let hash = xxh3_64(name.as_bytes());
        self.entries.find(hash, |entry| entry.is(hash, name, &self.text)).map(|entry| entry.number)
    }

    /// The text of a number.
    pub(crate) fn name(&self, number: u32) -> &str {
        let number = number as usize;
        let start = number.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start..self.ends[number]]
    }

    /// The number of distinct texts.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// All texts in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len() as u32).map(|number| self.name(number))
    }

    /// The same texts, numbered in byte-wise order.
    pub(crate) fn sorted(&self) -> Names {
        let mut texts: Vec<&str> = self.iter().collect();
        texts.par_sort_unstable();
        let hashes: Vec<u64> = texts.par_iter().map(|text| xxh3_64(text.as_bytes())).collect();
        let mut sorted = Names {
            text: String::with_capacity(self.text.len()),
            ends: Vec::with_capacity(texts.len()),
            entries: HashTable::with_capacity(texts.len()),
        };
        for (text, hash) in texts.into_iter().zip(hashes) {
            sorted.add(hash, text);
        }
        sorted
    }
}

/// The indices of texts in the texts' byte-wise order.
pub(crate) fn order<T: Ord + Sync>(texts: &[T]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..texts.len() as u32).collect();
    order.par_sort_unstable_by(|&a, &b| texts[a as usize].cmp(&texts[b as usize]));
    order
}

/// By index: its place in `order`.
pub(crate) fn ranks(order: &[u32]) -> Vec<u32> {
    let mut ranks = vec![0; order.len()];
    (0..).zip(order).for_each(|(rank, &index)| ranks[index as usize] = rank);
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equal_texts_have_one_number(texts in prop::collection::vec("[a-c]{0,3}", 0..60)) {
            let mut names = Names::default();
            let numbers: Vec<u32> = texts.iter().map(|text| names.number(text)).collect();
            for (text, &number) in texts.iter().zip(&numbers) {
                prop_assert_eq!(names.name(number), text);
                prop_assert_eq!(names.find(text), Some(number));
            }
            prop_assert_eq!(names.find("d"), None);
            let sorted = names.sorted();
            prop_assert_eq!(sorted.len(), names.len());
            prop_assert!(sorted.iter().is_sorted());
        }
    }
}
