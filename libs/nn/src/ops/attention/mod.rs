//! Scaled dot-product attention within each sequence of a packed batch.

mod backward;
mod rotary;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::embedding::embedding;
use super::gemm::{Compute, Matrix, gemm, product};
use super::{gradient, input, lanes, lend, output, task_rows};
use backward::UnitGradients;
pub use rotary::{Rotary, RotaryScaling};

/// Query rows whose scores are held at a time.
const BLOCK: usize = 64;

/// How a packed batch attends.
#[derive(Debug, Clone)]
pub struct Attention {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads, a divisor of `heads`: each is shared by `heads / kv_heads` query heads in a row.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Whether a token sees only itself and the tokens before it.
    pub causal: bool,
    /// How many tokens a token of a causal batch sees, itself included; all before it where absent.
    pub window: Option<usize>,
    /// Rotary positions for queries and keys, for at least the longest sequence.
    pub rotary: Option<Rotary>,
    /// Where each sequence starts, and the end.
    pub offsets: Arc<[usize]>,
    /// The tokens of the batch that ask, in increasing order; all of them where absent. What a model reads of its last
    /// layer is often one token a sequence.
    pub queries: Option<Arc<[u32]>>,
    /// Dropout of the attention weights.
    pub dropout: Option<Dropout>,
}

/// `softmax(q k^T / sqrt(head_dim)) v` per sequence and head.
///
/// Scores exist for one block of rows of one head at a time, and the backward pass computes them again.
///
/// # Shapes
/// `q` `[queries, heads * head_dim]`, `k` and `v` `[t, kv_heads * head_dim]` -> `[queries, heads * head_dim]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, attention: Attention) -> Result<Tensor> {
    q.apply_op3(k, v, attention)
}

/// One key head of one sequence: what a parallel task works on.
#[derive(Clone)]
struct Unit {
    sequence: Range<usize>,
    /// Rows of `q`.
    queries: Range<usize>,
    kv_head: usize,
    index: usize,
}

impl Attention {
    /// The rows of `x` `[t, d]` whose tokens ask, `[queries, d]`.
    pub(crate) fn asking(&self, x: &Tensor) -> Result<Tensor> {
        self.queries.as_ref().map_or_else(|| Ok(x.clone()), |rows| embedding(x, rows))
    }

    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn units(&self) -> Vec<Unit> {
        let (tokens, queries) = (self.offsets.windows(2), self.query_offsets());
        let sequences =
            tokens.zip(queries.windows(2)).map(|(tokens, queries)| (tokens[0]..tokens[1], queries[0]..queries[1]));
        let heads = sequences.flat_map(|rows| (0..self.kv_heads).map(move |kv_head| (rows.clone(), kv_head)));
        let unit = |(index, ((sequence, queries), kv_head))| Unit { sequence, queries, kv_head, index };
        heads.enumerate().map(unit).collect()
    }

    /// Where the queries of each sequence start, and the end.
    fn query_offsets(&self) -> Arc<[usize]> {
        let Some(queries) = &self.queries else { return self.offsets.clone() };
        self.offsets.iter().map(|&offset| queries.partition_point(|&row| (row as usize) < offset)).collect()
    }

    /// The position of a unit's query in its sequence.
    fn position(&self, unit: &Unit, query: usize) -> usize {
        self.queries.as_ref().map_or(query, |rows| rows[unit.queries.start + query] as usize - unit.sequence.start)
    }

