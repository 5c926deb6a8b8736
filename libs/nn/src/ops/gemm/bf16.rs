//! Products of matrices whose numbers are rounded to bf16, summed in f32.
//!
//! The loops around the micro-kernel are those of Goto and van de Geijn (Anatomy of High-Performance Matrix
//! Multiplication, 2008): a block of the right matrix is packed once, blocks of the left one by each thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Matrix;
#[cfg(target_arch = "x86_64")]
use super::tile::{Amx, Avx512};
use super::tile::{COLUMNS, Instructions, Kernel, TILE};
use crate::ops::lanes;

/// Summands of a block at most: a panel of columns then takes half of a first-level cache of 48 KB.
const DEPTH: usize = 384;
/// Columns of a block at most, so that it stays in a second-level cache or not far from it.
const WIDTH: usize = 64 * COLUMNS;
/// Rows of a task at most, whole tiles of every kernel: its block of the left matrix stays in the second-level cache.
const TASK_ROWS: usize = 96;

/// Pairs of a row that are packed together: a panel's rows of them, turned, stay in the first-level cache.
const TURNED: usize = 8;

/// The nearest bf16, ties to even, as the upper half of an `f32`.
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let quiet = bits | 0x0040_0000;
    (if x.is_nan() { quiet } else { nearest }) & 0xffff_0000
}

/// Two bf16 numbers, the first in the lower half.
fn pair(first: f32, second: f32) -> u32 {
    round(first) >> 16 | round(second)
}

/// The first pairs of a row; 0 beyond its end.
fn pairs(row: &[f32]) -> [u32; TURNED] {
    let pair_up = |row: &[f32; 2 * TURNED]| std::array::from_fn(|index| pair(row[2 * index], row[2 * index + 1]));
    row.first_chunk().map_or_else(
        || {
            let mut padded = [0.0; 2 * TURNED];
            padded[..row.len()].copy_from_slice(row);
            pair_up(&padded)
        },
        pair_up,
    )
}

impl Matrix<'_> {
    /// The slice with its numbers rounded to bf16.
    pub(super) fn rounded(&self) -> Vec<f32> {
        self.data.par_iter().map(|&x| f32::from_bits(round(x))).collect()
    }

    /// The rows `first..first + W` of the columns `depth`, pair by pair; 0 beyond the edges.
    pub(super) fn pack<const W: usize>(&self, first: usize, depth: Range<usize>, panel: &mut [[u32; W]]) {
        let rows = W.min(self.rows - first);
        if self.col_stride == 1 {
            let row = |index: usize| &self.data[(first + index) * self.row_stride..][depth.clone()];
            for (block, to) in panel.chunks_mut(TURNED).enumerate() {
                // Pairs lie side by side in a row and one below the other in the panel.
                let mut turned = [[0; TURNED]; W];
                for (index, turned) in turned[..rows].iter_mut().enumerate() {
                    *turned = pairs(&row(index)[block * 2 * TURNED..]);
                }
                for (index, to) in to.iter_mut().enumerate() {
                    to.iter_mut().zip(&turned).for_each(|(to, pairs)| *to = pairs[index]);
                }
            }
        } else {
            let column = |index: usize| &self.data[index * self.col_stride + first..][..rows];
            for (to, index) in panel.iter_mut().zip(depth.clone().step_by(2)) {
                let numbers = to.iter_mut().zip(column(index));
                if index + 1 < depth.end {
                    numbers.zip(column(index + 1)).for_each(|((to, &a), &b)| *to = pair(a, b));
                } else {
                    numbers.for_each(|(to, &a)| *to = pair(a, 0.0));
                }
                to[rows..].fill(0);
            }
        }
    }

    /// The rows from `first` on, as many as the panel has of this width, of which the columns `depth`, one after the other; zeros stay
    /// beyond the edges.
    pub(super) fn pack_rows(&self, first: usize, depth: Range<usize>, width: usize, panel: &mut [u16]) {
        for (row, to) in (first..self.rows).zip(panel.chunks_exact_mut(width)) {
            let row = &self.data[row * self.row_stride + depth.start * self.col_stride..];
            if self.col_stride == 1 {
                let row = &row[..depth.len()];
                lanes::wide(|| to.iter_mut().zip(row).for_each(|(to, &x)| *to = (round(x) >> 16) as u16));
            } else {
                let row = row.iter().step_by(self.col_stride).take(depth.len());
                to.iter_mut().zip(row).for_each(|(to, &x)| *to = (round(x) >> 16) as u16);
            }
        }
    }
}

