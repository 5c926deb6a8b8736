//! Learning the pieces of a subword vocabulary by byte-pair encoding (Sennrich et al. 2016, arXiv 1508.07909).
//!
//! The trainers of the `tokenizers` crate walk randomly seeded hash maps, so that the ids of continuing pieces and the
//! order of tied merges change from run to run, and they count pairs in 32 bits. Here words are sorted, ties go to the
//! smaller pair of ids and counts have 64 bits: the same words give the same vocabulary.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet};

/// Two neighbouring pieces by their ids.
type Pair = (u32, u32);

/// A learned vocabulary.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    /// The pieces in the order of their ids.
    pub(crate) vocabulary: Vec<String>,
    /// The merges in the order they were learned, as (left, right) pieces.
    pub(crate) merges: Vec<(String, String)>,
}

/// What to learn.
pub(crate) struct Learner<'a> {
    /// Pieces of the first ids, which take no part in merges.
    pub(crate) special: &'a [&'a str],
    /// Characters that belong to the vocabulary whether seen or not.
    pub(crate) alphabet: Vec<char>,
    /// Marks a piece that continues a word: `##` for WordPiece, empty for BPE.
    pub(crate) continuing_prefix: &'a str,
    /// Where to stop: pieces, the special ones included.
    pub(crate) vocabulary_size: usize,
    /// Pairs seen less often are not merged.
    pub(crate) min_frequency: u64,
}

impl Learner<'_> {
    /// Learns from words and how often each was seen. Words whose characters do not all fit into the vocabulary take no
    /// part; the rarest characters are the ones left out.
    pub(crate) fn learn(&self, words: &BTreeMap<String, u64>) -> Pieces {
        let mut vocabulary: Vec<String> = self.special.iter().map(|s| (*s).to_owned()).collect();
        vocabulary.extend(self.initial_pieces(words));
        let mut ids: HashMap<String, u32> = HashMap::new();
        for (id, piece) in vocabulary.iter().enumerate() {
            ids.insert(piece.clone(), id as u32);
        }
        let mut corpus = Corpus::default();
        for (word, &count) in words {
            let pieces: Option<Vec<u32>> = self.split(word).map(|piece| ids.get(&piece).copied()).collect();
            if let Some(pieces) = pieces {
                corpus.push(pieces, count);
            }
        }
        let mut merges = Vec::new();
        let mut learned = HashSet::new();
        let mut queue = corpus.queue();
        while vocabulary.len() < self.vocabulary_size {
            let Some((count, Reverse(pair))) = queue.pop() else { break };
            let current = corpus.count(pair);
            if current != count {
                if current > 0 {
                    queue.push((current, Reverse(pair)));
                }
                continue;
            }
            if count < self.min_frequency.max(1) {
                break;
            }
            let (left, right) = (vocabulary[pair.0 as usize].clone(), vocabulary[pair.1 as usize].clone());
            let piece = format!("{left}{}", right.strip_prefix(self.continuing_prefix).unwrap_or(&right));
            let merged = *ids.entry(piece).or_insert_with_key(|piece| {
                vocabulary.push(piece.clone());
                vocabulary.len() as u32 - 1
            });
            // A pair comes back when its pieces are made in a second way; its first rank holds.
            if learned.insert(pair) {
                merges.push((left, right));
            }
            for grown in corpus.merge(pair, merged) {
                queue.push((corpus.count(grown), Reverse(grown)));
            }
        }
        Pieces { vocabulary, merges }
    }

    /// The single-character pieces of a word.
    fn split<'w>(&'w self, word: &'w str) -> impl Iterator<Item = String> + 'w {
        word.chars().enumerate().map(|(index, c)| match index {
            0 => c.to_string(),
            _ => format!("{}{c}", self.continuing_prefix),
        })
    }

    /// The pieces before any merge, sorted: the alphabet, then as many of the most frequent others as fit.
    fn initial_pieces(&self, words: &BTreeMap<String, u64>) -> BTreeSet<String> {
        let mut kept: BTreeSet<String> = self.alphabet.iter().map(char::to_string).collect();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for (word, count) in words {
            for piece in self.split(word) {
                *counts.entry(piece).or_default() += count;
            }
        }
        let mut seen: Vec<(Reverse<u64>, String)> =
            counts.into_iter().map(|(piece, count)| (Reverse(count), piece)).collect();
        seen.sort_unstable();
        let room = self.vocabulary_size.saturating_sub(self.special.len());
        let others = self.other_forms(&seen);
        for (_, piece) in seen.into_iter().chain(others) {
            if kept.len() >= room {
                break;
            }
            if !self.special.contains(&piece.as_str()) {
                kept.insert(piece);
            }
        }
        kept
    }

    /// The characters that were seen only where a word begins, or only within one, in the other place, most frequent first:
    /// where words are long or cut anywhere, as in Thai, a text soon has one there. ASCII and Han take no part: the one is
    /// written with spaces, the other is split into single characters.
    fn other_forms(&self, seen: &[(Reverse<u64>, String)]) -> Vec<(Reverse<u64>, String)> {
        if self.continuing_prefix.is_empty() {
            return Vec::new();
        }
        let known: HashSet<&str> = seen.iter().map(|(_, piece)| piece.as_str()).collect();
        let other = |(count, piece): &(Reverse<u64>, String)| {
            let character = piece.strip_prefix(self.continuing_prefix);
            let other = character.map_or_else(|| format!("{}{piece}", self.continuing_prefix), str::to_string);
            let han = |c: char| ('\u{3400}'..='\u{9fff}').contains(&c) || c >= '\u{20000}';
            let wanted = piece.chars().all(|c| !han(c)) && !character.unwrap_or(piece).is_ascii();
            (wanted && !known.contains(other.as_str())).then_some((*count, other))
        };
        seen.iter().filter_map(other).take(self.vocabulary_size / OTHER_FORMS).collect()
    }
}

