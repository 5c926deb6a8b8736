//! Scaled dot-product attention within each sequence of a packed batch.

mod backward;
mod disentangled;
mod rotary;
#[cfg(target_arch = "x86_64")]
mod scoring;

use std::borrow::Cow;
use std::iter::repeat_n;
use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Precision;
use super::dropout::Dropout;
use super::embedding::embedding;
#[cfg(target_arch = "x86_64")]
use super::gemm::{Amx, Avx512, Kernel};
use super::gemm::{Compute, Instructions, Matrix, gemm_rows, product};
use super::{filled, gradient, input, lanes, lend, output, zeroed};
use disentangled::{Place, Terms};
pub use disentangled::{Relative, disentangled};
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
    /// True if a token sees only itself and the tokens before it.
    pub causal: bool,
    /// The distance from which on a token sees no others, before it and, unless causal, after it; none where absent. So in a
    /// causal batch it sees so many tokens, itself included.
    pub window: Option<usize>,
    /// What the products of queries and keys are multiplied by; `1 / sqrt(head_dim)` where absent.
    pub scale: Option<f32>,
    /// The bound of the scores, above 0, where they have one: a score `s` becomes `soft_cap tanh(s / soft_cap)` (Gemma 2, arXiv
    /// 2408.00118, section 2).
    pub soft_cap: Option<f32>,
    /// Rotary positions for queries and keys, for at least the longest sequence.
    pub rotary: Option<Rotary>,
    /// Where each sequence starts, and the end.
    pub offsets: Arc<[usize]>,
    /// The tokens of the batch that attention is computed for, in increasing order; all of them where absent. Of the last
    /// layer, a model often reads one token per sequence.
    pub queries: Option<Arc<[u32]>>,
    /// Dropout of the attention weights.
    pub dropout: Option<Dropout>,
    /// What the products of queries and keys, and of weights and values, multiply; `f32` for some queries alone, and in the backward
    /// pass.
    pub precision: Precision,
}

/// `softmax(scale q k^T) v` per sequence and head, the scores bounded where there is a bound.
///
/// Scores exist for one block of rows of one head at a time, and the backward pass computes them again.
///
/// # Shapes
/// `q` `[queries, heads * head_dim]`, `k` and `v` `[t, kv_heads * head_dim]` -> `[queries, heads * head_dim]`.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, attention: Attention) -> Result<Tensor> {
    q.apply_op3(k, v, attention)
}

/// What a parallel task works on: a sequence and some of its queries.
#[derive(Debug, Clone)]
struct Sequence {
    index: usize,
    tokens: Range<usize>,
    /// Rows of `q`.
    queries: Range<usize>,
    /// Queries of the sequence before these.
    before: usize,
}

impl Attention {
    /// The rows of `x` `[t, d]` at the query tokens, `[queries, d]`.
    pub(crate) fn asking(&self, x: &Tensor) -> Result<Tensor> {
        self.queries.as_ref().map_or_else(|| Ok(x.clone()), |rows| embedding(x, rows))
    }

    /// The sequences in order, each sequence's queries in at most `tasks` tasks. Blocks stay whole, so that results do not depend
    /// on the number of tasks.
    fn sequences(&self, tasks: usize) -> Vec<Sequence> {
        let queries = self.query_offsets();
        let sequences = self.offsets.windows(2).zip(queries.windows(2)).enumerate();
        let parts = sequences.flat_map(|(index, (tokens, queries))| {
            let (tokens, queries) = (tokens[0]..tokens[1], queries[0]..queries[1]);
            let step = queries.len().div_ceil(tasks).next_multiple_of(BLOCK).max(BLOCK);
            (0..queries.len().div_ceil(step).max(1)).map(move |part| Sequence {
                index,
                tokens: tokens.clone(),
                queries: queries.start + part * step..queries.end.min(queries.start + (part + 1) * step),
                before: part * step,
            })
        });
        parts.collect()
    }

    /// Where the queries of each sequence start, and the end.
    fn query_offsets(&self) -> Arc<[usize]> {
        let Some(queries) = &self.queries else { return self.offsets.clone() };
        self.offsets.iter().map(|&offset| queries.partition_point(|&row| (row as usize) < offset)).collect()
    }

    /// The position of a query in its sequence.
    fn position(&self, sequence: &Sequence, query: usize) -> usize {
        let row = sequence.queries.start + query;
        self.queries.as_ref().map_or(row, |rows| rows[row] as usize) - sequence.tokens.start
    }

    /// The numbers of a row of `q`.
    fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// The numbers of a row of `k` and `v`.
    fn key_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    /// The key head that a query head sees.
    fn kv_head(&self, head: usize) -> usize {
        head / (self.heads / self.kv_heads)
    }

