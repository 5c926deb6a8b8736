//! Scaled dot-product attention within each sequence of a packed batch.

use std::ops::Range;
use std::sync::Arc;

use ::gemm::Parallelism;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::dropout::Dropout;
use super::gemm::{Matrix, gemm};
use super::{gradient, input, lanes, lend, output, task_rows};

/// Query rows whose scores are held at a time.
const BLOCK: usize = 64;

/// Rotary position angles (arXiv 2104.09864), in the convention of Hugging Face: number `i` of a head turns with number
/// `i + head_dim / 2`.
#[derive(Debug, Clone)]
pub struct Rotary {
    half: usize,
    cos: Arc<[f32]>,
    sin: Arc<[f32]>,
}

impl Rotary {
    /// Angles of positions `0..positions` for heads of width `head_dim`, with wavelengths `2 pi theta^(2 i / head_dim)`.
    pub fn new(theta: f64, head_dim: usize, positions: usize) -> Self {
        let half = head_dim / 2;
        let frequency = |i: usize| (1.0 / theta.powf(2.0 * i as f64 / head_dim as f64)) as f32;
        let frequencies: Vec<f32> = (0..half).map(frequency).collect();
        let angles = || (0..positions).flat_map(|p| frequencies.iter().map(move |f| p as f32 * f));
        Self {
            half,
            cos: angles().map(f32::cos).collect(),
            sin: angles().map(f32::sin).collect(),
        }
    }

    /// Turns rows of one head, the first at position 0, by `direction` (1 forward, -1 back) times their angle.
    fn turn(&self, rows: &mut [f32], direction: f32) {
        let half = self.half;
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        for (row, (cos, sin)) in rows.chunks_exact_mut(2 * half).zip(angles) {
            let (first, second) = row.split_at_mut(half);
            for (((a, b), &cos), &sin) in first.iter_mut().zip(second).zip(cos).zip(sin) {
                let sin = sin * direction;
                (*a, *b) = (*a * cos - *b * sin, *b * cos + *a * sin);
            }
        }
    }
}

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

/// Gradients of one unit: of its queries `[group, n, head_dim]`, its keys and its values `[n, head_dim]`.
struct UnitGradients {
    q: Vec<f32>,
    k: Vec<f32>,
    v: Vec<f32>,
}

/// The rows `[n, head_dim]` of one query head, its key head and the gradient of its output.
struct HeadRows<'a> {
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    grad: &'a [f32],
}

impl Attention {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn units(&self) -> Vec<Unit> {
        let sequences = self.offsets.windows(2).map(|w| w[0]..w[1]);
        let heads = sequences.flat_map(|sequence| {
            (0..self.kv_heads).map(move |kv_head| (sequence.clone(), kv_head))
        });
        heads
            .enumerate()
            .map(|(index, (sequence, kv_head))| Unit {
                sequence,
                kv_head,
                index,
            })
            .collect()
    }