/// Of the vocabulary, the part that is kept for characters in the place where they were not seen.
const OTHER_FORMS: usize = 10;

/// The words as they stand after the merges so far, with an index of their pairs.
#[derive(Default)]
struct Corpus {
    words: Vec<Vec<u32>>,
    word_counts: Vec<u64>,
    pair_counts: HashMap<Pair, u64>,
    /// The words that hold a pair, or held it before another merge took it apart.
    holders: HashMap<Pair, BTreeSet<usize>>,
}

impl Corpus {
    fn push(&mut self, word: Vec<u32>, count: u64) {
        self.words.push(word);
        self.word_counts.push(count);
        let index = self.words.len() - 1;
        self.add_pairs(index, &mut BTreeSet::new());
    }

    fn count(&self, pair: Pair) -> u64 {
        self.pair_counts.get(&pair).copied().unwrap_or(0)
    }

    fn queue(&self) -> BinaryHeap<(u64, Reverse<Pair>)> {
        self.pair_counts.iter().map(|(&pair, &count)| (count, Reverse(pair))).collect()
    }

    fn add_pairs(&mut self, index: usize, touched: &mut BTreeSet<Pair>) {
        for pair in self.words[index].windows(2).map(|w| (w[0], w[1])) {
            *self.pair_counts.entry(pair).or_default() += self.word_counts[index];
            self.holders.entry(pair).or_default().insert(index);
            touched.insert(pair);
        }
    }

    fn remove_pairs(&mut self, index: usize) {
        for pair in self.words[index].windows(2).map(|w| (w[0], w[1])) {
            if let Some(count) = self.pair_counts.get_mut(&pair) {
                *count -= self.word_counts[index];
            }
        }
    }

    /// Replaces every occurrence of a pair, left to right, and returns the pairs that hold the new piece.
    fn merge(&mut self, pair: Pair, merged: u32) -> BTreeSet<Pair> {
        let mut touched = BTreeSet::new();
        for index in self.holders.remove(&pair).unwrap_or_default() {
            self.remove_pairs(index);
            replace(&mut self.words[index], pair, merged);
            self.add_pairs(index, &mut touched);
        }
        self.pair_counts.remove(&pair);
        touched.retain(|&(left, right)| left == merged || right == merged);
        touched
    }
}

fn replace(word: &mut Vec<u32>, pair: Pair, merged: u32) {
    let mut replaced = Vec::with_capacity(word.len());
    let mut at = 0;
    while at < word.len() {
        if at + 1 < word.len() && (word[at], word[at + 1]) == pair {
            replaced.push(merged);
            at += 2;
        } else {
            replaced.push(word[at]);
            at += 1;
        }
    }
    *word = replaced;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
        list.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect()
    }

    fn learner(size: usize, prefix: &str) -> Learner<'_> {
        Learner {
            special: &["<pad>"],
            alphabet: Vec::new(),
            continuing_prefix: prefix,
            vocabulary_size: size,
            min_frequency: 2,
        }
    }

    /// The worked example of Sennrich et al.: low, lower, newest, widest.
    #[test]
    fn merges_follow_the_counts() {
        let words = words(&[("low", 5), ("lower", 2), ("newest", 6), ("widest", 3)]);
        let pieces = learner(30, "").learn(&words);
        let merges: Vec<String> = pieces.merges.iter().map(|(l, r)| format!("{l} {r}")).collect();
        // es and st tie at 9, as do lo and ow at 7: the smaller ids (alphabetical among characters) go first.
        assert_eq!(merges[..4], ["e s", "es t", "l o", "lo w"]);
        assert_eq!(pieces.vocabulary[0], "<pad>");
    }

    #[test]
    fn continuing_pieces_are_marked_once() {
        let pieces = learner(30, "##").learn(&words(&[("abc", 3), ("bc", 4)]));
        assert_eq!(pieces.vocabulary, ["<pad>", "##b", "##c", "a", "b", "bc", "##bc", "abc"]);
    }

    #[test]
    fn the_vocabulary_never_outgrows_its_size() {
        let words = words(&[("abcdef", 9), ("xyz", 1), ("xyzxyz", 2)]);
        for size in 1..30 {
            let pieces = learner(size, "##").learn(&words);
            assert!(pieces.vocabulary.len() <= size, "{size}: {pieces:?}");
        }
    }

    #[test]
    fn a_word_with_a_character_left_out_takes_no_part() {
        let pieces = learner(3, "").learn(&words(&[("aab", 5), ("bq", 1)]));
        assert_eq!(pieces.vocabulary, ["<pad>", "a", "b"]);
    }

    #[test]
    fn overlapping_repeats_are_replaced_left_to_right() {
        let mut word = vec![1, 1, 1];
        replace(&mut word, (1, 1), 2);
        assert_eq!(word, [2, 1]);
    }
}
