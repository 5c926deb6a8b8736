//! The matrix product on borrowed slices.

mod bf16;
mod pack;
mod precision;
mod rows;
mod tile;

use std::mem::MaybeUninit;

use ::gemm::Parallelism;

pub(super) use bf16::{LeftFactor, RightFactor};
pub(super) use pack::{pair_up, turn};
pub use precision::Precision;
pub(super) use rows::product_by_rows;
#[cfg(target_arch = "x86_64")]
pub(super) use tile::{Amx, Avx512};
pub(super) use tile::{COLUMNS, Instructions, Kernel};

/// A matrix view: `rows x cols` numbers of a slice, any strides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

/// What is contiguous in a matrix.
#[derive(Debug, Clone, Copy)]
pub(super) enum Order {
    Rows,
    Columns,
}

impl<'a> Matrix<'a> {
    /// The slice as rows of `cols` numbers.
    pub(super) fn new(data: &'a [f32], cols: usize) -> Self {
        Self::strided(data, data.len() / cols.max(1), cols, cols)
    }

    /// `rows` rows of `cols` numbers, `row_stride` apart, from the start of the slice.
    pub(super) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        Self { data, rows, cols, row_stride, col_stride: 1 }
    }

    /// The transpose.
    pub(super) fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// These rows alone.
    pub(super) fn rows(self, rows: &std::ops::Range<usize>) -> Self {
        Self { data: &self.data[rows.start * self.row_stride..], rows: rows.len(), ..self }
    }

    fn fits(&self) -> bool {
        self.len() <= self.data.len()
    }

    fn order(&self) -> Order {
        if self.col_stride == 1 { Order::Rows } else { Order::Columns }
    }

    /// Numbers of the slice up to the last one of the matrix.
    fn len(&self) -> usize {
        match (self.rows, self.cols) {
            (0, _) | (_, 0) => 0,
            (rows, cols) => (rows - 1) * self.row_stride + (cols - 1) * self.col_stride + 1,
        }
    }
}

/// How a product is computed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Compute {
    precision: Precision,
    threads: usize,
}

impl Compute {
    /// In `f32`, on this thread.
    pub(super) const ALONE: Compute = Compute { precision: Precision::F32, threads: 1 };

    /// On this thread.
    pub(super) fn on_this_thread(precision: Precision) -> Compute {
        Compute { precision, threads: 1 }
    }

    /// On all threads of the current pool.
    pub(super) fn shared(precision: Precision) -> Compute {
        Compute { precision, threads: rayon::current_num_threads() }
    }
}

/// `scale * lhs rhs`, in memory that nothing has written before.
///
/// # Shapes
/// `lhs` `[m, k]`, `rhs` `[k, n]` -> `[m, n]` contiguous.
pub(super) fn product(lhs: Matrix<'_>, rhs: Matrix<'_>, scale: f32, compute: Compute) -> Vec<f32> {
    let len = lhs.rows * rhs.cols;
    if lhs.cols == 0 {
        return vec![0.0; len];
    }
    check(lhs, rhs, len);
    let mut out = Vec::with_capacity(len);
    // SAFETY: `check` passed, `out` has room for `len` numbers, and without accumulation every one of them is written
    // and none read.
    #[allow(unsafe_code)]
    unsafe {
        write(out.as_mut_ptr(), rhs.cols, lhs, rhs, scale, false, compute);
        out.set_len(len);
    }
    out
}

/// `out = scale * lhs rhs`, or `out += scale * lhs rhs` where `accumulate`.
///
/// # Shapes
/// `lhs` `[m, k]`, `rhs` `[k, n]`, `out` `[m, n]` contiguous.
pub(super) fn gemm(out: &mut [f32], lhs: Matrix<'_>, rhs: Matrix<'_>, scale: f32, accumulate: bool, compute: Compute) {
    check(lhs, rhs, out.len());
    // SAFETY: `check` passed, and `out` is borrowed mutably, so it overlaps neither view.
    #[allow(unsafe_code)]
    unsafe {
        write(out.as_mut_ptr(), rhs.cols, lhs, rhs, scale, accumulate, compute);
    }
}

/// `out = scale * lhs rhs`, or `out += scale * lhs rhs` where `accumulate`; the rows of `out` are `row_stride` apart, and what lies
/// between them stays.
///
/// # Shapes
/// `lhs` `[m, k]`, `rhs` `[k, n]`, `out` `[m, n]`.
pub(super) fn gemm_rows(
    out: &mut [f32],
    row_stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    accumulate: bool,
    compute: Compute,
) {
    check(lhs, rhs, lhs.rows * rhs.cols);
    assert!(Matrix::strided(out, lhs.rows, rhs.cols, row_stride).fits() && rhs.cols <= row_stride, "rows that overlap");
    // SAFETY: `check` passed, the rows lie inside of `out`, which is borrowed mutably, so it overlaps neither view.
    #[allow(unsafe_code)]
    unsafe {
        write(out.as_mut_ptr(), row_stride, lhs, rhs, scale, accumulate, compute);
    }
}

