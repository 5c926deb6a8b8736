//! Documents longer than the window, read in passages: the score of a pair is the highest one of its passages (MaxP of Dai and
//! Callan, "Deeper Text Understanding for IR with Contextual Neural Language Modeling", SIGIR 2019, arXiv 1905.09217).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::pair_tokenizer::Sequence;

/// How documents longer than the window are read: the first passage is what the window leaves of the document, the next ones are
/// the title with later parts of the summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Passages {
    /// Most passages of a document; what is beyond them is cut.
    pub most: usize,
    /// Tokens of the summary that a passage shares with the one before it, at most half a passage.
    pub overlap: usize,
}

/// The sequences of pairs, one or more for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairSequences {
    /// Those of the first pair, then those of the second, and so on.
    pub sequences: Vec<Sequence>,
    /// Where the sequences of each pair start, and the end: `[pairs + 1]`.
    offsets: Vec<usize>,
}

impl PairSequences {
    /// Joins the sequences of each pair.
    pub(super) fn of(pairs: Vec<Vec<Sequence>>) -> Self {
        let mut offsets = vec![0];
        offsets.extend(pairs.iter().scan(0, |end, sequences| {
            *end += sequences.len();
            Some(*end)
        }));
        Self { sequences: pairs.into_iter().flatten().collect(), offsets }
    }

    /// The place of the sequence with the highest score of each pair, the first of equal ones. `scores` has one number for each
    /// sequence; NaN is above all.
    pub fn highest(&self, scores: &[f32]) -> Vec<usize> {
        let highest = |ends: &[usize]| {
            let first = ends[0];
            (first + 1..ends[1])
                .fold(first, |best, at| if scores[at].total_cmp(&scores[best]).is_gt() { at } else { best })
        };
        self.offsets.windows(2).map(highest).collect()
    }
}

/// Most tokens that the end of a passage moves back to be between words.
const LONGEST_WORD: usize = 16;

/// The tokens of a summary of `all` tokens that the passages after the first one read: at most `piece` each. The first one reads
/// `first` of them. `begins_word` says of a token whether it begins a word.
pub(super) fn later_passages(
    passages: Passages,
    (first, piece, all): (usize, usize, usize),
    begins_word: impl Fn(usize) -> bool,
) -> Vec<Range<usize>> {
    let between_words = |place: usize, after: usize| {
        (after + 1..=place).rev().take(LONGEST_WORD).find(|&token| begins_word(token)).unwrap_or(place)
    };
    let shared = passages.overlap.min(piece / 2);
    let mut ranges = Vec::new();
    let mut read = first;
    while read < all && piece > 0 && ranges.len() + 1 < passages.most {
        // The last passage is as long as the others.
        let start = read.saturating_sub(shared).min(all.saturating_sub(piece));
        let end = start + piece;
        let end = if end < all { between_words(end, read) } else { all };
        ranges.push(start..end);
        read = end;
    }
    ranges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn passages_overlap_and_the_last_one_is_whole() {
        let ranges = |most, overlap, first, piece, all| {
            let ranges = later_passages(Passages { most, overlap }, (first, piece, all), |_| true);
            ranges.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(ranges(9, 2, 6, 6, 15), [(4, 10), (8, 14), (9, 15)]);
        assert_eq!(ranges(2, 2, 6, 6, 15), [(4, 10)]);
        assert_eq!(ranges(9, 0, 6, 6, 12), [(6, 12)]);
        assert_eq!(ranges(9, 100, 6, 6, 12), [(3, 9), (6, 12)]);
        assert_eq!(ranges(9, 2, 6, 6, 6), []);
        assert_eq!(ranges(9, 2, 0, 8, 5), [(0, 5)]);
        assert_eq!(ranges(9, 2, 3, 0, 5), []);
        let by_words = later_passages(Passages { most: 9, overlap: 0 }, (6, 6, 20), |token| token % 5 == 0);
        assert_eq!(by_words, [6..10, 10..15, 14..20]);
    }

    proptest! {
        #[test]
        fn nothing_is_left_out_while_there_are_passages(overlap in 0_usize..20, first in 0_usize..20, piece in 1_usize..20, all in 0_usize..60, word in 1_usize..9) {
            let begins_word = |token: usize| token.is_multiple_of(word);
            let ranges = later_passages(Passages { most: 100, overlap }, (first, piece, all), begins_word);
            let mut end = first.min(all);
            for range in &ranges {
                prop_assert!(range.start <= end && range.end > end && range.len() <= piece);
                end = range.end;
            }
            prop_assert_eq!(end, all);
        }
    }

    #[test]
    fn the_highest_passage_counts() {
        let sequence = || Sequence { ids: vec![1], type_ids: vec![0], query: 0..0, document: 0..1 };
        let pairs = PairSequences::of(vec![vec![sequence(); 2], vec![sequence()], vec![sequence(); 3]]);
        assert_eq!(pairs.sequences.len(), 6);
        assert_eq!(pairs.highest(&[0.5, 0.7, -3.0, 1.0, 2.0, 2.0]), [1, 2, 4]);
    }
}