    fn check(&self, shapes: [&Layout; 3]) -> Result<()> {
        let [q, k, v] = shapes.map(|layout| layout.shape().dims2());
        let ((t, qd), k, v) = (q?, k?, v?);
        let kv = (t, self.kv_heads * self.head_dim);
        let ends = self.offsets.first() == Some(&0)
            && self.offsets.last() == Some(&t)
            && self.offsets.is_sorted();
        let divides = self.kv_heads > 0 && self.heads.is_multiple_of(self.kv_heads);
        if qd != self.heads * self.head_dim || k != kv || v != kv || !ends || !divides {
            let (heads, kv_heads, head_dim) = (self.heads, self.kv_heads, self.head_dim);
            candle_core::bail!(
                "attention: q [{t}, {qd}], k {k:?}, v {v:?} for {heads} heads and {kv_heads} key heads of {head_dim} \
                 in sequences at {:?}",
                self.offsets
            );
        }
        let longest = self
            .offsets
            .windows(2)
            .map(|w| w[1] - w[0])
            .max()
            .unwrap_or(0);
        if let Some(rotary) = &self.rotary
            && (2 * rotary.half != self.head_dim || rotary.cos.len() < longest * rotary.half)
        {
            candle_core::bail!(
                "attention: {longest} positions of {} exceed the rotary table",
                self.head_dim
            );
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

    /// The keys a block of query rows sees: all, or those up to its last row.
    fn keys(&self, block: &Range<usize>, n: usize) -> usize {
        if self.causal { block.end } else { n }
    }

    /// The attention weights `[rows, keys]` of a block of query rows before dropout.
    fn weights(&self, q: &[f32], k: &[f32], block: &Range<usize>) -> Vec<f32> {
        let d = self.head_dim;
        let keys = self.keys(block, k.len() / d);
        let mut weights = vec![0.0; block.len() * keys];
        let (q, k) = (
            Matrix::new(&q[block.start * d..block.end * d], d),
            Matrix::new(&k[..keys * d], d),
        );
        gemm(
            &mut weights,
            q,
            k.t(),
            self.scale(),
            false,
            Parallelism::None,
        );
        for (row, weights) in block.clone().zip(weights.chunks_exact_mut(keys)) {
            let seen = if self.causal { row + 1 } else { keys };
            lanes::softmax(&mut weights[..seen]);
            weights[seen..].fill(0.0);
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
            dropout
                .part((unit.index * self.group() + group) as u64)
                .apply(start * n, weights);
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
                let mut weights = self.weights(&q, &k, &block);
                self.drop_weights(unit, group, block.start, &mut weights);
                let keys = self.keys(&block, n);
                let (weights, v) = (Matrix::new(&weights, keys), Matrix::new(&v[..keys * d], d));
                gemm(
                    &mut out[block.start * d..block.end * d],
                    weights,
                    v,
                    1.0,
                    false,
                    Parallelism::None,
                );
            }
        }
        out
    }

    fn backward_unit(&self, [q, k, v, grad]: [&[f32]; 4], unit: &Unit) -> UnitGradients {
        let (n, d) = (unit.sequence.len(), self.head_dim);
        let k = self.head(k, unit, unit.kv_head, self.kv_heads);
        let v = self.head_rows(v, unit, unit.kv_head, self.kv_heads);
        let mut sums = UnitGradients {
            q: vec![0.0; self.group() * n * d],
            k: vec![0.0; n * d],
            v: vec![0.0; n * d],
        };
        for group in 0..self.group() {
            let head = unit.kv_head * self.group() + group;
            let q = self.head(q, unit, head, self.heads);
            let grad = self.head_rows(grad, unit, head, self.heads);
            let rows = HeadRows {
                q: &q,
                k: &k,
                v: &v,
                grad: &grad,
            };
            for block in blocks(n) {
                self.backward_block(&rows, unit, group, block, &mut sums);
            }
        }
        if let Some(rotary) = &self.rotary {
            sums.q
                .chunks_exact_mut(n * d)
                .for_each(|dq| rotary.turn(dq, -1.0));
            rotary.turn(&mut sums.k, -1.0);
        }
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
        let (n, d) = (unit.sequence.len(), self.head_dim);
        let (keys, span) = (self.keys(&block, n), block.start * d..block.end * d);
        let row_major = |rows| Matrix::new(rows, d);
        let (q, grad) = (
            row_major(&rows.q[span.clone()]),
            row_major(&rows.grad[span.clone()]),
        );
        let (k, v) = (
            row_major(&rows.k[..keys * d]),
            row_major(&rows.v[..keys * d]),
        );
        let weights = self.weights(rows.q, rows.k, &block);

        let mut dweights = vec![0.0; weights.len()];
        gemm(&mut dweights, grad, v.t(), 1.0, false, Parallelism::None);
        self.drop_weights(unit, group, block.start, &mut dweights);
        let dv = &mut sums.v[..keys * d];
        if self.dropout.is_some() {
            let mut dropped = weights.clone();
            self.drop_weights(unit, group, block.start, &mut dropped);
            gemm(
                dv,
                Matrix::new(&dropped, keys).t(),
                grad,
                1.0,
                true,
                Parallelism::None,
            );
        } else {
            gemm(
                dv,
                Matrix::new(&weights, keys).t(),
                grad,
                1.0,
                true,
                Parallelism::None,
            );
        }

        for (dweights, weights) in dweights
            .chunks_exact_mut(keys)
            .zip(weights.chunks_exact(keys))
        {
            let along = lanes::dot(dweights, weights);
            for (dweight, &weight) in dweights.iter_mut().zip(weights) {
                *dweight = weight * (*dweight - along);
            }
        }
        let dscores = Matrix::new(&dweights, keys);
        let dq = &mut sums.q[group * n * d..][span];
        gemm(dq, dscores, k, self.scale(), false, Parallelism::None);
        gemm(
            &mut sums.k[..keys * d],
            dscores.t(),
            q,
            self.scale(),
            true,
            Parallelism::None,
        );
    }

    /// Joins units' rows, `[heads / kv_heads, n, head_dim]` each, to `[t, heads * head_dim]`.
    fn join<'a>(&self, heads: usize, parts: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
        let (d, width, group) = (self.head_dim, heads * self.head_dim, heads / self.kv_heads);
        let sequences = self.offsets.windows(2).enumerate();
        let places: Vec<(usize, usize, usize)> = sequences
            .flat_map(|(sequence, w)| (0..w[1] - w[0]).map(move |row| (sequence, row, w[1] - w[0])))
            .collect();
        let mut out = vec![0.0; places.len() * width];
        let task = task_rows(width);
        out.par_chunks_mut(task * width)
            .zip(places.par_chunks(task))
            .for_each(|(out, places)| {
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
    (0..n)
        .step_by(BLOCK)
        .map(move |start| start..n.min(start + BLOCK))
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
        let parts: Vec<Vec<f32>> = self
            .units()
            .par_iter()
            .map(|unit| self.forward_unit(q, k, v, unit))
            .collect();
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
            let parts: Vec<UnitGradients> = self
                .units()
                .par_iter()
                .map(|unit| self.backward_unit(inputs, unit))
                .collect();
            Ok((
                gradient(self.join(self.heads, |unit| &parts[unit].q), q)?,
                gradient(self.join(self.kv_heads, |unit| &parts[unit].k), k)?,
                gradient(self.join(self.kv_heads, |unit| &parts[unit].v), v)?,
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    fn spec(causal: bool, rotary: bool) -> Attention {
        Attention {
            heads: 4,
            kv_heads: 2,
            head_dim: 4,
            causal,
            rotary: rotary.then(|| Rotary::new(10.0, 4, 80)),
            offsets: vec![0, 3, 4, 9].into(),
            dropout: None,
        }
    }

    fn inputs(t: usize) -> [Tensor; 3] {
        [random(1, &[t, 16]), random(2, &[t, 8]), random(3, &[t, 8])]
    }

    fn run(x: &[Tensor], spec: Attention) -> Tensor {
        attention(&x[0], &x[1], &x[2], spec).unwrap()
    }

    #[test]
    fn gradients_match_finite_differences() {
        for (causal, rotary) in [(false, false), (true, false), (false, true), (true, true)] {
            gradients(&inputs(9), |x| run(x, spec(causal, rotary)));
        }
    }

    #[test]
    fn gradients_with_dropout_match_finite_differences() {
        let dropout = Some(Dropout::new(0.3, 5));
        gradients(&inputs(9), |x| {
            run(
                x,
                Attention {
                    dropout,
                    ..spec(true, true)
                },
            )
        });
    }

    /// Per query row: the scores of every key it sees, softmax, the mixture of their values.
    fn reference(q: &[Vec<f32>], k: &[Vec<f32>], v: &[Vec<f32>], causal: bool) -> Vec<f32> {
        let mut out = Vec::new();
        for row in 0..q.len() {
            for head in 0..4 {
                let (own, shared) = (head * 4..head * 4 + 4, head / 2 * 4..head / 2 * 4 + 4);
                let seen = if causal { row + 1 } else { k.len() };
                let score = |key: &Vec<f32>| {
                    key[shared.clone()]
                        .iter()
                        .zip(&q[row][own.clone()])
                        .map(|(a, b)| a * b)
                        .sum::<f32>()
                        / 2.0
                };
                let exps: Vec<f32> = k[..seen].iter().map(|key| score(key).exp()).collect();
                let total: f32 = exps.iter().sum();
                out.extend(shared.clone().map(|i| {
                    exps.iter()
                        .zip(v)
                        .map(|(e, v)| e / total * v[i])
                        .sum::<f32>()
                }));
            }
        }
        out
    }

    #[test]
    fn blocks_of_rows_and_sequences_match_the_definition() {
        // Longer than a block of rows, beside a short one.
        let x = inputs(BLOCK + 16);
        for causal in [false, true] {
            let offsets = vec![0, 3, BLOCK + 16].into();
            let found = run(
                &x,
                Attention {
                    offsets,
                    ..spec(causal, false)
                },
            );
            let rows: Vec<Vec<Vec<f32>>> = x.iter().map(|x| x.to_vec2().unwrap()).collect();
            let mut expected = reference(&rows[0][..3], &rows[1][..3], &rows[2][..3], causal);
            expected.extend(reference(
                &rows[0][3..],
                &rows[1][3..],
                &rows[2][3..],
                causal,
            ));
            let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
            let worst = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(worst < 1e-5, "causal {causal}: {worst}");
        }
    }

    #[test]
    fn long_causal_gradients_do_not_reach_later_tokens() {
        let x = inputs(BLOCK + 6).map(|x| candle_core::Var::from_tensor(&x).unwrap());
        let offsets = vec![0, BLOCK + 6].into();
        let out = run(
            &x.each_ref().map(|x| x.as_tensor().clone()),
            Attention {
                offsets,
                ..spec(true, true)
            },
        );
        let grads = out
            .narrow(0, BLOCK + 1, 1)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        let dv = grads
            .get(&x[2])
            .unwrap()
            .abs()
            .unwrap()
            .sum(1)
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert!(dv[..BLOCK + 2].iter().all(|&g| g > 0.0));
        assert!(dv[BLOCK + 2..].iter().all(|&g| g == 0.0));
    }

    #[test]
    fn other_shapes_are_refused() {
        let [q, k, v] = inputs(9);
        assert!(
            attention(
                &q,
                &k,
                &v,
                Attention {
                    offsets: vec![0, 8].into(),
                    ..spec(true, true)
                }
            )
            .is_err()
        );
        assert!(
            attention(
                &q,
                &k,
                &v,
                Attention {
                    kv_heads: 4,
                    ..spec(true, true)
                }
            )
            .is_err()
        );
        let rotary = Some(Rotary::new(10.0, 4, 4));
        assert!(
            attention(
                &q,
                &k,
                &v,
                Attention {
                    rotary,
                    ..spec(true, true)
                }
            )
            .is_err()
        );
    }
}