fn check(lhs: Matrix<'_>, rhs: Matrix<'_>, out: usize) {
    let agree = lhs.cols == rhs.rows && out == lhs.rows * rhs.cols;
    assert!(agree && lhs.fits() && rhs.fits(), "a matrix product of other shapes");
}

/// # Safety
/// The shapes agree, both views lie inside their slices, and `out` is room for `m` rows of `n` numbers outside of them, `row_stride`
/// apart (`n` at least), initialised where `accumulate`. Nobody else uses it or what lies between the rows in the meantime.
#[allow(unsafe_code)]
unsafe fn write(
    out: *mut f32,
    row_stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    accumulate: bool,
    compute: Compute,
) {
    let Compute { precision, threads } = compute;
    if precision != Precision::Bf16 {
        // SAFETY: the caller's.
        return unsafe { write_f32(out, row_stride, lhs, rhs, scale, accumulate, threads) };
    }
    match tile::Instructions::native() {
        Some(instructions) if lhs.rows > 0 && lhs.cols > 0 && rhs.cols > 0 => {
            let len = (lhs.rows - 1) * row_stride + rhs.cols;
            // SAFETY: the caller's, and `MaybeUninit` asks for no initialised numbers.
            let out = unsafe { std::slice::from_raw_parts_mut(out.cast::<MaybeUninit<f32>>(), len) };
            bf16::Product { lhs, scale, accumulate }.write(rhs, instructions, out, row_stride, threads);
        }
        _ => {
            let (lhs_rounded, rhs_rounded) = (lhs.rounded(), rhs.rounded());
            let (lhs, rhs) = (Matrix { data: &lhs_rounded, ..lhs }, Matrix { data: &rhs_rounded, ..rhs });
            // SAFETY: the caller's: the rounded matrices have the shapes and strides of those they are made from.
            unsafe { write_f32(out, row_stride, lhs, rhs, scale, accumulate, threads) }
        }
    }
}

/// # Safety
/// As [`write`].
#[allow(unsafe_code)]
unsafe fn write_f32(
    out: *mut f32,
    row_stride: usize,
    lhs: Matrix<'_>,
    rhs: Matrix<'_>,
    scale: f32,
    accumulate: bool,
    threads: usize,
) {
    let (m, k, n) = (lhs.rows, lhs.cols, rhs.cols);
    let keep = if accumulate { 1.0 } else { 0.0 };
    // SAFETY: the caller's.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            row_stride as isize,
            accumulate,
            lhs.data.as_ptr(),
            lhs.col_stride as isize,
            lhs.row_stride as isize,
            rhs.data.as_ptr(),
            rhs.col_stride as isize,
            rhs.row_stride as isize,
            keep,
            scale,
            false,
            false,
            false,
            if threads > 1 { Parallelism::Rayon(threads) } else { Parallelism::None },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_transposes() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 1.0, 0.0, 3.0]);
        let mut out = [0.0; 4];
        gemm(&mut out, Matrix::new(&a, 3), Matrix::new(&b, 2), 1.0, false, Compute::ALONE);
        assert_eq!(out, [5.0, 11.0, 14.0, 23.0]);
        gemm(&mut out, Matrix::new(&a, 3), Matrix::new(&b, 3).t(), 2.0, true, Compute::ALONE);
        assert_eq!(out, [5.0 + 14.0, 11.0 + 20.0, 14.0 + 32.0, 23.0 + 44.0]);
        assert_eq!(product(Matrix::new(&a, 3), Matrix::new(&b, 2), 1.0, Compute::ALONE), [5.0, 11.0, 14.0, 23.0]);
        assert_eq!(
            product(Matrix::strided(&[], 2, 0, 0), Matrix::strided(&[], 0, 3, 3), 1.0, Compute::ALONE),
            [0.0; 6]
        );
        // The second column of `a` alone.
        let mut out = [0.0; 2];
        gemm(&mut out, Matrix::strided(&a[1..], 2, 1, 3), Matrix::new(&[2.0], 1), 1.0, false, Compute::ALONE);
        assert_eq!(out, [4.0, 10.0]);
    }

    #[test]
    fn rows_apart_leave_what_lies_between() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 1.0]);
        let mut out = [9.0; 5];
        gemm_rows(&mut out, 3, Matrix::new(&a, 2), Matrix::new(&b, 2), 1.0, false, Compute::ALONE);
        assert_eq!(out, [5.0, 2.0, 9.0, 11.0, 4.0]);
        gemm_rows(&mut out, 3, Matrix::new(&a, 2), Matrix::new(&b, 2), -1.0, true, Compute::ALONE);
        assert_eq!(out, [0.0, 0.0, 9.0, 0.0, 0.0]);
    }

    #[test]
    #[should_panic(expected = "other shapes")]
    fn a_view_outside_its_slice_is_refused() {
        let mut out = [0.0; 4];
        gemm(&mut out, Matrix::strided(&[1.0; 3], 2, 2, 2), Matrix::new(&[1.0; 4], 2), 1.0, false, Compute::ALONE);
    }
}
