//! Loops over slices that the compiler turns into vector instructions.

/// Runs loops in a copy that is compiled for AVX-512 where the processor has it. Every number is computed by the same operations
/// in either copy, so that the bits are the same.
///
/// Only what is inlined is compiled for AVX-512. It is a macro, so that each copy is a closure that is called at one place, which the
/// compiler nearly always inlines. Functions that the loops call are to be `#[inline(always)]`.
macro_rules! wide {
    (|| $work:expr) => {
        if $crate::ops::lanes::is_wide() {
            let work = || $work;
            // SAFETY: the processor has the features.
            #[allow(unsafe_code)]
            unsafe {
                $crate::ops::lanes::compiled_for_avx512(work)
            }
        } else {
            $work
        }
    };
}
pub(super) use wide;

/// True if the processor has the features of [`compiled_for_avx512`].
#[inline(always)]
pub(super) fn is_wide() -> bool {
    #[cfg(target_arch = "x86_64")]
    return is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

/// Runs what is inlined here.
///
/// # Safety
/// [`is_wide`].
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl"))]
#[allow(unsafe_code)]
pub(super) unsafe fn compiled_for_avx512<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// Independent partial sums: two AVX2 registers of `f32`, enough to hide the latency of an addition.
const LANES: usize = 16;

/// Sum of `f(a[i], b[i])` in a fixed order; `add(sum, a, b)` adds one term.
#[inline(always)]
fn fold(a: &[f32], b: &[f32], add: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let (rest_a, rest_b) = (chunks_a.remainder(), chunks_b.remainder());
    for (a, b) in chunks_a.zip(chunks_b) {
        for i in 0..LANES {
            lanes[i] = add(lanes[i], a[i], b[i]);
        }
    }
    let rest = rest_a.iter().zip(rest_b).fold(0.0, |sum, (&a, &b)| add(sum, a, b));
    lanes.iter().sum::<f32>() + rest
}

#[inline(always)]
pub(super) fn dot(a: &[f32], b: &[f32]) -> f32 {
    fold(a, b, |sum, a, b| a.mul_add(b, sum))
}

#[inline(always)]
pub(super) fn sum(a: &[f32]) -> f32 {
    fold(a, a, |sum, a, _| sum + a)
}

/// Sum of `(a[i] - center)^2`.
#[inline(always)]
pub(super) fn squared_deviation(a: &[f32], center: f32) -> f32 {
    fold(a, a, |sum, a, _| (a - center).mul_add(a - center, sum))
}

#[inline(always)]
pub(super) fn max(a: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = a.chunks_exact(LANES);
    let rest = chunks.remainder().iter().copied().fold(f32::NEG_INFINITY, f32::max);
    for chunk in chunks {
        for i in 0..LANES {
            lanes[i] = if chunk[i] > lanes[i] { chunk[i] } else { lanes[i] };
        }
    }
    lanes.iter().copied().fold(rest, f32::max)
}

/// `to[i] += a[i]`.
#[inline(always)]
pub(super) fn add_to(to: &mut [f32], a: &[f32]) {
    for (to, a) in to.iter_mut().zip(a) {
        *to += a;
    }
}

#[inline(always)]
pub(super) fn scale(a: &mut [f32], factor: f32) {
    for a in a {
        *a *= factor;
    }
}

/// Adding `1.5 * 2^23` rounds to the nearest integer and leaves it in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `2^n` for an integer to which [`ROUND`] was added, 0 for -127.
#[inline(always)]
fn power(shifted: f32) -> f32 {
    f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000))
}

/// `e^x` to 2 units in the last place, 0 below the smallest normal number, NaN for NaN.
///
/// Cody-Waite reduction to `|r| <= ln 2 / 2` and a polynomial of degree 6 (Muller, Elementary Functions, ch. 5), without a
/// branch, so that a loop over it vectorises.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(super) fn exp(x: f32) -> f32 {
    const LN2_HIGH: f32 = 0.693_359_375;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let clamped = x.clamp(-87.0, 88.0);
    let shifted = clamped.mul_add(std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = (-n).mul_add(LN2_LOW, (-n).mul_add(LN2_HIGH, clamped));
    let poly = 1.987_569_15e-4f32
        .mul_add(r, 1.398_199_95e-3)
        .mul_add(r, 8.333_451_9e-3)
        .mul_add(r, 4.166_579_6e-2)
        .mul_add(r, 1.666_666_55e-1)
        .mul_add(r, 5.000_000_1e-1);
    let value = poly.mul_add(r * r, r + 1.0);
    if x < -87.0 { 0.0 } else { value * power(shifted) }
}

/// `2^x` for `x` up to 127 to 8e-5 of it, far below what bf16 tells apart, 0 below `2^-126.5`, NaN for NaN: a minimax polynomial
/// within half a power.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(super) fn near_exp2(x: f32) -> f32 {
    let bounded = if x < -127.0 { -127.0 } else { x };
    let shifted = bounded + ROUND;
    let r = bounded - (shifted - ROUND);
    let poly =
        5.517_166_954e-2f32.mul_add(r, 2.426_111_254e-1).mul_add(r, 6.932_609_857e-1).mul_add(r, 9.999_280_733e-1);
    poly * power(shifted)
}

/// Softmax in place.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32]) {
    let max = max(row);
    for x in row.iter_mut() {
        *x = exp(*x - max);
    }
    let total = sum(row);
    scale(row, 1.0 / total);
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(super) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// Replaces each number `x` by `cap tanh(x / cap)`, below `cap` in size.
#[inline(always)]
pub(super) fn soft_cap(row: &mut [f32], cap: f32) {
    for x in row {
        *x = cap * tanh(*x / cap);
    }
}

