//! Products of matrices whose numbers are rounded to bf16, summed in f32.
//!
//! The loops around the micro-kernel are those of Goto and van de Geijn (Anatomy of High-Performance Matrix
//! Multiplication, 2008): a block of the right matrix is packed once, blocks of the left one by each thread.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::super::filled;
use super::pack::TASK_ROWS;
#[cfg(target_arch = "x86_64")]
use super::tile::{Amx, Avx512};
use super::tile::{COLUMNS, Instructions, Kernel, TILE_ROWS, Tile};
use super::{Matrix, Order};

/// Columns of a block at most, so that it stays in a third-level cache.
const WIDTH: usize = 64 * COLUMNS;

/// A product `scale * lhs rhs` with a right factor `[k, n]`, or what it adds to its output where `accumulate`. Each number of the
/// output is summed in an order that depends on the number of summands alone.
///
/// # Shapes
/// `lhs` `[m, k]`, one stride of each factor 1, neither of them empty.
pub(super) struct Product<'a> {
    pub(super) lhs: Matrix<'a>,
    pub(super) scale: f32,
    pub(super) accumulate: bool,
}

/// The right factor of many products, rounded and packed.
#[derive(Debug)]
pub(in crate::ops) struct RightFactor {
    instructions: Instructions,
    /// As its blocks are made one after the other for a single product.
    blocks: Vec<Block>,
    rows: usize,
    cols: usize,
}

/// Columns of the right matrix, packed.
#[derive(Debug)]
struct Block {
    columns: Range<usize>,
    depth: Range<usize>,
    /// Pairs of a panel.
    pairs: usize,
    /// Panel by panel.
    packed: Vec<[u32; COLUMNS]>,
}

/// Works on pieces of a slice, numbered from 0, in parallel or one after the other.
fn for_each_chunk<T: Send>(
    slice: &mut [T],
    size: usize,
    parallel: bool,
    work: impl Fn((usize, &mut [T])) + Sync + Send,
) {
    if parallel {
        slice.par_chunks_mut(size).enumerate().for_each(work);
    } else {
        slice.chunks_mut(size).enumerate().for_each(work);
    }
}

