//! Attention of models that only score, where the processor multiplies bf16.
//!
//! A block of scores has a row for each key and a column for each query. So softmax goes down the columns, a register at a time, and
//! two neighbouring rows of weights are, rounded, a row of the right factor of the product with the values.

use std::ops::Range;

use super::super::gemm::{COLUMNS, Kernel, LeftFactor, Matrix, pair_up, turn};
use super::super::lanes;
use super::{Attention, Sequence, blocks};

/// Keys and values of one head, packed.
struct Packed<K: Kernel> {
    kv_head: usize,
    keys: Range<usize>,
    k: LeftFactor<K>,
    /// The transpose of the values.
    v: LeftFactor<K>,
}

impl Attention {
    /// As [`Attention::forward_sequence`], by a kernel for bf16.
    pub(super) fn score_sequence<K: Kernel>(&self, sequence: &Sequence, [q, k, v]: [&[f32]; 3], out: &mut [f32]) {
        let (q_width, k_width) = (self.query_width(), self.key_width());
        let q = self.turned(q, self.query_positions(sequence), self.heads);
        let mut packed: Option<Packed<K>> = None;
        for head in 0..self.heads {
            let kv_head = self.kv_head(head);
            for block in blocks(sequence.queries.len()) {
                let keys = self.keys(sequence, &block);
                let packed = match packed.take() {
                    Some(before) if before.kv_head == kv_head && before.keys == keys => packed.insert(before),
                    _ => {
                        let [k, v] = [k, v].map(|x| self.head(x, &keys, kv_head, k_width));
                        packed.insert(Packed { kv_head, keys, k: LeftFactor::of(k), v: LeftFactor::of(v.t()) })
                    }
                };
                for first in block.clone().step_by(COLUMNS) {
                    let queries = first..block.end.min(first + COLUMNS);
                    let out = &mut out[first * q_width + head * self.head_dim..];
                    let q = self.head(&q, &queries, head, q_width);
                    self.score_queries(sequence, &queries, q, packed, (out, q_width));
                }
            }
        }
    }

    /// The outputs of as many queries of a head as a tile has columns, to rows that are `row_stride` apart.
    fn score_queries<K: Kernel>(
        &self,
        sequence: &Sequence,
        queries: &Range<usize>,
        q: Matrix<'_>,
        packed: &Packed<K>,
        (out, row_stride): (&mut [f32], usize),
    ) {
        let Packed { keys, k, v, .. } = packed;
        let mut asking = vec![[0; COLUMNS]; k.pairs()];
        q.pack(0, 0..self.head_dim, k.pairs(), &mut asking);
        let mut scores = vec![[0.0; COLUMNS]; k.room()];
        k.multiply(&asking, &mut scores);
        let mut weights = vec![[0; COLUMNS]; v.pairs()];
        let totals = lanes::wide!(|| {
            let scores = &mut scores[..keys.len()];
            self.finish_scores(sequence, queries, keys, scores);
            softmax(scores, &mut weights)
        });
        let mut mixed = vec![[0.0; COLUMNS]; v.room()];
        v.multiply(&weights, &mut mixed);
        lanes::wide!(|| {
            let mixed = &mut mixed[..self.head_dim];
            mixed.iter_mut().for_each(|mixed| mixed.iter_mut().zip(&totals).for_each(|(mixed, total)| *mixed *= total));
            turn(mixed, queries.len(), out, row_stride);
        });
    }

    /// Scales and bounds scores; those of keys that a query does not see become infinitely small.
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
    ) {
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
    }
}

/// The exponentials of the scores less the largest one of their column, rounded and in pairs, and what makes the sum of each column 1.
///
/// # Shapes
/// `scores` `[n, COLUMNS]` -> `weights` `[n / 2, COLUMNS]`, rounded up; what is beyond stays.
#[inline(always)]
fn softmax(scores: &mut [[f32; COLUMNS]], weights: &mut [[u32; COLUMNS]]) -> [f32; COLUMNS] {
    let mut largest = [f32::NEG_INFINITY; COLUMNS];
    for row in scores.iter() {
        for (largest, &score) in largest.iter_mut().zip(row) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let mut sums = [0.0; COLUMNS];
    for (rows, weights) in scores.chunks_mut(2).zip(weights) {
        for row in rows.iter_mut() {
            for ((score, largest), sum) in row.iter_mut().zip(&largest).zip(&mut sums) {
                *score = lanes::exp(*score - largest);
                *sum += *score;
            }
        }
        match rows {
            [first, second] => pair_up(first, second, weights),
            rows => pair_up(&rows[0], &[0.0; COLUMNS], weights),
        }
    }
    sums.map(|sum| 1.0 / sum)
}
