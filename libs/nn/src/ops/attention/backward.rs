//! The backward pass.

use std::borrow::Cow;
use std::ops::Range;

use rayon::prelude::*;

use super::super::gemm::{Compute, Matrix, gemm_rows, product};
use super::super::lanes;
use super::disentangled::{Place, TableSums, Terms};
use super::{Attention, Sequence, blocks, part, split};

/// What is known of one sequence: its queries, turned, and the gradient of their output, its keys, turned, and values.
struct Known<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    grad: &'a [f32],
}

/// Gradients of one sequence's queries, keys and values, and of the tables of terms.
struct Sums<'a> {
    q: &'a mut [f32],
    k: &'a mut [f32],
    v: &'a mut [f32],
    tables: Option<(&'a Terms<'a>, TableSums)>,
}

impl Attention {
    /// The gradients of queries, keys and values from these and the gradient of the output, and those of the terms' tables,
    /// where there are terms, by sequence.
    pub(super) fn backward(
        &self,
        [q, k, v, grad]: [&[f32]; 4],
        terms: Option<&Terms<'_>>,
    ) -> ([Vec<f32>; 3], Vec<TableSums>) {
        let (q_width, k_width) = (self.query_width(), self.key_width());
        let [mut dq, mut dk, mut dv] = [q, k, v].map(|x| vec![0.0; x.len()]);
        // One task a sequence, as all its queries add to the gradients of its keys.
        let sequences = self.sequences(1);
        let keys = || sequences.iter().map(|sequence| sequence.tokens.len() * k_width);
        let sums = split(&mut dq, sequences.iter().map(|sequence| sequence.queries.len() * q_width))
            .into_par_iter()
            .zip(split(&mut dk, keys()))
            .zip(split(&mut dv, keys()));
        let tables = sequences.par_iter().zip(sums).map(|(sequence, ((q_sums, k_sums), v_sums))| {
            let asking = |x| part(x, &sequence.queries, q_width);
            let seen = |x| part(x, &sequence.tokens, k_width);
            let turned_q = self.turned(asking(q), self.query_positions(sequence), self.heads);
            let turned_k = self.turned(seen(k), 0.., self.kv_heads);
            let known = Known { q: &turned_q, k: &turned_k, v: seen(v), grad: asking(grad) };
            let tables = terms.map(|terms| (terms, terms.no_sums(sequence.tokens.len())));
            let mut sums = Sums { q: q_sums, k: k_sums, v: v_sums, tables };
            for head in 0..self.heads {
                for block in blocks(sequence.queries.len()) {
                    self.backward_block(sequence, &known, head, &block, &mut sums);
                }
            }
            self.turn(sums.q, self.query_positions(sequence), self.heads, -1.0);
            self.turn(sums.k, 0.., self.kv_heads, -1.0);
            sums.tables.map(|(_, tables)| tables)
        });
        let tables: Vec<Option<TableSums>> = tables.collect();
        ([dq, dk, dv], tables.into_iter().flatten().collect())
    }

    /// With weights `p` (`p'` after dropout) and output gradient `g`: `dv = p'^T g`, `dp' = g v^T`,
    /// `ds = p (dp - sum(p dp))`, `dq = ds k`, `dk = ds^T q`, the last two times the scale. Where scores have a bound, `ds` is
    /// multiplied by the slope there.
    fn backward_block(
        &self,
        sequence: &Sequence,
        known: &Known<'_>,
        head: usize,
        block: &Range<usize>,
        sums: &mut Sums<'_>,
    ) {
        let (q_width, k_width, kv_head) = (self.query_width(), self.key_width(), self.kv_head(head));
        let terms = sums.tables.as_ref().map(|(terms, _)| *terms);
        let positions = self.positions(sequence, block, terms);
        let place = Place { head, positions: &positions, keys: self.keys(sequence, block) };
        let keys = &place.keys;
        let [q, grad] = [known.q, known.grad].map(|x| self.head(x, block, head, q_width));
        let [k, v] = [known.k, known.v].map(|x| self.head(x, keys, kv_head, k_width));
        let asking = block.start * q_width + head * self.head_dim;
        let seen = keys.start * k_width + kv_head * self.head_dim;
        let weights = self.weights(sequence, block, &place, [q, k], terms);
        let keys = keys.len();

        let mut dweights = product(grad, v.t(), 1.0, Compute::ALONE);
        self.drop_weights(sequence, head, block, &mut dweights);
        let mut dropped = Cow::Borrowed(&weights);
        if self.dropout.is_some() {
            self.drop_weights(sequence, head, block, dropped.to_mut());
        }
        gemm_rows(&mut sums.v[seen..], k_width, Matrix::new(&dropped, keys).t(), grad, 1.0, true, Compute::ALONE);

        for (dweights, weights) in dweights.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
            let along = lanes::dot(dweights, weights);
            for (dweight, &weight) in dweights.iter_mut().zip(weights) {
                *dweight = weight * (*dweight - along);
            }
        }
        if let Some(cap) = self.soft_cap {
            for (dscore, score) in dweights.iter_mut().zip(self.scores([q, k])) {
                *dscore *= lanes::soft_cap_slope(score, cap);
            }
        }
        let dscores = Matrix::new(&dweights, keys);
        gemm_rows(&mut sums.q[asking..], q_width, dscores, k, self.factor(), false, Compute::ALONE);
        gemm_rows(&mut sums.k[seen..], k_width, dscores.t(), q, self.factor(), true, Compute::ALONE);
        if let Some((terms, tables)) = &mut sums.tables {
            terms.backward(&place, [q, k], &dweights, [&mut sums.q[asking..], &mut sums.k[seen..]], tables);
        }
    }
}