impl Product<'_> {
    /// Writes every number of `out` `[m, n]`, whose rows are `row_stride` apart, initialised before where the product accumulates, in
    /// about `tasks` parallel tasks.
    pub(super) fn write(
        &self,
        rhs: Matrix<'_>,
        instructions: Instructions,
        out: &mut [MaybeUninit<f32>],
        row_stride: usize,
        tasks: usize,
    ) {
        for block in blocks(rhs, instructions, tasks > 1) {
            self.write_block(&block, instructions, out, row_stride, tasks);
        }
    }

    /// As [`Self::write`], of a factor that is packed.
    pub(super) fn write_packed(
        &self,
        rhs: &RightFactor,
        out: &mut [MaybeUninit<f32>],
        row_stride: usize,
        tasks: usize,
    ) {
        for block in &rhs.blocks {
            self.write_block(block, rhs.instructions, out, row_stride, tasks);
        }
    }

    /// The part of the product that a block makes up, which is packed for these instructions.
    fn write_block(
        &self,
        block: &Block,
        instructions: Instructions,
        out: &mut [MaybeUninit<f32>],
        row_stride: usize,
        tasks: usize,
    ) {
        match instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx => self.write_block_by::<Amx>(block, out, row_stride, tasks),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx512 => self.write_block_by::<Avx512>(block, out, row_stride, tasks),
            #[cfg(all(test, target_arch = "x86_64"))]
            Instructions::Emulated => self.write_block_by::<super::tile::Emulated>(block, out, row_stride, tasks),
        }
    }

    fn write_block_by<K: Kernel>(&self, block: &Block, out: &mut [MaybeUninit<f32>], row_stride: usize, tasks: usize) {
        let task_rows = self.lhs.rows.div_ceil(tasks).next_multiple_of(K::ROWS).min(TASK_ROWS);
        for_each_chunk(out, task_rows * row_stride, tasks > 1, |(task, out)| {
            K::prepared(|| self.write_rows::<K>(out, row_stride, task * task_rows, block));
        });
    }

    /// The part of the product that a block makes up, in the rows of `out`, which begin at row `first`.
    fn write_rows<K: Kernel>(&self, out: &mut [MaybeUninit<f32>], row_stride: usize, first: usize, block: &Block) {
        let (pairs, panel) = (block.pairs, K::panel(block.pairs));
        let mut packed = vec![K::Number::default(); out.len().div_ceil(row_stride * K::ROWS) * panel];
        K::pack(self.lhs, first, block.depth.clone(), pairs, &mut packed);
        let mut tile = [[0.0; COLUMNS]; TILE_ROWS];
        for (rhs, left) in block.packed.chunks_exact(pairs).zip(block.columns.clone().step_by(COLUMNS)) {
            let columns = left..block.columns.end.min(left + COLUMNS);
            for (lhs, out) in packed.chunks_exact(panel).zip(out.chunks_mut(K::ROWS * row_stride)) {
                K::multiply(lhs, self.lhs.order(), rhs, &mut tile);
                // The last row ends with its last number.
                for (out, sums) in out.chunks_mut(row_stride).zip(&tile[..K::ROWS]) {
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

/// The blocks of a right factor: columns by columns, and of each the depths one after the other.
fn blocks(rhs: Matrix<'_>, instructions: Instructions, parallel: bool) -> Box<dyn Iterator<Item = Block> + '_> {
    match instructions {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx => Box::new(blocks_for::<Amx>(rhs, parallel)),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx512 => Box::new(blocks_for::<Avx512>(rhs, parallel)),
        #[cfg(all(test, target_arch = "x86_64"))]
        Instructions::Emulated => Box::new(blocks_for::<super::tile::Emulated>(rhs, parallel)),
    }
}

fn blocks_for<K: Kernel>(rhs: Matrix<'_>, parallel: bool) -> impl Iterator<Item = Block> {
    let (k, n) = (rhs.rows, rhs.cols);
    let step = k.div_ceil(k.div_ceil(K::DEPTH)).next_multiple_of(2 * K::PAIRS);
    let columns = (0..n).step_by(WIDTH).map(move |left| left..n.min(left + WIDTH));
    columns.flat_map(move |columns| {
        let depths = (0..k).step_by(step).map(move |start| start..k.min(start + step));
        depths.map(move |depth| block::<K>(rhs, columns.clone(), depth, parallel))
    })
}

fn block<K: Kernel>(rhs: Matrix<'_>, columns: Range<usize>, depth: Range<usize>, parallel: bool) -> Block {
    let pairs = depth.len().div_ceil(2).next_multiple_of(K::PAIRS);
    let mut packed = vec![[0; COLUMNS]; columns.len().div_ceil(COLUMNS) * pairs];
    for_each_chunk(&mut packed, TASK_ROWS / COLUMNS * pairs, parallel, |(task, panels)| {
        rhs.t().pack(columns.start + task * TASK_ROWS, depth.clone(), pairs, panels);
    });
    Block { columns, depth, pairs, packed }
}

impl RightFactor {
    /// Takes the numbers of a matrix that is not empty, one of whose strides is 1.
    ///
    /// # Shapes
    /// `rhs` `[k, n]`.
    pub(in crate::ops) fn of(rhs: Matrix<'_>, instructions: Instructions) -> Self {
        let blocks = blocks(rhs, instructions, true).collect();
        Self { instructions, blocks, rows: rhs.rows, cols: rhs.cols }
    }

    /// `k`.
    pub(in crate::ops) fn rows(&self) -> usize {
        self.rows
    }

    /// `n`.
    pub(in crate::ops) fn cols(&self) -> usize {
        self.cols
    }

    /// `lhs` with this factor, by all threads.
    ///
    /// # Shapes
    /// `lhs` `[m, k]` -> `[m, n]` contiguous.
    pub(in crate::ops) fn product(&self, lhs: Matrix<'_>) -> Vec<f32> {
        assert!(lhs.cols == self.rows && lhs.fits(), "a matrix product of other shapes");
        if lhs.rows == 0 {
            return Vec::new();
        }
        let write = |out: &mut [MaybeUninit<f32>]| {
            let product = Product { lhs, scale: 1.0, accumulate: false };
            product.write_packed(self, out, self.cols, rayon::current_num_threads());
        };
        // SAFETY: the blocks have all columns, and each writes all rows of its own.
        #[allow(unsafe_code)]
        unsafe {
            filled(lhs.rows * self.cols, write)
        }
    }
}

/// The left factor of several products, rounded and packed.
pub(in crate::ops) struct LeftFactor<K: Kernel> {
    panels: Vec<K::Number>,
    /// That of the matrix.
    order: Order,
    /// Pairs of a panel.
    pairs: usize,
}

impl<K: Kernel> LeftFactor<K> {
    /// Zeros; neither number is 0.
    ///
    /// # Shapes
    /// `[rows, cols]`.
    pub(in crate::ops) fn zeros(rows: usize, cols: usize) -> Self {
        let pairs = cols.div_ceil(2).next_multiple_of(K::PAIRS);
        Self { panels: vec![K::Number::default(); rows.div_ceil(K::ROWS) * K::panel(pairs)], order: Order::Rows, pairs }
    }

    /// Takes the numbers of a matrix of the shape that it was made for, and of the same order at each call: beyond its edges the zeros
    /// stay.
    pub(in crate::ops) fn fill(&mut self, matrix: Matrix<'_>) {
        self.order = matrix.order();
        let panels = TASK_ROWS / K::ROWS * K::panel(self.pairs);
        for (panels, first) in self.panels.chunks_mut(panels).zip((0..).step_by(TASK_ROWS)) {
            K::pack(matrix, first, 0..matrix.cols, self.pairs, panels);
        }
    }

    /// Pairs of a column of the right factor: `k / 2`, rounded up to what the kernel takes.
    pub(in crate::ops) fn pairs(&self) -> usize {
        self.pairs
    }

    /// Rows that [`Self::multiply`] needs room for.
    pub(in crate::ops) fn room(&self) -> usize {
        self.panels.len() / K::panel(self.pairs) * K::ROWS + TILE_ROWS - K::ROWS
    }

    /// The product with as many columns as a tile has, on a thread that is [`Kernel::prepared`].
    ///
    /// # Shapes
    /// `rhs` `[pairs, COLUMNS]` -> the first `m` rows of `out`; more are written.
    pub(in crate::ops) fn multiply(&self, rhs: &[[u32; COLUMNS]], out: &mut [[f32; COLUMNS]]) {
        for (lhs, first) in self.panels.chunks_exact(K::panel(self.pairs)).zip((0..).step_by(K::ROWS)) {
            let tile: &mut Tile = out[first..].first_chunk_mut().expect("room for a whole tile");
            K::multiply(lhs, self.order, &rhs[..self.pairs], tile);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            k in prop_oneof![1usize..10, 380usize..800, 1520usize..1550],
            n in prop_oneof![1usize..70, WIDTH - 1..WIDTH + 40],
            turned: [bool; 2],
            accumulate: bool,
            packed: bool,
            gap in 0usize..3,
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
            // Between rows nothing is written.
            let row_stride = n + gap;
            let place = |index: usize| index / n * row_stride + index % n;
            for kernel in Instructions::testable() {
                let mut out = vec![MaybeUninit::new(if accumulate { 5.0 } else { f32::NAN }); (m - 1) * row_stride + n];
                let product = Product { lhs, scale: 2.0, accumulate };
                if packed {
                    let rhs = RightFactor::of(rhs, kernel);
                    product.write_packed(&rhs, &mut out, row_stride, tasks);
                    let added = if accumulate { 5.0 } else { 0.0 };
                    let whole: Vec<f32> = rhs.product(lhs).into_iter().map(|sum| 2.0 * sum + added).collect();
                    prop_assert_eq!(&whole, &expected);
                } else {
                    product.write(rhs, kernel, &mut out, row_stride, tasks);
                }
                // SAFETY: every number was initialised from the start.
                #[allow(unsafe_code)]
                let found: Vec<f32> = out.iter().map(|x| unsafe { x.assume_init() }).collect();
                let written: Vec<f32> = (0..m * n).map(|index| found[place(index)]).collect();
                prop_assert_eq!(&written, &expected);
                let kept = |x: f32| if accumulate { x == 5.0 } else { x.is_nan() };
                let mut between = (0..found.len()).filter(|index| index % row_stride >= n);
                prop_assert!(between.all(|index| kept(found[index])));
            }
        }
    }
}
