//! Attention of models that only score, where the processor multiplies bf16.
//!
//! A block of scores has a row for each key and a column for each query. So softmax goes down the columns, a register at a time, and
//! two neighbouring rows of weights are, rounded, a row of the right factor of the product with the values.

use std::f32::consts::LOG2_E;
use std::mem::MaybeUninit;
use std::ops::Range;

use super::super::gemm::{COLUMNS, Kernel, LeftFactor, Matrix, pair_up, turn};
use super::super::lanes;
use super::{Attention, Sequence, blocks};

/// Keys and values of one head, packed, and room for what a tile of queries needs.
struct Packed<K: Kernel> {
    kv_head: usize,
    /// None as long as nothing was packed.
    keys: Range<usize>,
    k: LeftFactor<K>,
    /// The transpose of the values.
    v: LeftFactor<K>,
    queries: Vec<[u32; COLUMNS]>,
    scores: Vec<[f32; COLUMNS]>,
    weights: Vec<[u32; COLUMNS]>,
    mixed: Vec<[f32; COLUMNS]>,
}

impl<K: Kernel> Packed<K> {
    /// Room for so many keys.
    fn for_keys(keys: usize, head_dim: usize) -> Self {
        let (k, v) = (LeftFactor::zeros(keys, head_dim), LeftFactor::zeros(head_dim, keys));
        Self {
            kv_head: 0,
            keys: 0..0,
            queries: vec![[0; COLUMNS]; k.pairs()],
            scores: vec![[0.0; COLUMNS]; k.room()],
            weights: vec![[0; COLUMNS]; v.pairs()],
            mixed: vec![[0.0; COLUMNS]; v.room()],
            k,
            v,
        }
    }
}

impl Attention {
    /// As [`Attention::forward_sequence`], by a kernel for bf16; it writes every number of `out`.
    pub(super) fn score_sequence<K: Kernel>(
        &self,
        sequence: &Sequence,
        [q, k, v]: [&[f32]; 3],
        out: &mut [MaybeUninit<f32>],
    ) {
        let (q_width, k_width) = (self.query_width(), self.key_width());
        let q = self.turned(q, self.query_positions(sequence), self.heads);
        let mut packed: Option<Packed<K>> = None;
        for head in 0..self.heads {
            let kv_head = self.kv_head(head);
            for block in blocks(sequence.queries.len()) {
                let keys = self.keys(sequence, &block);
                let packed = match packed.take() {
                    Some(before) if before.keys.len() == keys.len() => packed.insert(before),
                    _ => packed.insert(Packed::for_keys(keys.len(), self.head_dim)),
                };
                if (packed.kv_head, &packed.keys) != (kv_head, &keys) {
                    let [k, v] = [k, v].map(|x| self.head(x, &keys, kv_head, k_width));
                    packed.k.fill(k);
                    packed.v.fill(v.t());
                    (packed.kv_head, packed.keys) = (kv_head, keys);
                }
                for first in block.clone().step_by(COLUMNS) {
                    let queries = first..block.end.min(first + COLUMNS);
                    let out = &mut out[first * q_width + head * self.head_dim..];
                    let q = self.head(&q, &queries, head, q_width);
                    self.score_queries(sequence, &queries, q, packed, (out, q_width));
                }
            }
        }
    }

    /// Writes the outputs of as many queries of a head as a tile has columns, to rows that are `row_stride` apart.
    fn score_queries<K: Kernel>(
        &self,
        sequence: &Sequence,
        queries: &Range<usize>,
        q: Matrix<'_>,
        packed: &mut Packed<K>,
        (out, row_stride): (&mut [MaybeUninit<f32>], usize),
    ) {
        let Packed { keys, k, v, queries: asking, scores, weights, mixed, .. } = packed;
        // What other queries left in further columns is computed with, but not read.
        q.pack(0, 0..self.head_dim, k.pairs(), asking);
        k.multiply(asking, scores);
        let factors = lanes::wide!(|| {
            let scores = &mut scores[..keys.len()];
            let factor = self.finish_scores(sequence, queries, keys, scores);
            softmax(scores, factor)
        });
        pair_up(&scores[..keys.len()], weights);
        v.multiply(weights, mixed);
        turn(&mixed[..self.head_dim], &factors, queries.len(), out, row_stride);
    }

    /// Bounds scores; those of keys that a query does not see become infinitely small. The result is what is still to be multiplied
    /// with the scores.
    ///
    /// # Shapes
    /// `scores` `[keys, COLUMNS]`.
    #[inline(always)]
    fn finish_scores(
        &self,
        sequence: &Sequence,
        queries: &Range<usize>,
        keys: &Range<usize>,
        scores: &mut [[f32; COLUMNS]],
    ) -> f32 {
        if self.soft_cap.is_none() && !self.causal && self.window.is_none() {
            return self.factor();
        }
        lanes::scale(scores.as_flattened_mut(), self.factor());
        if let Some(cap) = self.soft_cap {
            lanes::soft_cap(scores.as_flattened_mut(), cap);
        }
        for (column, query) in queries.clone().enumerate() {
            let seen = self.seen(sequence, query);
            let (before, after) = (..seen.start - keys.start, seen.end - keys.start..);
            scores[before].iter_mut().for_each(|row| row[column] = f32::NEG_INFINITY);
            scores[after].iter_mut().for_each(|row| row[column] = f32::NEG_INFINITY);
        }
        1.0
    }
}

/// Makes the scores the exponentials of themselves, times `factor`, less the largest one of their column; the result is what makes the
/// sum of each column 1.
#[inline(always)]
fn softmax(scores: &mut [[f32; COLUMNS]], factor: f32) -> [f32; COLUMNS] {
    // By the same operations in both passes, the largest exponent is 0 exactly.
    let factor = factor * LOG2_E;
    let mut largest = [f32::NEG_INFINITY; COLUMNS];
    for row in scores.iter() {
        for (largest, &score) in largest.iter_mut().zip(row) {
            let score = score * factor;
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let mut sums = [0.0; COLUMNS];
    for row in scores {
        for ((score, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
            *score = lanes::near_exp2(*score * factor - largest);
            *sum += *score;
        }
    }
    sums.map(|sum| 1.0 / sum)
}
