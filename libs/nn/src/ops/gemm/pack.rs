//! Matrices as panels of bf16, in the order in which a micro-kernel reads them.

use std::mem::MaybeUninit;
use std::ops::Range;

use rayon::prelude::*;

use super::Matrix;
use super::tile::COLUMNS;
use crate::ops::lanes;

/// Rows that are packed at a time at most, whole panels of every kernel: in a product, a task's block of the left matrix stays in the
/// second-level cache.
pub(super) const TASK_ROWS: usize = 96;
/// Pairs of a row that are packed together: a panel's rows of them, turned, stay in the first-level cache.
const TURNED: usize = 16;

/// The nearest bf16, ties to even, as the upper half of an `f32`.
#[inline(always)]
fn round(x: f32) -> u32 {
    let bits = x.to_bits();
    let nearest = bits.wrapping_add(0x7fff + (bits >> 16 & 1));
    let quiet = bits | 0x0040_0000;
    (if x.is_nan() { quiet } else { nearest }) & 0xffff_0000
}

/// Two bf16 numbers, the first in the lower half.
#[inline(always)]
fn pair(first: f32, second: f32) -> u32 {
    round(first) >> 16 | round(second)
}

/// The first pairs of a row; 0 beyond its end.
#[inline(always)]
fn pairs_of(row: &[f32]) -> [u32; TURNED] {
    let pair_up = |row: &[f32; 2 * TURNED]| std::array::from_fn(|index| pair(row[2 * index], row[2 * index + 1]));
    match row.first_chunk() {
        Some(row) => pair_up(row),
        None => {
            let mut padded = [0.0; 2 * TURNED];
            padded[..row.len()].copy_from_slice(row);
            pair_up(&padded)
        }
    }
}

