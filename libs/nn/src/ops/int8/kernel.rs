//! The micro-kernels of int8: a tile of a product of rounded activations and weights.

/// Numbers of the largest tile.
pub(super) const TILE: usize = 1024;

/// A way to multiply a panel of rows with a panel of columns.
pub(super) trait Kernel {
    /// An activation as the instructions take it.
    type Number: Copy + Send + Sync;
    /// Rows of a tile.
    const ROWS: usize;
    /// Columns of a tile and of a panel.
    const COLUMNS: usize;
    /// Rows and panels have a multiple of so many numbers along the dimension summed over, itself one of 4.
    const DEPTH: usize;
    /// True if the products of two neighbours are added in 16 bits, which have room for 255 times 128: 127 units of both weights
    /// together, and one more where both are rounded up.
    const ADDS_IN_16_BITS: bool = false;

    /// Does work that multiplies, on a thread that is ready for it.
    #[inline(always)]
    fn prepared<R>(work: impl FnOnce() -> R) -> R {
        work()
    }

    /// An activation of so many units.
    fn number(units: i8) -> Self::Number;

    /// By how much the sums of a column exceed the true ones, where the column's weights have this sum.
    fn excess(weights: i32) -> i32;

    /// The sums of a tile, row by row.
    ///
    /// # Shapes
    /// `rows` `[ROWS, 4 q]`, `panel` `[q, COLUMNS, 4]` -> the first numbers of `tile` `[ROWS, COLUMNS]`.
    fn multiply(rows: &[Self::Number], panel: &[i8], tile: &mut [i32; TILE]);
}

/// The kernels that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Instructions {
    #[cfg(target_arch = "x86_64")]
    Amx,
    #[cfg(target_arch = "x86_64")]
    Vnni,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    Portable,
}

impl Instructions {
    /// The fastest kernel of this processor.
    pub(super) fn native() -> Self {
        Self::all().into_iter().find(|instructions| instructions.are_here()).unwrap_or(Self::Portable)
    }

    /// All kernels of this architecture, the fastest first.
    pub(super) fn all() -> Vec<Self> {
        vec![
            #[cfg(target_arch = "x86_64")]
            Self::Amx,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            Self::Portable,
        ]
    }

    /// True if this processor has them.
    pub(super) fn are_here(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => amx::multiplies_int8(),
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vnni"),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2"),
            Self::Portable => true,
        }
    }

    /// Columns of a panel.
    pub(super) fn columns(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Amx::COLUMNS,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => Vnni::COLUMNS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::COLUMNS,
            Self::Portable => Portable::COLUMNS,
        }
    }

    /// As [`Kernel::ADDS_IN_16_BITS`].
    pub(super) fn adds_in_16_bits(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Amx::ADDS_IN_16_BITS,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => Vnni::ADDS_IN_16_BITS,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::ADDS_IN_16_BITS,
            Self::Portable => Portable::ADDS_IN_16_BITS,
        }
    }

    /// A panel has a multiple of so many inputs.
    pub(super) fn depth(self) -> usize {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Amx => Amx::DEPTH,
            #[cfg(target_arch = "x86_64")]
            Self::Vnni => Vnni::DEPTH,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => Avx2::DEPTH,
            Self::Portable => Portable::DEPTH,
        }
    }
}

/// Any processor.
pub(super) struct Portable;

impl Kernel for Portable {
    type Number = i8;
    const ROWS: usize = 4;
    const COLUMNS: usize = 8;
    const DEPTH: usize = 4;

    #[inline(always)]
    fn number(units: i8) -> i8 {
        units
    }

    #[inline(always)]
    fn excess(_: i32) -> i32 {
        0
    }