/// The slope of [`soft_cap`] where its result is `y`.
#[inline(always)]
pub(super) fn soft_cap_slope(y: f32, cap: f32) -> f32 {
    let tanh = y / cap;
    (-tanh).mul_add(tanh, 1.0)
}

/// The hyperbolic tangent to 3 units in the last place: near 0 an odd polynomial of degree 11, where the difference of
/// exponentials would cancel.
#[inline(always)]
#[allow(clippy::excessive_precision)]
fn tanh(x: f32) -> f32 {
    const POLYNOMIAL_BELOW: f32 = 0.625;
    let squared = x * x;
    let poly = (-5.704_988_727e-3f32)
        .mul_add(squared, 2.063_908_880e-2)
        .mul_add(squared, -5.373_971_555e-2)
        .mul_add(squared, 1.333_144_220e-1)
        .mul_add(squared, -3.333_328_194e-1);
    let size = 1.0 - 2.0 / (exp(2.0 * x.abs()) + 1.0);
    if x.abs() < POLYNOMIAL_BELOW { (poly * squared).mul_add(x, x) } else { size.copysign(x) }
}

/// (Phi(x), phi(x)): the standard normal distribution and its density.
///
/// The tail by formula 7.1.26 of Abramowitz and Stegun, absolute error below 1.5e-7; computed for `-|x|`, so that the
/// lower tail does not cancel.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(super) fn normal(x: f32) -> (f32, f32) {
    const FRAC_1_SQRT_TAU: f32 = 0.398_942_28;
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let gauss = exp(-z * z);
    let t = 1.0 / 0.327_591_1f32.mul_add(z, 1.0);
    let poly = 1.061_405_429f32
        .mul_add(t, -1.453_152_027)
        .mul_add(t, 1.421_413_741)
        .mul_add(t, -0.284_496_736)
        .mul_add(t, 0.254_829_592);
    let tail = 0.5 * poly * t * gauss;
    (if x < 0.0 { tail } else { 1.0 - tail }, FRAC_1_SQRT_TAU * gauss)
}

/// `x Phi(x)` to 6e-5 within the bound, and beyond it to a millionth of `x`, far below what eight bits tell apart: a minimax polynomial
/// of `Phi(x) - 1/2`, odd and 1/2 at the bound, from where on it stays.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(super) fn near_gelu(x: f32) -> f32 {
    const BOUND: f32 = 4.5;
    let bounded = x.clamp(-BOUND, BOUND);
    let squared = bounded * bounded;
    let poly = 3.000_006_146e-11f32
        .mul_add(squared, -3.283_911_587e-9)
        .mul_add(squared, 1.580_256_850e-7)
        .mul_add(squared, -4.431_683_919e-6)
        .mul_add(squared, 8.120_970_597e-5)
        .mul_add(squared, -1.036_253_292e-3)
        .mul_add(squared, 9.580_653_161e-3)
        .mul_add(squared, -6.597_726_792e-2)
        .mul_add(squared, 3.987_085_819e-1);
    x * poly.mul_add(bounded, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_close_everywhere() {
        for i in -8600..8800 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp(x)) - exact).abs() / exact;
            assert!(error < 2.5e-7, "exp({x}): relative error {error}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(exp(0.0), 1.0);
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn near_exp2_is_as_near_as_it_says() {
        for i in -12_600..12_700 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).exp2();
            let error = (f64::from(near_exp2(x)) - exact).abs() / exact;
            assert!(error < 8e-5, "2^{x}: relative error {error}");
        }
        for x in [-126.6, -127.0, -1e9, f32::MIN, f32::NEG_INFINITY] {
            assert_eq!(near_exp2(x), 0.0);
        }
        assert!(near_exp2(f32::NAN).is_nan());
    }

    #[test]
    fn tanh_is_close_everywhere() {
        for i in -2000..2000 {
            let x = i as f32 / 100.0;
            let exact = f64::from(x).tanh();
            let error = (f64::from(tanh(x)) - exact).abs();
            assert!(error <= 4e-7 * exact.abs(), "tanh({x}): error {error}");
        }
        assert_eq!((tanh(1e30), tanh(f32::NEG_INFINITY)), (1.0, -1.0));
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn normal_matches_tabulated_values() {
        for (x, phi) in
            [(0.0, 0.5), (1.0, 0.841_344_8), (-1.0, 0.158_655_25), (2.5, 0.993_790_3), (-3.0, 0.001_349_898)]
        {
            assert!((normal(x).0 - phi).abs() < 2e-7, "{x}");
        }
        assert!((normal(1.0).1 - 0.241_970_72).abs() < 1e-7);
    }

    #[test]
    fn near_gelu_is_as_near_as_it_says() {
        for i in -8000..8000 {
            let x = i as f32 / 1000.0;
            let exact = x * normal(x).0;
            assert!((near_gelu(x) - exact).abs() < 6e-5, "{x}: {}, expected {exact}", near_gelu(x));
        }
        assert!(near_gelu(-1e4).abs() < 1e-2 && (near_gelu(1e4) - 1e4).abs() < 1e-2 && near_gelu(0.0) == 0.0);
        assert!(near_gelu(f32::NAN).is_nan());
    }

    #[test]
    fn reductions_cover_every_length() {
        for n in 0..70 {
            let a: Vec<f32> = (0..n).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..n).map(|i| (i % 5) as f32).collect();
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f32>());
            assert_eq!(sum(&a), a.iter().sum::<f32>());
            assert_eq!(max(&a), a.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            assert_eq!(squared_deviation(&a, 1.0), a.iter().map(|a| (a - 1.0) * (a - 1.0)).sum::<f32>());
        }
    }
}
