//! A batch of sequences without padding.

use std::sync::Arc;

use super::pair_tokenizer::Sequence;
use crate::{Error, Result};

/// Token sequences laid one after the other.
///
/// With `n` sequences and `t` tokens in all, sequence `i` is `ids[offsets[i]..offsets[i + 1]]`. There is no padding and
/// so no mask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    ids: Vec<u32>,
    type_ids: Vec<u32>,
    offsets: Arc<[usize]>,
}

impl Packed {
    /// Packs sequences whose token types are all 0.
    pub fn from_sequences<S: AsRef<[u32]>>(sequences: &[S]) -> Result<Self> {
        let mut ids = Vec::new();
        let mut offsets = vec![0];
        for sequence in sequences {
            ids.extend_from_slice(sequence.as_ref());
            offsets.push(ids.len());
        }
        let type_ids = vec![0; ids.len()];
        Self::new(ids, type_ids, offsets)
    }

    /// Packs pairs of (token ids, token types) of equal length.
    pub fn from_typed<S: AsRef<[u32]>>(sequences: &[(S, S)]) -> Result<Self> {
        let (mut ids, mut type_ids) = (Vec::new(), Vec::new());
        let mut offsets = vec![0];
        for (index, (sequence, types)) in sequences.iter().enumerate() {
            let (sequence, types) = (sequence.as_ref(), types.as_ref());
            if sequence.len() != types.len() {
                let (found, expected) = (types.len(), sequence.len());
                return Err(Error::Batch(format!("sequence {index} has {found} token types for {expected} tokens")));
            }
            ids.extend_from_slice(sequence);
            type_ids.extend_from_slice(types);
            offsets.push(ids.len());
        }
        Self::new(ids, type_ids, offsets)
    }

    /// Packs encoded sequences.
    pub fn of(sequences: &[Sequence]) -> Result<Self> {
        let typed: Vec<(&[u32], &[u32])> = sequences.iter().map(|s| (&s.ids[..], &s.type_ids[..])).collect();
        Self::from_typed(&typed)
    }

    fn new(ids: Vec<u32>, type_ids: Vec<u32>, offsets: Vec<usize>) -> Result<Self> {
        if offsets.len() < 2 {
            return Err(Error::Batch("it has no sequence".into()));
        }
        if let Some(index) = offsets.windows(2).position(|w| w[0] == w[1]) {
            return Err(Error::Batch(format!("sequence {index} is empty")));
        }
        Ok(Self { ids, type_ids, offsets: offsets.into() })
    }

    /// Token ids, `[t]`.
    pub fn ids(&self) -> &[u32] {
        &self.ids
    }

    /// Token types, `[t]`: 0 for the first segment, 1 for the second.
    pub fn type_ids(&self) -> &[u32] {
        &self.type_ids
    }

    /// Where each sequence starts, and the end: `[n + 1]`.
    pub fn offsets(&self) -> &Arc<[usize]> {
        &self.offsets
    }

    /// The number of sequences `n`.
    pub fn sequences(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of tokens `t`.
    pub fn tokens(&self) -> usize {
        self.ids.len()
    }

    /// The length of the longest sequence.
    pub fn longest(&self) -> usize {
        self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0)
    }

    /// The position of each token in its own sequence, `[t]`.
    pub fn positions(&self) -> Vec<u32> {
        self.offsets.windows(2).flat_map(|w| 0..(w[1] - w[0]) as u32).collect()
    }

    /// The row of each sequence's first token, `[n]`.
    pub fn first_tokens(&self) -> Vec<u32> {
        self.offsets.windows(2).map(|w| w[0] as u32).collect()
    }

    /// The row of each sequence's last token that is not `padding`, `[n]`; of its first where all are.
    pub fn last_tokens(&self, padding: Option<u32>) -> Vec<u32> {
        let last = |w: &[usize]| {
            let place = self.ids[w[0]..w[1]].iter().rposition(|&id| Some(id) != padding);
            (w[0] + place.unwrap_or(0)) as u32
        };
        self.offsets.windows(2).map(last).collect()
    }

    /// Refuses a token id outside the vocabulary, a token type outside `types`, and a sequence longer than `positions`.
    pub(crate) fn check(&self, vocabulary: usize, types: Option<usize>, positions: usize) -> Result<()> {
        if let Some(&id) = self.ids.iter().find(|&&id| id as usize >= vocabulary) {
            return Err(Error::Batch(format!("token id {id} is outside the vocabulary of {vocabulary}")));
        }
        if let Some(types) = types
            && let Some(&kind) = self.type_ids.iter().find(|&&kind| kind as usize >= types)
        {
            return Err(Error::Batch(format!("token type {kind} is outside the model's {types} types")));
        }
        if self.longest() > positions {
            let longest = self.longest();
            return Err(Error::Batch(format!("a sequence has {longest} tokens, the model takes {positions}")));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_follow_the_sequences() {
        let packed = Packed::from_sequences(&[vec![5, 6, 7], vec![8], vec![9, 10]]).unwrap();
        assert_eq!(packed.ids(), [5, 6, 7, 8, 9, 10]);
        assert_eq!(packed.offsets()[..], [0, 3, 4, 6]);
        assert_eq!(packed.positions(), [0, 1, 2, 0, 0, 1]);
        assert_eq!(packed.first_tokens(), [0, 3, 4]);
        assert_eq!(packed.last_tokens(None), [2, 3, 5]);
        assert_eq!(packed.last_tokens(Some(10)), [2, 3, 4]);
        assert_eq!(packed.last_tokens(Some(8)), [2, 3, 5], "a sequence of padding alone is read at its first token");
        assert_eq!((packed.sequences(), packed.tokens(), packed.longest()), (3, 6, 3));
    }

    #[test]
    fn malformed_batches_are_refused() {
        let message = |result: Result<Packed>| result.unwrap_err().to_string();
        assert_eq!(message(Packed::from_sequences::<Vec<u32>>(&[])), "batch: it has no sequence");
        assert_eq!(message(Packed::from_sequences(&[vec![1], vec![]])), "batch: sequence 1 is empty");
        assert_eq!(
            message(Packed::from_typed(&[(vec![1, 2], vec![0])])),
            "batch: sequence 0 has 1 token types for 2 tokens"
        );
    }

    #[test]
    fn values_outside_the_model_are_refused() {
        let packed = Packed::from_typed(&[(vec![3, 4], vec![0, 1])]).unwrap();
        assert!(packed.check(5, Some(2), 2).is_ok());
        assert!(packed.check(4, Some(2), 2).is_err());
        assert!(packed.check(5, Some(1), 2).is_err());
        assert!(packed.check(5, Some(2), 1).is_err());
    }
}