    fn multiply(rows: &[i8], panel: &[i8], tile: &mut [i32; TILE]) {
        let sums = tile.chunks_exact_mut(Self::COLUMNS);
        for (row, sums) in rows.chunks_exact(rows.len() / Self::ROWS).zip(sums) {
            sums.fill(0);
            for (four, columns) in row.chunks_exact(4).zip(panel.chunks_exact(4 * Self::COLUMNS)) {
                for (sum, column) in sums.iter_mut().zip(columns.chunks_exact(4)) {
                    *sum += four.iter().zip(column).map(|(&a, &b)| i32::from(a) * i32::from(b)).sum::<i32>();
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
use super::super::amx;
#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Amx, Avx2, Vnni};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        _mm256_add_epi32, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16,
        _mm256_set1_epi32, _mm256_setzero_si256, _mm256_storeu_si256, _mm512_dpbusd_epi32, _mm512_loadu_si512,
        _mm512_set1_epi32, _mm512_setzero_si512, _mm512_storeu_si512,
    };

    use super::{Kernel, TILE, amx};

    /// Products of signed bytes by the tiles of AMX.
    pub(in super::super) struct Amx;

    impl Kernel for Amx {
        type Number = i8;
        const ROWS: usize = amx::ROWS;
        const COLUMNS: usize = amx::COLUMNS;
        const DEPTH: usize = amx::ROW_BYTES;

        #[inline(always)]
        fn prepared<R>(work: impl FnOnce() -> R) -> R {
            amx::with_tiles(work)
        }

        #[inline(always)]
        fn number(units: i8) -> i8 {
            units
        }

        #[inline(always)]
        fn excess(_: i32) -> i32 {
            0
        }

        fn multiply(rows: &[i8], panel: &[i8], tile: &mut [i32; TILE]) {
            amx::multiply_int8(rows, panel, tile);
        }
    }

    /// Makes an activation unsigned, as one side of the products of bytes has to be.
    const OFFSET: i32 = 128;

    /// Products of an unsigned and a signed byte, which AVX2 adds in pairs.
    pub(in super::super) struct Avx2;

    impl Kernel for Avx2 {
        type Number = u8;
        /// With two registers of sums each they leave four of the 16 for what is multiplied.
        const ROWS: usize = 6;
        const COLUMNS: usize = 16;
        const DEPTH: usize = 4;
        const ADDS_IN_16_BITS: bool = true;

        #[inline(always)]
        fn number(units: i8) -> u8 {
            (i32::from(units) + OFFSET) as u8
        }

        #[inline(always)]
        fn excess(weights: i32) -> i32 {
            OFFSET * weights
        }

        #[allow(unsafe_code)]
        fn multiply(rows: &[u8], panel: &[i8], tile: &mut [i32; TILE]) {
            #[target_feature(enable = "avx2")]
            fn run(rows: &[u8], panel: &[i8], tile: &mut [i32; TILE]) {
                let width = panel.len() / Avx2::COLUMNS;
                assert_eq!(rows.len(), Avx2::ROWS * width, "rows of another width");
                let ones = _mm256_set1_epi16(1);
                let mut sums = [[_mm256_setzero_si256(); 2]; Avx2::ROWS];
                for (quad, columns) in panel.chunks_exact(4 * Avx2::COLUMNS).enumerate() {
                    // SAFETY: both loads stay within the 64 numbers of `columns`.
                    let columns = unsafe {
                        [
                            _mm256_loadu_si256(columns.as_ptr().cast()),
                            _mm256_loadu_si256(columns.as_ptr().add(32).cast()),
                        ]
                    };
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: the four numbers are part of row `row`, as `rows` has that many of this width.
                        let four = unsafe { rows.as_ptr().add(row * width + 4 * quad).cast::<i32>().read_unaligned() };
                        let four = _mm256_set1_epi32(four);
                        for (sum, columns) in sums.iter_mut().zip(columns) {
                            let pairs = _mm256_maddubs_epi16(four, columns);
                            *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, ones));
                        }
                    }
                }
                for (to, sums) in tile.chunks_exact_mut(Avx2::COLUMNS).zip(sums) {
                    // SAFETY: both stores stay within the 16 numbers of `to`.
                    unsafe {
                        _mm256_storeu_si256(to.as_mut_ptr().cast(), sums[0]);
                        _mm256_storeu_si256(to.as_mut_ptr().add(8).cast(), sums[1]);
                    }
                }
            }
            // SAFETY: whoever chooses this kernel has seen that the processor has these features.
            unsafe { run(rows, panel, tile) }
        }
    }

    /// Products of an unsigned and a signed byte, four of which AVX-512 VNNI adds to a sum.
    pub(in super::super) struct Vnni;

    impl Kernel for Vnni {
        type Number = u8;
        /// With two registers of sums each they leave eight of the 32 for what is multiplied.
        const ROWS: usize = 12;
        const COLUMNS: usize = 32;
        const DEPTH: usize = 4;

        #[inline(always)]
        fn number(units: i8) -> u8 {
            (i32::from(units) + OFFSET) as u8
        }

        #[inline(always)]
        fn excess(weights: i32) -> i32 {
            OFFSET * weights
        }

        #[allow(unsafe_code)]
        fn multiply(rows: &[u8], panel: &[i8], tile: &mut [i32; TILE]) {
            #[target_feature(enable = "avx512f,avx512vnni")]
            fn run(rows: &[u8], panel: &[i8], tile: &mut [i32; TILE]) {
                let width = panel.len() / Vnni::COLUMNS;
                assert_eq!(rows.len(), Vnni::ROWS * width, "rows of another width");
                let mut sums = [[_mm512_setzero_si512(); 2]; Vnni::ROWS];
                for (quad, columns) in panel.chunks_exact(4 * Vnni::COLUMNS).enumerate() {
                    // SAFETY: both loads stay within the 128 numbers of `columns`.
                    let columns = unsafe {
                        [
                            _mm512_loadu_si512(columns.as_ptr().cast()),
                            _mm512_loadu_si512(columns.as_ptr().add(64).cast()),
                        ]
                    };
                    for (row, sums) in sums.iter_mut().enumerate() {
                        // SAFETY: the four numbers are part of row `row`, as `rows` has that many of this width.
                        let four = unsafe { rows.as_ptr().add(row * width + 4 * quad).cast::<i32>().read_unaligned() };
                        let four = _mm512_set1_epi32(four);
                        sums[0] = _mm512_dpbusd_epi32(sums[0], four, columns[0]);
                        sums[1] = _mm512_dpbusd_epi32(sums[1], four, columns[1]);
                    }
                }
                for (to, sums) in tile.chunks_exact_mut(Vnni::COLUMNS).zip(sums) {
                    // SAFETY: both stores stay within the 32 numbers of `to`.
                    unsafe {
                        _mm512_storeu_si512(to.as_mut_ptr().cast(), sums[0]);
                        _mm512_storeu_si512(to.as_mut_ptr().add(16).cast(), sums[1]);
                    }
                }
            }
            // SAFETY: whoever chooses this kernel has seen that the processor has these features.
            unsafe { run(rows, panel, tile) }
        }
    }
}