impl Matrix<'_> {
    /// The slice up to the last number of the matrix, rounded to bf16.
    pub(super) fn rounded(&self) -> Vec<f32> {
        self.data[..self.len()].par_iter().map(|&x| f32::from_bits(round(x))).collect()
    }

    /// The rows from `first` on, of which the columns `depth`, as panels of `W` rows: pair by pair, a panel has `pairs` of each row.
    /// What the panels hold beyond the edges stays as it is or becomes 0.
    ///
    /// # Shapes
    /// `panels` `[p, pairs, W]`, with a row at least for each panel and `p W` at most [`TASK_ROWS`].
    pub(in crate::ops) fn pack<const W: usize>(
        &self,
        first: usize,
        depth: Range<usize>,
        pairs: usize,
        panels: &mut [[u32; W]],
    ) {
        #[cfg(target_arch = "x86_64")]
        if x86::are_here() {
            return x86::pack(self, first, depth, pairs, panels);
        }
        lanes::wide!(|| match self.col_stride {
            1 => self.pack_rows_turned(first, &depth, pairs, panels),
            _ => self.pack_columns(first, &depth, pairs, panels),
        });
    }

    /// [`Matrix::pack`], where pairs lie side by side in a row; in the panel, one below the other.
    #[inline(always)]
    fn pack_rows_turned<const W: usize>(
        &self,
        first: usize,
        depth: &Range<usize>,
        pairs: usize,
        panels: &mut [[u32; W]],
    ) {
        for (first, panel) in (first..).step_by(W).zip(panels.chunks_exact_mut(pairs)) {
            let rows = W.min(self.rows - first);
            let row = |index: usize| &self.data[(first + index) * self.row_stride..][depth.clone()];
            for (start, to) in (0..depth.len()).step_by(2 * TURNED).zip(panel.chunks_mut(TURNED)) {
                let mut turned = [[0; TURNED]; W];
                for (index, turned) in turned[..rows].iter_mut().enumerate() {
                    *turned = pairs_of(&row(index)[start..]);
                }
                for (index, to) in to.iter_mut().enumerate() {
                    to.iter_mut().zip(&turned).for_each(|(to, row)| *to = row[index]);
                }
            }
        }
    }

    /// [`Matrix::pack`], where the numbers of a column lie side by side.
    #[inline(always)]
    fn pack_columns<const W: usize>(&self, first: usize, depth: &Range<usize>, pairs: usize, panels: &mut [[u32; W]]) {
        let rows = (panels.len() / pairs * W).min(self.rows - first);
        let column = |index: usize| &self.data[index * self.col_stride + first..][..rows];
        let mut paired = [0; TASK_ROWS];
        for (place, index) in depth.clone().step_by(2).enumerate() {
            let numbers = paired[..rows].iter_mut().zip(column(index));
            if index + 1 < depth.end {
                numbers.zip(column(index + 1)).for_each(|((to, &a), &b)| *to = pair(a, b));
            } else {
                numbers.for_each(|(to, &a)| *to = pair(a, 0.0));
            }
            for (panel, from) in panels.chunks_exact_mut(pairs).zip(paired.as_chunks().0) {
                panel[place] = *from;
            }
        }
    }

    /// The rows from `first` on, as many as `to` has of so many pairs, of which the columns `depth`, one after the other: rows are
    /// contiguous. What `to` holds beyond the edges stays as it is or becomes 0.
    pub(in crate::ops) fn pack_pairs(&self, first: usize, depth: Range<usize>, pairs: usize, to: &mut [u32]) {
        #[cfg(target_arch = "x86_64")]
        if x86::are_here() {
            return x86::pack_pairs(self, first, depth, pairs, to);
        }
        lanes::wide!(|| for (row, to) in (first..self.rows).zip(to.chunks_exact_mut(pairs)) {
            let row = &self.data[row * self.row_stride..][depth.clone()];
            for (numbers, to) in row.chunks(2 * TURNED).zip(to.chunks_mut(TURNED)) {
                to.copy_from_slice(&pairs_of(numbers)[..to.len()]);
            }
        });
    }

    /// The rows from `first` on, as many as `to` has of this width, of which the columns `depth`, one after the other; zeros stay beyond
    /// the edges.
    pub(super) fn pack_lines(&self, first: usize, depth: Range<usize>, width: usize, to: &mut [u16]) {
        lanes::wide!(|| match self.col_stride {
            1 => {
                for (row, to) in (first..self.rows).zip(to.chunks_exact_mut(width)) {
                    let row = &self.data[row * self.row_stride..][depth.clone()];
                    to.iter_mut().zip(row).for_each(|(to, &x)| *to = (round(x) >> 16) as u16);
                }
            }
            _ => self.pack_lines_of_columns(first, &depth, width, to),
        });
    }

    /// [`Matrix::pack_lines`], where the numbers of a column lie side by side: squares of them are turned in the first-level cache.
    #[inline(always)]
    fn pack_lines_of_columns(&self, first: usize, depth: &Range<usize>, width: usize, to: &mut [u16]) {
        const SIDE: usize = 32;
        for (first, to) in (first..self.rows).step_by(SIDE).zip(to.chunks_mut(SIDE * width)) {
            let rows = (to.len() / width).min(self.rows - first);
            for start in (0..depth.len()).step_by(SIDE) {
                let columns = SIDE.min(depth.len() - start);
                let mut square = [[0; SIDE]; SIDE];
                for (index, square) in square[..columns].iter_mut().enumerate() {
                    let column = &self.data[(depth.start + start + index) * self.col_stride + first..][..rows];
                    square.iter_mut().zip(column).for_each(|(to, &x)| *to = (round(x) >> 16) as u16);
                }
                for (row, to) in to.chunks_exact_mut(width).take(rows).enumerate() {
                    to[start..][..columns].iter_mut().zip(&square).for_each(|(to, column)| *to = column[row]);
                }
            }
        }
    }
}

/// Two neighbouring rows each as one of pairs, rounded to bf16.
///
/// # Shapes
/// `rows` `[n, COLUMNS]` -> the first rows of `to`, `[n / 2, COLUMNS]`, rounded up; what is beyond stays.
pub(in crate::ops) fn pair_up(rows: &[[f32; COLUMNS]], to: &mut [[u32; COLUMNS]]) {
    let (pairs, odd) = rows.as_chunks();
    let odd = odd.first().map(|&row| [row, [0.0; COLUMNS]]);
    #[cfg(target_arch = "x86_64")]
    if x86::are_here() {
        return x86::pair_up_rows(pairs.iter().chain(&odd), to);
    }
    for ([first, second], to) in pairs.iter().chain(&odd).zip(to) {
        for ((to, &first), &second) in to.iter_mut().zip(first).zip(second) {
            *to = pair(first, second);
        }
    }
}

