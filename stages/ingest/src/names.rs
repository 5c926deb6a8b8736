//! Numbers in place of repeated texts.

use std::collections::HashMap;
use std::rc::Rc;

/// Distinct texts, numbered from 0 in the order of their first use.
#[derive(Debug, Default)]
pub(crate) struct Names {
    numbers: HashMap<Rc<str>, u32>,
    names: Vec<Rc<str>>,
}

impl Names {
    /// The number of `name`; adds it if it is new.
    pub(crate) fn number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.names.len() as u32;
        let name: Rc<str> = name.into();
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    /// The number of `name`, if it has one.
    pub(crate) fn find(&self, name: &str) -> Option<u32> {
        self.numbers.get(name).copied()
    }

    /// The text of a number.
    pub(crate) fn name(&self, number: u32) -> &str {
        &self.names[number as usize]
    }

    /// The number of distinct texts.
    pub(crate) fn len(&self) -> usize {
        self.names.len()
    }

    /// By number: the rank of the text in byte-wise order.
    pub(crate) fn ranks(&self) -> Vec<u32> {
        ranks(&self.names)
    }
}

/// By index: the rank of each text in byte-wise order.
pub(crate) fn ranks<T: Ord>(texts: &[T]) -> Vec<u32> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by(|&a, &b| texts[a].cmp(&texts[b]));
    let mut ranks = vec![0; texts.len()];
    for (rank, index) in order.into_iter().enumerate() {
        ranks[index] = rank as u32;
    }
    ranks
}
