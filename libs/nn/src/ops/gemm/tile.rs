//! The micro-kernel of bf16: a tile of a matrix product by the dot products of AVX-512 BF16.

/// Rows of a tile: with two registers each they leave eight of the 32 for what is multiplied.
pub(super) const ROWS: usize = 12;
/// Columns of a tile: two registers of `f32`.
pub(super) const COLUMNS: usize = 32;

/// The sums of a tile.
pub(super) type Tile = [[f32; COLUMNS]; ROWS];

/// Multiplies a panel of rows with a panel of columns. Each number of a panel is a pair of neighbours along the dimension
/// summed over, as bf16: the first in the lower half.
pub(super) type Kernel = fn(&[[u32; ROWS]], &[[u32; COLUMNS]], &mut Tile);

/// The kernel of this processor, if it multiplies bf16.
pub(super) fn native() -> Option<Kernel> {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16") {
        return Some(x86::native);
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_si512, _mm512_set1_epi32, _mm512_setzero_ps,
        _mm512_storeu_ps,
    };

    use super::{COLUMNS, ROWS, Tile};

    /// A kernel around an instruction `(sums, pairs, pairs) -> sums`.
    macro_rules! kernel {
        ($name:ident, $features:literal, $dot:ident) => {
            #[allow(unsafe_code)]
            pub(in super::super) fn $name(lhs: &[[u32; ROWS]], rhs: &[[u32; COLUMNS]], tile: &mut Tile) {
                #[target_feature(enable = $features)]
                fn run(lhs: &[[u32; ROWS]], rhs: &[[u32; COLUMNS]], tile: &mut Tile) {
                    let mut sums = [[_mm512_setzero_ps(); 2]; ROWS];
                    for (lhs, rhs) in lhs.iter().zip(rhs) {
                        // SAFETY: both loads stay within the 32 numbers of `rhs`.
                        let columns: [__m512i; 2] = unsafe {
                            [_mm512_loadu_si512(rhs.as_ptr().cast()), _mm512_loadu_si512(rhs[16..].as_ptr().cast())]
                        };
                        for (sums, &pair) in sums.iter_mut().zip(lhs) {
                            let pair = _mm512_set1_epi32(pair.cast_signed());
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
                unsafe { run(lhs, rhs, tile) }
            }
        };
    }

    kernel!(native, "avx512f,avx512bf16", dot);
    #[cfg(test)]
    kernel!(emulated, "avx512f", emulated_dot);

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

/// Every kernel that runs here: the tests' stand-in for the instruction as well, so that all around it is tested on any
/// processor with AVX-512.
#[cfg(test)]
pub(super) fn testable() -> Vec<Kernel> {
    let mut kernels: Vec<Kernel> = native().into_iter().collect();
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        kernels.push(x86::emulated);
    }
    kernels
}
