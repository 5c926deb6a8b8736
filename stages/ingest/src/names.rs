//! Numbers in place of repeated texts.

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

/// Distinct texts, numbered from 0 in the order of their first use; all in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Names {
    text: String,
    ends: Vec<usize>,
    /// Hash and number of each text; the hash saves a look at the text.
    numbers: HashTable<(u64, u32)>,
}

impl Names {
    /// The number of `name`; adds it if it is new.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        let hash = xxh3_64(name.as_bytes());
        let Names { text, ends, numbers } = self;
        let same = |&(known, number): &(u64, u32)| known == hash && at(text, ends, number) == name;
        if let Some(&(_, number)) = numbers.find(hash, same) {
            return number;
        }
        let number = ends.len() as u32;
        text.push_str(name);
        ends.push(text.len());
        numbers.insert_unique(hash, (hash, number), |&(hash, _)| hash);
        number
    }

    /// The number of `name`, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        let hash = xxh3_64(name.as_bytes());
        let found = self.numbers.find(hash, |&(known, number)| known == hash && self.name(number) == name);
        found.map(|&(_, number)| number)
    }

    /// The text of a number.
    pub(crate) fn name(&self, number: u32) -> &str {
        at(&self.text, &self.ends, number)
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
        texts.sort_unstable();
        let mut sorted = Names::default();
        texts.into_iter().for_each(|text| {
            sorted.number(text);
        });
        sorted
    }
}

fn at<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| ends[before]);
    &text[start..ends[number]]
}

/// By index: the rank of each text in byte-wise order.
pub(crate) fn ranks<T: Ord>(texts: &[T]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_unstable_by(|&a, &b| texts[a].cmp(&texts[b]));
    let mut ranks = vec![0; texts.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank as u32;
    }
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
