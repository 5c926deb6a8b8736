//! The micro-kernels of bf16: a tile of a matrix product by the dot products of AVX-512 BF16, or by the tiles of AMX.

use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::super::{amx, processor};
use super::{Matrix, Order};

/// Columns of a tile: two registers of `f32`, or two tiles.
pub(in crate::ops) const COLUMNS: usize = 32;
/// Rows of the largest tile.
pub(in crate::ops) const TILE_ROWS: usize = 32;
/// The largest tile, row by row.
pub(in crate::ops) type Tile = [[f32; COLUMNS]; TILE_ROWS];

/// A way to multiply a panel of rows with a panel of columns. Each number of a panel of columns is a pair of neighbours along the
/// dimension summed over, as bf16: the first in the lower half.
pub(in crate::ops) trait Kernel {
    /// What a panel of rows consists of.
    type Number: Copy + Default + Send + Sync;
    /// Rows of a tile.
    const ROWS: usize;
    /// Panels have a multiple of so many pairs.
    const PAIRS: usize;
    /// Summands of a block at most.
    const DEPTH: usize;

    /// The numbers of a panel of rows.
    fn panel(pairs: usize) -> usize;

    /// The rows from `first` on, of which the columns `depth`, as panels of so many pairs; what the panels hold beyond
    /// the edges stays as it is or becomes 0.
    fn pack(lhs: Matrix<'_>, first: usize, depth: Range<usize>, pairs: usize, panels: &mut [Self::Number]);

    /// Does work that multiplies, on a thread that is ready for it.
    #[inline(always)]
    fn prepared<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// The sums of a tile, row by row; `order` is that of the matrix which the panel of rows is of.
    ///
    /// # Shapes
    /// `lhs` a panel of `p` pairs, `rhs` `[p, COLUMNS]` -> the first rows of `tile`, `[ROWS, COLUMNS]`.
    fn multiply(lhs: &[Self::Number], order: Order, rhs: &[[u32; COLUMNS]], tile: &mut Tile);
}

/// The kernels that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::ops) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// The tests' stand-in for the instruction, so that all around it is tested on any processor with AVX-512.
    #[cfg(all(test, target_arch = "x86_64"))]
    Emulated,
}