/// Writes the transpose of the first columns, each times its factor: each becomes a row of `to`, whose rows are `row_stride` apart.
///
/// # Shapes
/// `rows` `[n, COLUMNS]`, `factors` `[COLUMNS]` -> `to` `[columns, n]`.
pub(in crate::ops) fn turn(
    rows: &[[f32; COLUMNS]],
    factors: &[f32; COLUMNS],
    columns: usize,
    to: &mut [MaybeUninit<f32>],
    row_stride: usize,
) {
    assert!(columns <= COLUMNS, "more columns than a tile has");
    #[cfg(target_arch = "x86_64")]
    if x86::are_here() {
        return x86::turn(rows, factors, columns, to, row_stride);
    }
    for (column, to) in to.chunks_mut(row_stride).take(columns).enumerate() {
        to.iter_mut().zip(rows).for_each(|(to, row)| _ = to.write(row[column] * factors[column]));
    }
}

/// By the instructions of AVX-512 BF16, which take numbers below the smallest normal one as 0, as its products do.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_castps_si512, _mm512_cvtne2ps_pbh, _mm512_loadu_ps, _mm512_loadu_si512,
        _mm512_mask_storeu_epi32, _mm512_mul_ps, _mm512_permutexvar_epi16, _mm512_setzero_si512, _mm512_shuffle_i32x4,
        _mm512_storeu_si512, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32,
        _mm512_unpacklo_epi64,
    };
    use std::mem::MaybeUninit;
    use std::ops::Range;

    use super::super::tile::Instructions;
    use super::{COLUMNS, Matrix, TASK_ROWS, TURNED};

    /// Numbers of a register.
    const LANES: usize = TURNED;

    pub(super) fn are_here() -> bool {
        Instructions::Avx512.are_here()
    }

    /// [`Matrix::pack`].
    pub(super) fn pack<const W: usize>(
        matrix: &Matrix<'_>,
        first: usize,
        depth: Range<usize>,
        pairs: usize,
        panels: &mut [[u32; W]],
    ) {
        // SAFETY: the caller has seen that the processor has these features.
        #[allow(unsafe_code)]
        unsafe {
            match matrix.col_stride {
                1 => pack_rows_turned(matrix, first, &depth, pairs, panels),
                _ => pack_columns(matrix, first, &depth, pairs, panels),
            }
        }
    }

    /// [`Matrix::pack_pairs`].
    pub(super) fn pack_pairs(matrix: &Matrix<'_>, first: usize, depth: Range<usize>, pairs: usize, to: &mut [u32]) {
        #[target_feature(enable = "avx512f,avx512bf16")]
        fn run(matrix: &Matrix<'_>, first: usize, depth: &Range<usize>, pairs: usize, to: &mut [u32]) {
            for (row, to) in (first..matrix.rows).zip(to.chunks_exact_mut(pairs)) {
                let row = &matrix.data[row * matrix.row_stride..][depth.clone()];
                for (numbers, to) in row.chunks(2 * LANES).zip(to.chunks_mut(LANES)) {
                    store(to, pairs_of(numbers));
                }
            }
        }
        // SAFETY: the caller has seen that the processor has these features.
        #[allow(unsafe_code)]
        unsafe {
            run(matrix, first, &depth, pairs, to);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_rows_turned<const W: usize>(
        matrix: &Matrix<'_>,
        first: usize,
        depth: &Range<usize>,
        pairs: usize,
        panels: &mut [[u32; W]],
    ) {
        for (first, panel) in (first..).step_by(W).zip(panels.chunks_exact_mut(pairs)) {
            let rows = W.min(matrix.rows - first);
            for (start, to) in (depth.start..depth.end).step_by(2 * TURNED).zip(panel.chunks_mut(TURNED)) {
                for left in (0..rows).step_by(LANES) {
                    let mut square = [_mm512_setzero_si512(); LANES];
                    for (index, square) in (left..rows).zip(&mut square) {
                        let row = &matrix.data[(first + index) * matrix.row_stride..][start..depth.end];
                        *square = pairs_of(row);
                    }
                    for (to, pairs) in to.iter_mut().zip(turned(square)) {
                        store(&mut to[left..], pairs);
                    }
                }
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    fn pack_columns<const W: usize>(
        matrix: &Matrix<'_>,
        first: usize,
        depth: &Range<usize>,
        pairs: usize,
        panels: &mut [[u32; W]],
    ) {
        let rows = (panels.len() / pairs * W).min(matrix.rows - first);
        let column = |index: usize| &matrix.data[index * matrix.col_stride + first..][..rows];
        let mut paired = [[0; TASK_ROWS]; TURNED];
        for (block, start) in depth.clone().step_by(2 * TURNED).enumerate() {
            let places = (depth.end - start).div_ceil(2).min(TURNED);
            for (paired, index) in paired[..places].iter_mut().zip((start..).step_by(2)) {
                let second = if index + 1 < depth.end { column(index + 1) } else { &[0.0; TASK_ROWS][..rows] };
                pair_up(column(index), second, paired);
            }
            for (panel, left) in panels.chunks_exact_mut(pairs).zip((0..).step_by(W)) {
                for (to, from) in panel[block * TURNED..].iter_mut().zip(&paired[..places]) {
                    to.copy_from_slice(&from[left..left + W]);
                }
            }
        }
    }

    /// Pairs of a number of either column, the first in the lower half.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    #[allow(unsafe_code)]
    fn pair_up(first: &[f32], second: &[f32], to: &mut [u32]) {
        const INTERLEAVED: [u16; 2 * LANES] = {
            let mut places = [0; 2 * LANES];
            let mut lane = 0;
            while lane < LANES {
                places[2 * lane] = lane as u16;
                places[2 * lane + 1] = (LANES + lane) as u16;
                lane += 1;
            }
            places
        };
        // SAFETY: it loads the 64 bytes of the array.
        let interleaved = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
        let (first, first_rest) = first.as_chunks::<LANES>();
        let (second, second_rest) = second.as_chunks::<LANES>();
        let whole = first.len() * LANES;
        for ((first, second), to) in first.iter().zip(second).zip(to.chunks_exact_mut(LANES)) {
            store(to, _mm512_permutexvar_epi16(interleaved, rounded(first, second)));
        }
        if !first_rest.is_empty() {
            let mut padded = [[0.0; LANES]; 2];
            padded[0][..first_rest.len()].copy_from_slice(first_rest);
            padded[1][..second_rest.len()].copy_from_slice(second_rest);
            store(&mut to[whole..], _mm512_permutexvar_epi16(interleaved, rounded(&padded[0], &padded[1])));
        }
    }

    /// [`super::pair_up`].
    #[allow(unsafe_code)]
    pub(super) fn pair_up_rows<'a>(pairs: impl Iterator<Item = &'a [[f32; COLUMNS]; 2]>, to: &mut [[u32; COLUMNS]]) {
        #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
        fn run<'a>(pairs: impl Iterator<Item = &'a [[f32; COLUMNS]; 2]>, to: &mut [[u32; COLUMNS]]) {
            for ([first, second], to) in pairs.zip(to) {
                pair_up(first, second, to);
            }
        }
        // SAFETY: the caller has seen that the processor has these features.
        unsafe { run(pairs, to) }
    }

    /// The first pairs of a row; 0 beyond its end.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pairs_of(row: &[f32]) -> __m512i {
        match row.as_chunks().0 {
            [first, second, ..] => rounded(first, second),
            _ => {
                let mut padded = [[0.0; LANES]; 2];
                padded.as_flattened_mut()[..row.len()].copy_from_slice(row);
                rounded(&padded[0], &padded[1])
            }
        }
    }

    /// Sixteen numbers and sixteen more as bf16, in their order.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[allow(unsafe_code)]
    fn rounded(first: &[f32; LANES], second: &[f32; LANES]) -> __m512i {
        let rounded = _mm512_cvtne2ps_pbh(load(second), load(first));
        // SAFETY: both types are 512 bits without invalid values.
        unsafe { std::mem::transmute::<__m512bh, __m512i>(rounded) }
    }

    /// [`super::turn`].
    #[allow(unsafe_code)]
    pub(super) fn turn(
        rows: &[[f32; COLUMNS]],
        factors: &[f32; COLUMNS],
        columns: usize,
        to: &mut [MaybeUninit<f32>],
        row_stride: usize,
    ) {
        #[target_feature(enable = "avx512f")]
        fn run(
            rows: &[[f32; COLUMNS]],
            factors: &[f32; COLUMNS],
            columns: usize,
            to: &mut [MaybeUninit<f32>],
            row_stride: usize,
        ) {
            for (start, factors) in (0..columns).step_by(LANES).zip(factors.as_chunks::<LANES>().0) {
                let factors = load(factors);
                for (rows, left) in rows.chunks(LANES).zip((0..).step_by(LANES)) {
                    let mut square = [_mm512_setzero_si512(); LANES];
                    for (square, row) in square.iter_mut().zip(rows) {
                        *square = _mm512_castps_si512(_mm512_mul_ps(load(&row.as_chunks().0[start / LANES]), factors));
                    }
                    for (column, numbers) in (start..columns).zip(turned(square)) {
                        store(&mut to[column * row_stride + left..][..rows.len()], numbers);
                    }
                }
            }
        }
        // SAFETY: the caller has seen that the processor has these features.
        unsafe { run(rows, factors, columns, to, row_stride) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    fn load(numbers: &[f32; LANES]) -> __m512 {
        // SAFETY: it loads the 16 numbers.
        unsafe { _mm512_loadu_ps(numbers.as_ptr()) }
    }

    /// Numbers of 32 bits of which all are valid.
    trait Bits32 {}
    impl Bits32 for u32 {}
    impl Bits32 for MaybeUninit<f32> {}

    /// Writes the first numbers, as many as there is room for.
    #[inline]
    #[target_feature(enable = "avx512f")]
    #[allow(unsafe_code)]
    fn store<T: Bits32>(to: &mut [T], numbers: __m512i) {
        // SAFETY: of the 16 numbers, those alone are written that `to` has room for.
        unsafe {
            if to.len() >= LANES {
                _mm512_storeu_si512(to.as_mut_ptr().cast(), numbers);
            } else {
                _mm512_mask_storeu_epi32(to.as_mut_ptr().cast(), (1 << to.len()) - 1, numbers);
            }
        }
    }

    /// The transpose of a square of 32-bit numbers: of squares of two numbers, then of four, then of those of four by four.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn turned(mut rows: [__m512i; LANES]) -> [__m512i; LANES] {
        let mut other = [_mm512_setzero_si512(); LANES];
        for i in 0..8 {
            other[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            other[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        for i in 0..4 {
            let [a, b, c, d] = std::array::from_fn(|row| other[4 * i + row]);
            rows[4 * i] = _mm512_unpacklo_epi64(a, c);
            rows[4 * i + 1] = _mm512_unpackhi_epi64(a, c);
            rows[4 * i + 2] = _mm512_unpacklo_epi64(b, d);
            rows[4 * i + 3] = _mm512_unpackhi_epi64(b, d);
        }
        for half in [0, 8] {
            for i in half..half + 4 {
                other[i] = _mm512_shuffle_i32x4::<0x88>(rows[i], rows[i + 4]);
                other[i + 4] = _mm512_shuffle_i32x4::<0xdd>(rows[i], rows[i + 4]);
            }
        }
        for i in 0..8 {
            rows[i] = _mm512_shuffle_i32x4::<0x88>(other[i], other[i + 8]);
            rows[i + 8] = _mm512_shuffle_i32x4::<0xdd>(other[i], other[i + 8]);
        }
        rows
    }
}

#[cfg(test)]
mod tests;
