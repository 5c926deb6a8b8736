//! The best documents without scoring all: block-max MaxScore over windows of documents.
//!
//! The lists of the query's tokens are read side by side, a window of documents at a time (as in Lucene's
//! `BlockMaxMaxScoreBulkScorer`). In a window each list has an upper bound, the highest of its blocks there. The lists with
//! the lowest bounds whose sum does not exceed the `k`-th score so far cannot bring a document among the best by themselves
//! (Turtle and Flood, "Query Evaluation: Strategies and Optimizations", IPM 1995); the others are *essential*. Their postings
//! are added up in a dense array, less those of blocks that cannot reach the `k`-th score (Ding and Suel, "Faster Top-k
//! Document Retrieval Using Block-Max Indexes", SIGIR 2011). A document that the sum leaves in the race is looked up in the
//! other lists, highest bound first, and scored again in the order of the query. If there are many, the list is added up too.
//!
//! Every comparison with a bound has a margin for the rounding of sums, so that no document is lost to it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::postings::{Cursor, List};
use crate::weights::{TermWeights, WeightTable};

/// Documents of a window: their scores and lengths stay in a core's own caches.
const WINDOW: usize = 1 << 13;
/// Documents of a group, which is looked at if one of its documents has a posting.
const GROUP: usize = 32;

/// Postings that are added up in the time of one look-up.
const LOOK_UP: usize = 32;

/// The list of one token of the query.
#[derive(Debug)]
pub(crate) struct Searched<'a> {
    weights: WeightTable,
    /// Reads the postings of whole windows.
    scan: Cursor<'a>,
    /// Looks up single documents.
    seek: Cursor<'a>,
    /// No weight of the list is higher.
    bound: f64,
    /// No weight in the window is higher.
    window_bound: f64,
    essential: bool,
}

impl<'a> Searched<'a> {
    pub(crate) fn new(list: List<'a>, weights: TermWeights, bound: f64) -> Searched<'a> {
        let [scan, seek] = [Cursor::new(list), Cursor::new(list)];
        Searched { weights: WeightTable::new(weights), scan, seek, bound, window_bound: 0.0, essential: true }
    }

    /// The weight for `document`; 0 if the list does not hold it.
    fn weight(&mut self, document: u32, lengths: &[[u8; 4]]) -> f64 {
        let found = self.seek.skip_to(document).and_then(|_| self.seek.frequency(document));
        let length = lengths.get(document as usize).map_or(0, |length| u32::from_le_bytes(*length));
        found.map_or(0.0, |frequency| self.weights.weight(frequency, length))
    }

    /// Sets the bound for the documents from `from` to `to`.
    fn enter(&mut self, from: u32, to: u32) {
        self.window_bound = 0.0;
        let mut next = self.scan.skip_to(from);
        while let Some((block, entry)) = next {
            self.window_bound = self.window_bound.max(f64::from(entry.bound));
            next = if entry.last < to - 1 {
                self.scan.list.block(block + 1).map(|entry| (block + 1, entry))
            } else {
                None
            };
        }
    }
}

/// The best documents so far.
struct Best {
    k: usize,
    /// The lowest score first, of equal ones the last document.
    heap: BinaryHeap<Reverse<Ranked>>,
    /// A document must score higher than this.
    threshold: f64,
}

#[derive(PartialEq)]
struct Ranked {
    score: f64,
    document: u32,
}

impl Eq for Ranked {}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.score.total_cmp(&other.score).then(other.document.cmp(&self.document))
    }
}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Best {
    /// Takes a document in if it scores above the threshold. Documents come in rising order, so that of equal ones the
    /// first stay.
    fn push(&mut self, document: u32, score: f64) {
        if score > self.threshold {
            if self.heap.len() == self.k {
                self.heap.pop();
            }
            self.heap.push(Reverse(Ranked { score, document }));
            if self.heap.len() == self.k {
                self.threshold = self.heap.peek().map_or(0.0, |lowest| lowest.0.score);
            }
        }
    }
}

/// A search under way.
struct Search<'a> {
    lists: Vec<Searched<'a>>,
    lengths: &'a [[u8; 4]],
    best: Best,
    /// What bounds are multiplied by before they are compared: more than the rounding of any sum of them.
    margin: f64,
    /// The lists by rising bound in the window.
    order: Vec<usize>,
    /// By place in `order`: the sum of the bounds before it.
    before: Vec<f64>,
    sums: Box<[[f64; GROUP]; WINDOW / GROUP]>,
    touched: [bool; WINDOW / GROUP],
}

/// The `k` best documents of the union of `lists`, which are in the order of the query.
pub(crate) fn top_k(lists: Vec<Searched>, lengths: &[[u8; 4]], k: usize) -> Vec<(usize, f64)> {
    if k == 0 {
        return Vec::new();
    }
    let mut search = Search {
        best: Best { k, heap: BinaryHeap::new(), threshold: 0.0 },
        margin: 1.0 + 8.0 * (lists.len() + 4) as f64 * f64::EPSILON,
        order: (0..lists.len()).collect(),
        before: Vec::with_capacity(lists.len()),
        sums: Box::new([[0.0; GROUP]; WINDOW / GROUP]),
        touched: [false; WINDOW / GROUP],
        lists,
        lengths,
    };
    let mut from = 0;
    while let Some(next) = search.next(from) {
        let to = next.saturating_add(WINDOW as u32).min(lengths.len() as u32);
        if to <= next {
            break;
        }
        search.window(next, to);
        from = to;
    }
    let ranked = search.best.heap.into_sorted_vec();
    ranked.into_iter().map(|Reverse(Ranked { score, document })| (document as usize, score)).collect()
}