    fn check(&self, shapes: [&Layout; 3]) -> Result<()> {
        let [q, k, v] = shapes.map(|layout| layout.shape().dims2());
        let ((asking, qd), (t, kd), v) = (q?, k?, v?);
        let kv = (t, self.key_width());
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
        if qd != self.query_width() || (t, kd) != kv || v != kv || !ends || !queries || !divides {
            let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
            candle_core::bail!(
                "attention: q [{asking}, {qd}], k [{t}, {kd}], v {v:?} for {heads} heads and {kv_heads} key heads of \
                 {head_dim} in sequences at {:?}, queries {:?}",
                self.offsets,
                self.queries
            );
        }
        if self.window == Some(0) {
            candle_core::bail!("attention: a window of no token");
        }
        let longest = self.offsets.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        if let Some(rotary) = &self.rotary
            && !rotary.fits(self.head_dim, longest)
        {
            candle_core::bail!("attention: {longest} positions of {} exceed the rotary table", self.head_dim);
        }
        Ok(())
    }

    /// The rows of a sequence, every head turned to its position.
    fn turned<'a>(&self, rows: &'a [f32], positions: impl Iterator<Item = usize>, heads: usize) -> Cow<'a, [f32]> {
        let mut rows = Cow::Borrowed(rows);
        if self.rotary.is_some() {
            self.turn(rows.to_mut(), positions, heads, 1.0);
        }
        rows
    }

    fn turn(&self, rows: &mut [f32], positions: impl Iterator<Item = usize>, heads: usize, direction: f32) {
        if let Some(rotary) = &self.rotary {
            rotary.turn(rows, positions.flat_map(|position| repeat_n(position, heads)), direction);
        }
    }

    /// The positions of a block's queries, where there are terms that depend on them.
    fn positions(&self, sequence: &Sequence, block: &Range<usize>, terms: Option<&Terms<'_>>) -> Vec<usize> {
        terms.map_or(Vec::new(), |_| block.clone().map(|query| self.position(sequence, query)).collect())
    }

    fn query_positions(&self, sequence: &Sequence) -> impl Iterator<Item = usize> {
        (0..sequence.queries.len()).map(|query| self.position(sequence, query))
    }

    /// The keys that some query of a block sees.
    fn keys(&self, sequence: &Sequence, block: &Range<usize>) -> Range<usize> {
        let [first, last] = [block.start, block.end - 1].map(|query| self.seen(sequence, query));
        first.start..last.end
    }

    /// The keys that a query sees.
    fn seen(&self, sequence: &Sequence, query: usize) -> Range<usize> {
        let (position, tokens) = (self.position(sequence, query), sequence.tokens.len());
        let start = self.window.map_or(0, |window| (position + 1).saturating_sub(window));
        let end = if self.causal { position + 1 } else { self.window.map_or(tokens, |window| position + window) };
        start..end.min(tokens)
    }

    /// The attention weights `[block, keys]` of a block of queries of one head before dropout; `place` says which keys it
    /// sees.
    fn weights(
        &self,
        sequence: &Sequence,
        block: &Range<usize>,
        place: &Place<'_>,
        [q, k]: [Matrix<'_>; 2],
        terms: Option<&Terms<'_>>,
    ) -> Vec<f32> {
        let keys = &place.keys;
        let mut weights = self.scores([q, k]);
        if let Some(terms) = terms {
            terms.add(place, [q, k], &mut weights);
        }
        lanes::wide!(|| {
            for (query, weights) in block.clone().zip(weights.chunks_exact_mut(keys.len())) {
                let seen = self.seen(sequence, query);
                let seen = seen.start - keys.start..seen.end - keys.start;
                lanes::softmax(&mut weights[seen.clone()]);
                weights[..seen.start].fill(0.0);
                weights[seen.end..].fill(0.0);
            }
        });
        weights
    }

    /// The scores `[block, keys]` of all keys, seen or not, without relative terms.
    fn scores(&self, [q, k]: [Matrix<'_>; 2]) -> Vec<f32> {
        let mut scores = product(q, k.t(), self.factor(), self.compute());
        if let Some(cap) = self.soft_cap {
            lanes::wide!(|| lanes::soft_cap(&mut scores, cap));
        }
        scores
    }

    fn precision(&self) -> Precision {
        if self.queries.is_some() { Precision::F32 } else { self.precision }
    }

    fn compute(&self) -> Compute {
        Compute::on_this_thread(self.precision())
    }

    /// What the scores are multiplied by.
    fn factor(&self) -> f32 {
        self.scale.unwrap_or_else(|| 1.0 / (self.head_dim as f32).sqrt())
    }

    /// Drops weights of a block of one head, or what flows back to them.
    fn drop_weights(&self, sequence: &Sequence, head: usize, block: &Range<usize>, weights: &mut [f32]) {
        if let Some(dropout) = self.dropout {
            let part = dropout.part((sequence.index * self.heads + head) as u64);
            part.apply((sequence.before + block.start) * sequence.tokens.len(), weights);
        }
    }

    /// The outputs of the batch.
    fn forward(&self, [q, k, v]: [&[f32]; 3], terms: Option<&Terms<'_>>) -> Vec<f32> {
        let (q_width, k_width) = (self.query_width(), self.key_width());
        let k = self.turned_keys(k);
        // Where sequences are fewer than threads, the queries of each are shared by several threads.
        let sequences = self.offsets.len().saturating_sub(1).max(1);
        let parts = self.sequences(rayon::current_num_threads().div_ceil(sequences));
        let write = |out: &mut [MaybeUninit<f32>]| {
            let outs = split(out, parts.iter().map(|part| part.queries.len() * q_width));
            parts.par_iter().zip(outs).for_each(|(sequence, out)| {
                let (q, own) = (part(q, &sequence.queries, q_width), |x| part(x, &sequence.tokens, k_width));
                self.forward_part(sequence, [q, own(&k), own(v)], terms, out);
            });
        };
        // SAFETY: by the offsets and queries that were checked, the parts have all queries, and each writes all numbers of its own.
        #[allow(unsafe_code)]
        unsafe {
            filled(q.len(), write)
        }
    }

    /// The keys of the batch, turned.
    fn turned_keys<'a>(&self, k: &'a [f32]) -> Cow<'a, [f32]> {
        let mut k = Cow::Borrowed(k);
        if self.rotary.is_some() {
            let lengths = self.offsets.windows(2).map(|ends| (ends[1] - ends[0]) * self.key_width());
            split(k.to_mut(), lengths).into_par_iter().for_each(|k| self.turn(k, 0.., self.kv_heads, 1.0));
        }
        k
    }

    /// Writes the outputs of some queries of a sequence from its keys, turned, and values: rows of the sequence alone.
    fn forward_part(
        &self,
        sequence: &Sequence,
        qkv: [&[f32]; 3],
        terms: Option<&Terms<'_>>,
        out: &mut [MaybeUninit<f32>],
    ) {
        let plain = terms.is_none() && self.dropout.is_none() && self.precision() == Precision::Bf16;
        match Instructions::native().filter(|_| plain) {
            #[cfg(target_arch = "x86_64")]
            Some(Instructions::Amx) => Amx::prepared(|| self.score_sequence::<Amx>(sequence, qkv, out)),
            #[cfg(target_arch = "x86_64")]
            Some(Instructions::Avx512) => self.score_sequence::<Avx512>(sequence, qkv, out),
            _ => self.forward_sequence(sequence, qkv, terms, zeroed(out)),
        }
    }

    /// [`Attention::forward_part`] by products and softmax of rows.
    fn forward_sequence(
        &self,
        sequence: &Sequence,
        [q, k, v]: [&[f32]; 3],
        terms: Option<&Terms<'_>>,
        out: &mut [f32],
    ) {
        let (q_width, k_width) = (self.query_width(), self.key_width());
        let q = self.turned(q, self.query_positions(sequence), self.heads);
        for head in 0..self.heads {
            for block in blocks(sequence.queries.len()) {
                let positions = self.positions(sequence, &block, terms);
                let place = Place { head, positions: &positions, keys: self.keys(sequence, &block) };
                let keys = &place.keys;
                let seen = |x| self.head(x, keys, self.kv_head(head), k_width);
                let asking = self.head(&q, &block, head, q_width);
                let mut weights = self.weights(sequence, &block, &place, [asking, seen(k)], terms);
                self.drop_weights(sequence, head, &block, &mut weights);
                let out = &mut out[block.start * q_width + head * self.head_dim..];
                gemm_rows(out, q_width, Matrix::new(&weights, keys.len()), seen(v), 1.0, false, self.compute());
            }
        }
    }

    /// These rows, of width `width`, of one head.
    fn head<'a>(&self, x: &'a [f32], rows: &Range<usize>, head: usize, width: usize) -> Matrix<'a> {
        Matrix::strided(&x[rows.start * width + head * self.head_dim..], rows.len(), self.head_dim, width)
    }
}

/// `0..n` in blocks of rows.
fn blocks(n: usize) -> impl Iterator<Item = Range<usize>> {
    (0..n).step_by(BLOCK).map(move |start| start..n.min(start + BLOCK))
}

/// Splits `x` into pieces of these lengths.
fn split<T>(mut x: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    lengths.map(|length| x.split_off_mut(..length).expect("pieces within the slice")).collect()
}

/// These of the rows of width `width`.
fn part<'a>(x: &'a [f32], rows: &Range<usize>, width: usize) -> &'a [f32] {
    &x[rows.start * width..rows.end * width]
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
        output(self.forward([input(q, ql)?, input(k, kl)?, input(v, vl)?], None), ql.shape())
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
            let ([dq, dk, dv], _) = self.backward(inputs, None);
            Ok((gradient(dq, q)?, gradient(dk, k)?, gradient(dv, v)?))
        })
    }
}

#[cfg(test)]
mod tests;
