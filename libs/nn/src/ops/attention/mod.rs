//! Scaled dot-product attention within each sequence of a packed batch.

mod backward;
mod rotary;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::dropout::Dropout;
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
    /// Dropout of the attention weights.
    pub dropout: Option<Dropout>,
}

/// `softmax(q k^T / sqrt(head_dim)) v` per sequence and head.
///
/// Scores exist for one block of rows of one head at a time, and the backward pass computes them again.
///
/// # Shapes
/// `q` `[t, heads * head_dim]`, `k` and `v` `[t, kv_heads * head_dim]` -> `[t, heads * head_dim]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, attention: Attention) -> Result<Tensor> {
    q.apply_op3(k, v, attention)
}

/// One key head of one sequence: what a parallel task works on.
#[derive(Clone)]
struct Unit {
    sequence: Range<usize>,
    kv_head: usize,
    index: usize,
}

impl Attention {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn units(&self) -> Vec<Unit> {
        let sequences = self.offsets.windows(2).map(|w| w[0]..w[1]);
        let heads = sequences.flat_map(|sequence| (0..self.kv_heads).map(move |kv_head| (sequence.clone(), kv_head)));
        heads.enumerate().map(|(index, (sequence, kv_head))| Unit { sequence, kv_head, index }).collect()
    }

    fn check(&self, shapes: [&Layout; 3]) -> Result<()> {
        let [q, k, v] = shapes.map(|layout| layout.shape().dims2());
        let ((t, qd), k, v) = (q?, k?, v?);
        let kv = (t, self.kv_heads * self.head_dim);
        let ends = self.offsets.first() == Some(&0) && self.offsets.last() == Some(&t) && self.offsets.is_sorted();
        let divides = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        if qd != self.heads * self.head_dim || k != kv || v != kv || !ends || !divides {
            let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
            candle_core::bail!(
                "attention: q [{t}, {qd}], k {k:?}, v {v:?} for {heads} heads and {kv_heads} key heads of {head_dim} \
                 in sequences at {:?}",
                self.offsets
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

    /// The rows of one head of a sequence, turned to their positions.
    fn head(&self, x: &[f32], unit: &Unit, head: usize, heads: usize) -> Vec<f32> {
        let mut rows = self.head_rows(x, unit, head, heads);
        if let Some(rotary) = &self.rotary {
            rotary.turn(&mut rows, 1.0);
        }
        rows
    }

    /// The rows `[n, head_dim]` of one head of a sequence, contiguous.
    fn head_rows(&self, x: &[f32], unit: &Unit, head: usize, heads: usize) -> Vec<f32> {
        let (d, width) = (self.head_dim, heads * self.head_dim);
        let mut rows = Vec::with_capacity(unit.sequence.len() * d);
        for row in unit.sequence.clone() {
            rows.extend_from_slice(&x[row * width + head * d..][..d]);
        }
        rows
    }

    /// The keys that some row of a block of query rows sees.
    fn keys(&self, block: &Range<usize>, n: usize) -> Range<usize> {
        if self.causal { self.first_key(block.start)..block.end } else { 0..n }
    }

    /// The first key that a query row sees.
    fn first_key(&self, row: usize) -> usize {
        self.window.map_or(0, |window| (row + 1).saturating_sub(window))
    }

    /// The attention weights `[rows, keys]` of a block of query rows before dropout; `keys` are those it sees.
    fn weights(&self, q: &[f32], k: &[f32], block: &Range<usize>, keys: &Range<usize>) -> Vec<f32> {
        let d = self.head_dim;
        let (q, k) = (Matrix::new(part(q, block, d), d), Matrix::new(part(k, keys, d), d));
        let mut weights = product(q, k.t(), self.scale(), Compute::ALONE);
        for (row, weights) in block.clone().zip(weights.chunks_exact_mut(keys.len())) {
            let seen = if self.causal { self.first_key(row) - keys.start..row + 1 - keys.start } else { 0..keys.len() };
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

    /// The output of one unit's query heads, `[group, n, head_dim]`.
    fn forward_unit(&self, q: &[f32], k: &[f32], v: &[f32], unit: &Unit) -> Vec<f32> {
        let (n, d) = (unit.sequence.len(), self.head_dim);
        let k = self.head(k, unit, unit.kv_head, self.kv_heads);
        let v = self.head_rows(v, unit, unit.kv_head, self.kv_heads);
        let mut out = vec![0.0; self.group() * n * d];
        for (group, out) in out.chunks_exact_mut(n * d).enumerate() {
            let q = self.head(q, unit, unit.kv_head * self.group() + group, self.heads);
            for block in blocks(n) {
                let keys = self.keys(&block, n);
                let mut weights = self.weights(&q, &k, &block, &keys);
                self.drop_weights(unit, group, block.start, &mut weights);
                let (weights, v) = (Matrix::new(&weights, keys.len()), Matrix::new(part(&v, &keys, d), d));
                gemm(&mut out[block.start * d..block.end * d], weights, v, 1.0, false, Compute::ALONE);
            }
        }
        out
    }

    /// Joins units' rows, `[heads / kv_heads, n, head_dim]` each, to `[t, heads * head_dim]`.
    fn join<'a>(&self, heads: usize, parts: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
        let (d, width, group) = (self.head_dim, heads * self.head_dim, heads / self.kv_heads);
        let sequences = self.offsets.windows(2).enumerate();
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
        output(self.join(self.heads, |unit| &parts[unit]), ql.shape())
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
                gradient(self.join(self.heads, |unit| &parts[unit].q), q)?,
                gradient(self.join(self.kv_heads, |unit| &parts[unit].k), k)?,
                gradient(self.join(self.kv_heads, |unit| &parts[unit].v), v)?,
            ))
        })
    }
}

#[cfg(test)]
mod tests;