impl Instructions {
    /// The fastest of this processor, if it multiplies bf16.
    pub(in crate::ops) fn native() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        return [Self::Amx, Self::Avx512].into_iter().find(|instructions| instructions.are_here());
        #[cfg(not(target_arch = "x86_64"))]
        return None;
    }

    /// Every kernel that runs here.
    #[cfg(test)]
    pub(super) fn testable() -> impl Iterator<Item = Self> {
        #[cfg(target_arch = "x86_64")]
        let all = [Self::Amx, Self::Avx512, Self::Emulated];
        #[cfg(not(target_arch = "x86_64"))]
        let all = [];
        all.into_iter().filter(|instructions: &Self| instructions.are_here())
    }

    /// True if this processor has them.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn are_here(self) -> bool {
        match self {
            Self::Amx => amx::multiplies_bf16(),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512bf16")
            }
            #[cfg(test)]
            Self::Emulated => is_x86_feature_detected!("avx512f"),
        }
    }

    /// True if they are faster than products of `f32`. Intel's processors compute dot products of bf16 at half the rate of AMD's,
    /// where `f32` is nearly twice as fast, since they have AMX.
    pub(super) fn are_faster(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        return self == Self::Amx || !processor::is_by_intel();
        #[cfg(not(target_arch = "x86_64"))]
        return false;
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
pub(in crate::ops) use x86::Emulated;
#[cfg(target_arch = "x86_64")]
pub(in crate::ops) use x86::{Amx, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use std::ops::Range;

    use super::super::{Matrix, Order};
    use super::{COLUMNS, Kernel, Tile, amx};

    /// Products by the tiles of AMX.
    pub(in crate::ops) struct Amx;

    impl Kernel for Amx {
        type Number = u16;
        const ROWS: usize = amx::ROWS;
        const PAIRS: usize = amx::ROW_BYTES / 4;
        /// A panel of columns then takes half of a first-level cache of 48 KB.
        const DEPTH: usize = 384;

        fn panel(pairs: usize) -> usize {
            Self::ROWS * 2 * pairs
        }

        fn pack(lhs: Matrix<'_>, first: usize, depth: Range<usize>, pairs: usize, panels: &mut [u16]) {
            lhs.pack_lines(first, depth, 2 * pairs, panels);
        }

        #[inline(always)]
        fn prepared<R>(work: impl FnOnce() -> R) -> R {
            amx::with_tiles(work)
        }

        fn multiply(lhs: &[u16], _: Order, rhs: &[[u32; COLUMNS]], tile: &mut Tile) {
            amx::multiply_bf16(lhs, rhs, tile);
        }
    }

    /// Rows of a tile of vectors: with two registers each they leave eight of the 32 for what is multiplied.
    const ROWS: usize = 12;

    /// A kernel around an instruction `(sums, pairs, pairs) -> sums`.
    macro_rules! kernel {
        ($name:ident, $features:literal, $dot:ident) => {
            pub(in crate::ops) struct $name;

            impl Kernel for $name {
                /// Pairs: row by row where rows are contiguous in the matrix, else all rows' first pairs, then all second ones and so on.
                type Number = u32;
                const ROWS: usize = ROWS;
                const PAIRS: usize = 1;
                /// The second-level cache feeds these kernels fast enough, and what is summed at once is written once.
                const DEPTH: usize = 1536;

                fn panel(pairs: usize) -> usize {
                    ROWS * pairs
                }

                fn pack(lhs: Matrix<'_>, first: usize, depth: Range<usize>, pairs: usize, panels: &mut [u32]) {
                    match lhs.order() {
                        Order::Rows => lhs.pack_pairs(first, depth, pairs, panels),
                        Order::Columns => lhs.pack::<ROWS>(first, depth, pairs, panels.as_chunks_mut().0),
                    }
                }

                #[allow(unsafe_code)]
                fn multiply(lhs: &[u32], order: Order, rhs: &[[u32; COLUMNS]], tile: &mut Tile) {
                    #[target_feature(enable = $features)]
                    fn run<const IN_ROWS: bool>(lhs: &[u32], rhs: &[[u32; COLUMNS]], tile: &mut Tile) {
                        let pairs = rhs.len();
                        assert_eq!(lhs.len(), ROWS * pairs, "a panel of rows of another depth");
                        let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
                        for (place, rhs) in rhs.iter().enumerate() {
                            // SAFETY: both loads stay within the 32 numbers of `rhs`.
                            let columns: [__m512i; 2] = unsafe {
                                [_mm512_loadu_si512(rhs.as_ptr().cast()), _mm512_loadu_si512(rhs[16..].as_ptr().cast())]
                            };
                            for (row, sums) in sums.iter_mut().enumerate() {
                                let index = if IN_ROWS { row * pairs + place } else { place * ROWS + row };
                                // SAFETY: the panel has so many pairs of each row.
                                let pair = _mm512_set1_epi32(unsafe { *lhs.get_unchecked(index) }.cast_signed());
                                sums[0] = $dot(sums[0], pair, columns[0]);
                                sums[1] = $dot(sums[1], pair, columns[1]);
                            }
                        }
                        for (to, sums) in tile.iter_mut().zip(sums) {
                            // SAFETY: both stores stay within the 32 numbers of `to`.
                            unsafe {
                                _mm512_storeu_ps(to.as_mut_ptr(), sums[0]);
                                _mm512_storeu_ps(to[16..].as_mut_ptr(), sums[1]);
                            }
                        }
                    }
                    // SAFETY: whoever hands out this kernel has seen that the processor has these features.
                    unsafe {
                        match order {
                            Order::Rows => run::<true>(lhs, rhs, tile),
                            Order::Columns => run::<false>(lhs, rhs, tile),
                        }
                    }
                }
            }
        };
    }

    kernel!(Avx512, "avx512f,avx512bf16", dot);
    #[cfg(test)]
    kernel!(Emulated, "avx512f", emulated_dot);

    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    #[allow(unsafe_code)]
    fn dot(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        // SAFETY: both are 512 bits without invalid values.
        let [a, b] = unsafe { std::mem::transmute::<[__m512i; 2], [__m512bh; 2]>([a, b]) };
        _mm512_dpbf16_ps(sums, a, b)
    }

    /// The same sums on processors that lack the instruction.
    #[cfg(test)]
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn emulated_dot(sums: __m512, a: __m512i, b: __m512i) -> __m512 {
        use std::arch::x86_64::{_mm512_and_si512, _mm512_castsi512_ps, _mm512_fmadd_ps, _mm512_slli_epi32};
        let low = |x| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(x));
        let high = |x| _mm512_castsi512_ps(_mm512_and_si512(x, _mm512_set1_epi32(-0x1_0000)));
        _mm512_fmadd_ps(low(a), low(b), _mm512_fmadd_ps(high(a), high(b), sums))
    }
}