/// A product `scale * lhs rhs`, or what it adds to its output where `accumulate`. Each number of the output is summed in
/// an order that depends on the number of summands alone.
///
/// # Shapes
/// `lhs` `[m, k]`, `rhs` `[k, n]`, one stride of each 1, none of them empty.
pub(super) struct Product<'a> {
    pub(super) lhs: Matrix<'a>,
    pub(super) rhs: Matrix<'a>,
    pub(super) scale: f32,
    pub(super) accumulate: bool,
}

/// Columns of the right matrix, packed.
struct Block {
    columns: Range<usize>,
    /// Panel by panel.
    packed: Vec<[u32; COLUMNS]>,
    depth: Range<usize>,
}

impl Product<'_> {
    /// Writes every number of `out` `[m, n]`, initialised before where the product accumulates, in about `tasks` parallel
    /// tasks.
    pub(super) fn write(&self, instructions: Instructions, out: &mut [MaybeUninit<f32>], tasks: usize) {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx => self.write_by::<Amx>(out, tasks),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => self.write_by::<Avx512>(out, tasks),
            #[cfg(all(test, target_arch = "x86_64"))]
            Instructions::Emulated => self.write_by::<super::tile::Emulated>(out, tasks),
        }
    }

    fn write_by<K: Kernel>(&self, out: &mut [MaybeUninit<f32>], tasks: usize) {
        let (m, k, n) = (self.lhs.rows, self.lhs.cols, self.rhs.cols);
        let task_rows = m.div_ceil(tasks).next_multiple_of(K::ROWS).min(TASK_ROWS);
        let step = k.div_ceil(k.div_ceil(DEPTH)).next_multiple_of(2 * K::PAIRS);
        for left in (0..n).step_by(WIDTH) {
            for start in (0..k).step_by(step) {
                let block = self.block::<K>(left..n.min(left + WIDTH), start..k.min(start + step));
                out.par_chunks_mut(task_rows * n).enumerate().for_each(|(task, out)| {
                    K::prepared(|| self.write_rows::<K>(out, task * task_rows, &block));
                });
            }
        }
    }

    fn block<K: Kernel>(&self, columns: Range<usize>, depth: Range<usize>) -> Block {
        let filled = depth.len().div_ceil(2);
        let pairs = filled.next_multiple_of(K::PAIRS);
        let mut packed = vec![[0; COLUMNS]; columns.len().div_ceil(COLUMNS) * pairs];
        packed.par_chunks_exact_mut(pairs).enumerate().for_each(|(panel, to)| {
            self.rhs.t().pack(columns.start + panel * COLUMNS, depth.clone(), &mut to[..filled]);
        });
        Block { columns, packed, depth }
    }

    /// The part of the product that a block makes up, in the rows of `out`, which begin at row `first`.
    fn write_rows<K: Kernel>(&self, out: &mut [MaybeUninit<f32>], first: usize, block: &Block) {
        let (n, pairs) = (self.rhs.cols, block.depth.len().div_ceil(2).next_multiple_of(K::PAIRS));
        let panel = K::panel(pairs);
        let mut packed = vec![K::Number::default(); (out.len() / n).div_ceil(K::ROWS) * panel];
        for (index, to) in packed.chunks_exact_mut(panel).enumerate() {
            K::pack(self.lhs, first + index * K::ROWS, block.depth.clone(), to);
        }
        let mut tile = [0.0; TILE];
        for (rhs, left) in block.packed.chunks_exact(pairs).zip(block.columns.clone().step_by(COLUMNS)) {
            let columns = left..block.columns.end.min(left + COLUMNS);
            for (lhs, out) in packed.chunks_exact(panel).zip(out.chunks_mut(K::ROWS * n)) {
                K::multiply(lhs, rhs, &mut tile);
                for (out, sums) in out.chunks_exact_mut(n).zip(tile.chunks_exact(COLUMNS)) {
                    self.write_row(&mut out[columns.clone()], sums, block.depth.start > 0);
                }
            }
        }
    }

    fn write_row(&self, out: &mut [MaybeUninit<f32>], sums: &[f32], later: bool) {
        if later || self.accumulate {
            for (out, sum) in out.iter_mut().zip(sums) {
                // SAFETY: an earlier block has written it, or the caller has.
                #[allow(unsafe_code)]
                let before = unsafe { out.assume_init() };
                out.write(self.scale.mul_add(*sum, before));
            }
        } else {
            for (out, sum) in out.iter_mut().zip(sums) {
                out.write(self.scale * sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rounding_is_to_the_nearest_even() {
        let rounded = |x: f32| f32::from_bits(round(x));
        assert_eq!(rounded(1.0), 1.0);
        // Neighbours of 1 in bf16 are 1/128 apart: halves go to the even one.
        assert_eq!(rounded(1.0 + 1.0 / 256.0), 1.0);
        assert_eq!(rounded(1.0 + 3.0 / 256.0), 1.0 + 2.0 / 128.0);
        assert_eq!(rounded(1.0 + 1.1 / 256.0), 1.0 + 1.0 / 128.0);
        assert_eq!(rounded(-3.0e38), -226.0 / 128.0 * 2f32.powi(127));
        assert_eq!(rounded(f32::MAX), f32::INFINITY);
        assert!(rounded(f32::NAN).is_nan() && rounded(f32::from_bits(0x7f80_0001)).is_nan());
    }

    /// `rows` rows of `cols` numbers whose sums of products are exact in `f32`.
    fn numbers(seed: u64, rows: usize, cols: usize) -> Vec<f32> {
        let mut rng = ranking::rng::stream(seed, "test", 0);
        (0..rows * cols).map(|_| (rand::Rng::next_u32(&mut rng) % 17) as f32 - 8.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Small whole numbers are bf16 numbers, and their sums are exact in any order.
        #[test]
        fn products_are_exact_where_they_can_be(
            m in 1usize..40,
            k in prop_oneof![1usize..10, 380usize..800],
            n in prop_oneof![1usize..70, WIDTH - 1..WIDTH + 40],
            turned: [bool; 2],
            accumulate: bool,
            tasks in 1usize..4,
        ) {
            let (a, b) = (numbers(1, m, k), numbers(2, k, n));
            let lhs = if turned[0] { Matrix::new(&a, m).t() } else { Matrix::new(&a, k) };
            let rhs = if turned[1] { Matrix::new(&b, k).t() } else { Matrix::new(&b, n) };
            let at = |x: &Matrix<'_>, row: usize, col: usize| x.data[row * x.row_stride + col * x.col_stride];
            let expected = (0..m * n).map(|index| {
                let sum: f32 = (0..k).map(|i| at(&lhs, index / n, i) * at(&rhs, i, index % n)).sum();
                2.0 * sum + if accumulate { 5.0 } else { 0.0 }
            });
            let expected: Vec<f32> = expected.collect();
            for kernel in Instructions::testable() {
                let mut out = vec![MaybeUninit::new(if accumulate { 5.0 } else { f32::NAN }); m * n];
                Product { lhs, rhs, scale: 2.0, accumulate }.write(kernel, &mut out, tasks);
                // SAFETY: every number was initialised from the start.
                #[allow(unsafe_code)]
                let found: Vec<f32> = out.iter().map(|x| unsafe { x.assume_init() }).collect();
                prop_assert_eq!(&found, &expected);
            }
        }
    }
}
