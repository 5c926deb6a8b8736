//! The backward pass of one key head of one sequence.

use std::ops::Range;

use super::super::gemm::{Compute, Matrix, gemm, product};
use super::super::lanes;
use super::{Attention, Unit, blocks, part};

/// Gradients of one unit: of its queries `[group, queries, head_dim]`, its keys and its values `[n, head_dim]`.
pub(super) struct UnitGradients {
    pub(super) q: Vec<f32>,
    pub(super) k: Vec<f32>,
    pub(super) v: Vec<f32>,
}

/// The rows of one query head and the gradient of its output `[queries, head_dim]`, and of its key head `[n, head_dim]`.
struct HeadRows<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    grad: &'a [f32],
}

impl Attention {
    /// The gradients of one unit from the queries, keys, values and output gradient of the batch.
    pub(super) fn backward_unit(&self, [q, k, v, grad]: [&[f32]; 4], unit: &Unit) -> UnitGradients {
        let (n, queries, d) = (unit.sequence.len(), unit.queries.len(), self.head_dim);
        let mut sums =
            UnitGradients { q: vec![0.0; self.group() * queries * d], k: vec![0.0; n * d], v: vec![0.0; n * d] };
        if queries == 0 {
            return sums;
        }
        let k = self.key_rows(k, unit);
        let v = self.head_rows(v, &unit.sequence, unit.kv_head, self.kv_heads);
        for group in 0..self.group() {
            let q = self.query_rows(q, unit, group);
            let grad = self.head_rows(grad, &unit.queries, unit.kv_head * self.group() + group, self.heads);
            let rows = HeadRows { q: &q, k: &k, v: &v, grad: &grad };
            for block in blocks(queries) {
                self.backward_block(&rows, unit, group, block, &mut sums);
            }
        }
        sums.q.chunks_exact_mut(queries * d).for_each(|dq| self.turn_queries(dq, unit, -1.0));
        self.turn_keys(&mut sums.k, -1.0);
        sums
    }

    /// With weights `p` (`p'` after dropout) and output gradient `g`: `dv = p'^T g`, `dp' = g v^T`,
    /// `ds = p (dp - sum(p dp))`, `dq = ds k`, `dk = ds^T q`, the last two times the scale.
    fn backward_block(
        &self,
        rows: &HeadRows<'_>,
        unit: &Unit,
        group: usize,
        block: Range<usize>,
        sums: &mut UnitGradients,
    ) {
        let (queries, d) = (unit.queries.len(), self.head_dim);
        let keys = self.keys(unit, &block);
        let row_major = |x, rows| Matrix::new(part(x, rows, d), d);
        let (q, grad) = (row_major(rows.q, &block), row_major(rows.grad, &block));
        let (k, v) = (row_major(rows.k, &keys), row_major(rows.v, &keys));
        let weights = self.weights(unit, rows.q, rows.k, &block, &keys);
        let (seen, span) = (keys.start * d..keys.end * d, block.start * d..block.end * d);
        let keys = keys.len();

        let mut dweights = product(grad, v.t(), 1.0, Compute::ALONE);
        self.drop_weights(unit, group, block.start, &mut dweights);
        let dv = &mut sums.v[seen.clone()];
        if self.dropout.is_some() {
            let mut dropped = weights.clone();
            self.drop_weights(unit, group, block.start, &mut dropped);
            gemm(dv, Matrix::new(&dropped, keys).t(), grad, 1.0, true, Compute::ALONE);
        } else {
            gemm(dv, Matrix::new(&weights, keys).t(), grad, 1.0, true, Compute::ALONE);
        }

        for (dweights, weights) in dweights.chunks_exact_mut(keys).zip(weights.chunks_exact(keys)) {
            let along = lanes::dot(dweights, weights);
            for (dweight, &weight) in dweights.iter_mut().zip(weights) {
                *dweight = weight * (*dweight - along);
            }
        }
        let dscores = Matrix::new(&dweights, keys);
        let dq = &mut sums.q[group * queries * d..][span];
        gemm(dq, dscores, k, self.scale(), false, Compute::ALONE);
        gemm(&mut sums.k[seen], dscores.t(), q, self.scale(), true, Compute::ALONE);
    }
}