    fn check(&self, shapes: [&Layout; 3]) -> Result<()> {
        let [q, k, v] = shapes.map(|layout| layout.shape().dims2());
        let ((asking, qd), (t, kd), v) = (q?, k?, v?);
        let kv = (t, self.kv_heads * self.head_dim);
        let ends = self.offsets.first() == Some(&0) && self.offsets.last() == Some(&t) && self.offsets.is_sorted();
        let queries = match &self.queries {
            None => asking == t,
            Some(rows) => {
                asking == rows.len()
                    && rows.is_sorted_by(|a, b| a < b)
                    && rows.last().is_none_or(|&row| (row as usize) < t)
            }
        };
        let divides = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        if qd != self.heads * self.head_dim || (t, kd) != kv || v != kv || !ends || !queries || !divides {
            let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
            candle_core::bail!(
                "attention: q [{asking}, {qd}], k [{t}, {kd}], v {v:?} for {heads} heads and {kv_heads} key heads of \
                 {head_dim} in sequences at {:?}, queries {:?}",
                self.offsets,
                self.queries
            );
        }
        if let Some(window) = self.window
            && (window == 0 || !self.causal)
        {
            candle_core::bail!("attention: a window of {window} tokens, causal {}", self.causal);
        }
        let longest = self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        if let Some(rotary) = &self.rotary
            && !rotary.fits(self.head_dim, longest)
        {
            candle_core::bail!("attention: {longest} positions of {} exceed the rotary table", self.head_dim);
        }
        Ok(())
    }

    /// The queries `[queries, head_dim]` of one head of a sequence, turned to their positions.
    fn query_rows(&self, q: &[f32], unit: &Unit, group: usize) -> Vec<f32> {
        let mut rows = self.head_rows(q, &unit.queries, unit.kv_head * self.group() + group, self.heads);
        self.turn_queries(&mut rows, unit, 1.0);
        rows
    }

    fn turn_queries(&self, rows: &mut [f32], unit: &Unit, direction: f32) {
        if let Some(rotary) = &self.rotary {
            rotary.turn(rows, (0..unit.queries.len()).map(|query| self.position(unit, query)), direction);
        }
    }

    /// The keys `[n, head_dim]` of one head of a sequence, turned to their positions.
    fn key_rows(&self, k: &[f32], unit: &Unit) -> Vec<f32> {
        let mut rows = self.head_rows(k, &unit.sequence, unit.kv_head, self.kv_heads);
        self.turn_keys(&mut rows, 1.0);
        rows
    }

    fn turn_keys(&self, rows: &mut [f32], direction: f32) {
        if let Some(rotary) = &self.rotary {
            rotary.turn(rows, 0.., direction);
        }
    }

    /// The rows of one head, contiguous.
    fn head_rows(&self, x: &[f32], rows: &Range<usize>, head: usize, heads: usize) -> Vec<f32> {
        let (d, width) = (self.head_dim, heads * self.head_dim);
        let mut own = Vec::with_capacity(rows.len() * d);
        for row in rows.clone() {
            own.extend_from_slice(&x[row * width + head * d..][..d]);
        }
        own
    }

    /// The keys that some query of a block sees.
    fn keys(&self, unit: &Unit, block: &Range<usize>) -> Range<usize> {
        if self.causal {
            self.first_key(self.position(unit, block.start))..self.position(unit, block.end - 1) + 1
        } else {
            0..unit.sequence.len()
        }
    }

    /// The first key that the query at a position sees.
    fn first_key(&self, position: usize) -> usize {
        self.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }

    /// The attention weights `[block, keys]` of a block of queries before dropout; `keys` are those it sees.
    fn weights(&self, unit: &Unit, q: &[f32], k: &[f32], block: &Range<usize>, keys: &Range<usize>) -> Vec<f32> {
        let d = self.head_dim;
        let (q, k) = (Matrix::new(part(q, block, d), d), Matrix::new(part(k, keys, d), d));
        let mut weights = product(q, k.t(), self.scale(), Compute::ALONE);
        for (query, weights) in block.clone().zip(weights.chunks_exact_mut(keys.len())) {
            let seen = if self.causal {
                let position = self.position(unit, query);
                self.first_key(position) - keys.start..position + 1 - keys.start
            } else {
                0..keys.len()
            };
            lanes::softmax(&mut weights[seen.clone()]);
            weights[..seen.start].fill(0.0);
            weights[seen.end..].fill(0.0);
        }
        weights
    }

    fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    /// Drops weights of a block, or what flows back to them.
    fn drop_weights(&self, unit: &Unit, group: usize, start: usize, weights: &mut [f32]) {
        if let Some(dropout) = self.dropout {
            let n = unit.sequence.len();
            dropout.part((unit.index * self.group() + group) as u64).apply(start * n, weights);
        }
    }

    /// The output of one unit's query heads, `[group, queries, head_dim]`.
    fn forward_unit(&self, q: &[f32], k: &[f32], v: &[f32], unit: &Unit) -> Vec<f32> {
        let (queries, d) = (unit.queries.len(), self.head_dim);
        let mut out = vec![0.0; self.group() * queries * d];
        if queries == 0 {
            return out;
        }
        let k = self.key_rows(k, unit);
        let v = self.head_rows(v, &unit.sequence, unit.kv_head, self.kv_heads);
        for (group, out) in out.chunks_exact_mut(queries * d).enumerate() {
            let q = self.query_rows(q, unit, group);
            for block in blocks(queries) {
                let keys = self.keys(unit, &block);
                let mut weights = self.weights(unit, &q, &k, &block, &keys);
                self.drop_weights(unit, group, block.start, &mut weights);
                let (weights, v) = (Matrix::new(&weights, keys.len()), Matrix::new(part(&v, &keys, d), d));
                gemm(&mut out[block.start * d..block.end * d], weights, v, 1.0, false, Compute::ALONE);
            }
        }
        out
    }

    /// Joins units' rows, `[heads / kv_heads, rows, head_dim]` each, to `[rows of all, heads * head_dim]`; `offsets` are
    /// where each sequence's rows start, and the end.
    fn join<'a>(&self, offsets: &[usize], heads: usize, parts: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
        let (d, width, group) = (self.head_dim, heads * self.head_dim, heads / self.kv_heads);
        let sequences = offsets.windows(2).enumerate();
        let places: Vec<(usize, usize, usize)> =
            sequences.flat_map(|(sequence, w)| (0..w[1] - w[0]).map(move |row| (sequence, row, w[1] - w[0]))).collect();
        let mut out = vec![0.0; places.len() * width];
        let task = task_rows(width);
        out.par_chunks_mut(task * width).zip(places.par_chunks(task)).for_each(|(out, places)| {
            for (out, &(sequence, row, n)) in out.chunks_exact_mut(width).zip(places) {
                for (head, out) in out.chunks_exact_mut(d).enumerate() {
                    let part = parts(sequence * self.kv_heads + head / group);
                    out.copy_from_slice(&part[((head % group) * n + row) * d..][..d]);
                }
            }
        });
        out
    }
}

/// `0..n` in blocks of rows.
fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(BLOCK).map(move |start| start..n.min(start + BLOCK))
}

/// These of the rows of width `d`.
fn part<'a>(x: &'a [f32], rows: &Range<usize>, d: usize) -> &'a [f32] {
    &x[rows.start * d..rows.end * d]
}

impl CustomOp3 for Attention {
    fn name(&self) -> &'static str {
        "attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        ql: &Layout,
        k: &CpuStorage,
        kl: &Layout,
        v: &CpuStorage,
        vl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.check([ql, kl, vl])?;
        let (q, k, v) = (input(q, ql)?, input(k, kl)?, input(v, vl)?);
        let parts: Vec<Vec<f32>> = self.units().par_iter().map(|unit| self.forward_unit(q, k, v, unit)).collect();
        output(self.join(&self.query_offsets(), self.heads, |unit| &parts[unit]), ql.shape())
    }

    fn bwd(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        lend([q, k, v, &grad.contiguous()?], |inputs| {
            let parts: Vec<UnitGradients> =
                self.units().par_iter().map(|unit| self.backward_unit(inputs, unit)).collect();
            Ok((
                gradient(self.join(&self.query_offsets(), self.heads, |unit| &parts[unit].q), q)?,
                gradient(self.join(&self.offsets, self.kv_heads, |unit| &parts[unit].k), k)?,
                gradient(self.join(&self.offsets, self.kv_heads, |unit| &parts[unit].v), v)?,
            ))
        })
    }
}

#[cfg(test)]
mod tests;