impl Search<'_> {
    /// The next document from `from` on that can be among the best; none if there is none.
    fn next(&mut self, from: u32) -> Option<u32> {
        let Search { lists, best, margin, order, .. } = self;
        order.sort_unstable_by(|&a, &b| lists[a].bound.total_cmp(&lists[b].bound));
        let mut sum = 0.0;
        let mut next = None;
        for &list in order.iter() {
            sum += lists[list].bound;
            if sum * *margin > best.threshold {
                next = [next, lists[list].scan.next_from(from)].into_iter().flatten().min();
            }
        }
        next.map(|next| next.max(from))
    }

    fn window(&mut self, from: u32, to: u32) {
        let Search { lists, best, margin, order, before, .. } = self;
        lists.iter_mut().for_each(|list| list.enter(from, to));
        order.sort_unstable_by(|&a, &b| lists[a].window_bound.total_cmp(&lists[b].window_bound));
        before.clear();
        let mut sum = 0.0;
        let mut others = 0;
        for &list in order.iter() {
            before.push(sum);
            sum += lists[list].window_bound;
            let essential = sum * *margin > best.threshold;
            lists[list].essential = essential;
            others += usize::from(!essential);
        }
        if others == order.len() {
            return;
        }
        for list in 0..self.lists.len() {
            if self.lists[list].essential {
                self.add_up(list, from, to, sum);
            }
        }
        // In the order of the query, and without a weight from another list, a sum is the score.
        let exact = self.before[others] == 0.0;
        while others > 0 && !exact && self.adding_is_faster(others) {
            others -= 1;
            self.add_up(self.order[others], from, to, sum);
        }
        self.collect(from, others, exact);
    }

    /// Whether the last of the `others` is better added up for the whole window than looked up for single documents.
    fn adding_is_faster(&self, others: usize) -> bool {
        let needed = self.needed(self.before[others], false);
        let mut candidates = 0;
        for (sums, _) in self.sums.iter().zip(&self.touched).filter(|(_, touched)| **touched) {
            candidates += sums.iter().map(|&sum| usize::from(sum > needed)).sum::<usize>();
        }
        let density = self.lists[self.order[others - 1]].scan.list.documents() as f64 / self.lengths.len() as f64;
        (candidates * LOOK_UP) as f64 > density * WINDOW as f64
    }

    /// Adds the weights of a list in the window; `sum` is that of all bounds there.
    fn add_up(&mut self, list: usize, from: u32, to: u32, sum: f64) {
        let Search { lists, lengths, best, margin, sums, touched, .. } = self;
        let Searched { weights, scan, window_bound, .. } = &mut lists[list];
        let lengths = &lengths[from as usize..to as usize];
        let others = sum * *margin - *window_bound;
        let mut next = scan.skip_to(from);
        while let Some((block, entry)) = next {
            if others + f64::from(entry.bound) > best.threshold {
                let (documents, frequencies) = scan.postings(block);
                let start = if documents.first() < Some(&from) { documents.partition_point(|&d| d < from) } else { 0 };
                for (&document, &frequency) in documents[start..].iter().zip(&frequencies[start..]) {
                    let place = document.wrapping_sub(from) as usize;
                    let (Some(sum), Some(length)) = (sums.as_flattened_mut().get_mut(place), lengths.get(place)) else {
                        break;
                    };
                    *sum += weights.weight(frequency, u32::from_le_bytes(*length));
                    touched[place / GROUP] = true;
                }
            }
            next = if entry.last < to - 1 { scan.list.block(block + 1).map(|entry| (block + 1, entry)) } else { None };
        }
    }

    /// Ranks the documents of the window by their sums and the `others` lists that are not in them; clears the sums. The
    /// sums are the scores if they are `exact`.
    fn collect(&mut self, from: u32, others: usize, exact: bool) {
        let rest = self.before[others];
        let mut needed = self.needed(rest, exact);
        for group in 0..self.touched.len() {
            if !std::mem::take(&mut self.touched[group]) {
                continue;
            }
            let highest = self.sums[group].iter().fold(0.0, |a, &b| if b > a { b } else { a });
            let sums = std::mem::replace(&mut self.sums[group], [0.0; GROUP]);
            if highest <= needed {
                continue;
            }
            for (document, &sum) in (from + (group * GROUP) as u32..).zip(&sums) {
                if sum > needed {
                    if exact {
                        self.best.push(document, sum);
                    } else {
                        self.look_up(document, sum, others);
                    }
                    needed = self.needed(rest, exact);
                }
            }
        }
    }

    /// What a document's sum must exceed if no more than `rest` can be added to it.
    fn needed(&self, rest: f64, exact: bool) -> f64 {
        if exact { self.best.threshold } else { (self.best.threshold / self.margin - rest).max(0.0) }
    }

    /// Ranks a document for which all lists but the first `others` come to `sum`.
    fn look_up(&mut self, document: u32, mut sum: f64, others: usize) {
        for place in (0..others).rev() {
            let list = &mut self.lists[self.order[place]];
            let rest = self.before[place];
            if let Some((_, entry)) = list.seek.skip_to(document) {
                if (sum + f64::from(entry.bound) + rest) * self.margin <= self.best.threshold {
                    return;
                }
                sum += list.weight(document, self.lengths);
            }
            if (sum + rest) * self.margin <= self.best.threshold {
                return;
            }
        }
        let score = self.lists.iter_mut().fold(0.0, |score, list| score + list.weight(document, self.lengths));
        self.best.push(document, score);
    }
}
