//! Element-wise activations.

use std::f32::consts::{FRAC_2_SQRT_PI, SQRT_2};
use std::mem::MaybeUninit;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{TASK, filled, gradient, input, lanes, lend, output};

/// The exact GELU, `x Phi(x)` with the normal distribution function Phi (arXiv 1606.08415).
///
/// # Shapes
/// Any -> the same.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.apply_op1(Gelu)
}

/// `silu(gate) * up` with `silu(x) = x sigmoid(x)`, the gated unit of Llama (arXiv 2002.05202).
///
/// # Shapes
/// Two of the same shape -> that shape.
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, Gated(Silu))
}

/// `gelu(gate) * up` with the exact GELU, the gated unit of ModernBERT (arXiv 2002.05202).
///
/// # Shapes
/// Two of the same shape -> that shape.
pub fn geglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, Gated(Gelu))
}

/// `gelu(gate) * up` with the GELU of a tanh, `gelu(x) = x (1 + tanh(u)) / 2`, `u = sqrt(2 / pi) (x + 0.044715 x^3)`: the gated
/// unit of Gemma (arXiv 2002.05202; arXiv 1606.08415, section 2).
///
/// # Shapes
/// Two of the same shape -> that shape.
pub fn geglu_tanh(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.apply_op2(up, Gated(GeluTanh))
}

/// `f(a[i])` for every number.
fn map(a: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    map2(a, a, |a, _| f(a))
}

/// `f(a[i], b[i])` for every pair of numbers.
pub(super) fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "numbers without a partner");
    let write = |out: &mut [MaybeUninit<f32>]| {
        out.par_chunks_mut(TASK).zip(a.par_chunks(TASK)).zip(b.par_chunks(TASK)).for_each(|((out, a), b)| {
            lanes::wide!(|| {
                for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
                    out.write(f(a, b));
                }
            });
        });
    };
    // SAFETY: there are as many numbers in `a` and `b`, and one is written for each.
    #[allow(unsafe_code)]
    unsafe {
        filled(a.len(), write)
    }
}

/// `a[i] *= b[i]`.
fn multiply(a: &mut [f32], b: &[f32]) {
    a.par_chunks_mut(TASK).zip(b.par_chunks(TASK)).for_each(|(a, b)| {
        lanes::wide!(|| a.iter_mut().zip(b).for_each(|(a, b)| *a *= b));
    });
}

struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        output(map(input(x, layout)?, |x| x * lanes::normal(x).0), layout.shape())
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        lend([x, &grad.contiguous()?], |[values, grad]| {
            let dx = map2(values, grad, |x, grad| {
                let (phi, density) = lanes::normal(x);
                grad * x.mul_add(density, phi)
            });
            gradient(dx, x)
        })
    }
}

/// An activation `x share(x)` in a gated unit.
trait Gate: Send + Sync + 'static {
    const NAME: &'static str;

    fn share(x: f32) -> f32;

    /// The slope of the activation, times `up`.
    fn slope(x: f32, up: f32) -> f32;
}

struct Silu;

impl Gate for Silu {
    const NAME: &'static str = "swiglu";

    #[inline(always)]
    fn share(x: f32) -> f32 {
        lanes::sigmoid(x)
    }

    #[inline(always)]
    fn slope(x: f32, up: f32) -> f32 {
        let sigmoid = lanes::sigmoid(x);
        up * sigmoid * x.mul_add(1.0 - sigmoid, 1.0)
    }
}

impl Gate for Gelu {
    const NAME: &'static str = "geglu";

    #[inline(always)]
    fn share(x: f32) -> f32 {
        lanes::normal(x).0
    }

    #[inline(always)]
    fn slope(x: f32, up: f32) -> f32 {
        let (phi, density) = lanes::normal(x);
        up * x.mul_add(density, phi)
    }
}

struct GeluTanh;

impl GeluTanh {
    /// `2 sqrt(2 / pi)`.
    const FACTOR: f32 = FRAC_2_SQRT_PI * SQRT_2;
    const CUBIC: f32 = 0.044_715;
}

impl Gate for GeluTanh {
    const NAME: &'static str = "geglu_tanh";

    /// `(1 + tanh(u)) / 2`, which is the logistic function of `2 u`.
    #[inline(always)]
    fn share(x: f32) -> f32 {
        lanes::sigmoid(Self::FACTOR * x * (Self::CUBIC * x).mul_add(x, 1.0))
    }

    #[inline(always)]
    fn slope(x: f32, up: f32) -> f32 {
        // Beyond, the share is that of the ends, and the cube may overflow.
        let x = x.clamp(-20.0, 20.0);
        let share = Self::share(x);
        let inner = Self::FACTOR * (3.0 * Self::CUBIC * x).mul_add(x, 1.0);
        up * (x * inner).mul_add(share * (1.0 - share), share)
    }
}

struct Gated<G>(G);

impl<G: Gate> CustomOp2 for Gated<G> {
    fn name(&self) -> &'static str {
        G::NAME
    }

    fn cpu_fwd(&self, gate: &CpuStorage, gl: &Layout, up: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        if gl.shape() != ul.shape() {
            candle_core::bail!("{}: gate {:?}, up {:?}", G::NAME, gl.shape(), ul.shape());
        }
        output(map2(input(gate, gl)?, input(up, ul)?, |gate, up| gate * G::share(gate) * up), gl.shape())
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        lend([gate, up, &grad.contiguous()?], |[gates, ups, grads]| {
            let activated = map2(gates, grads, |gate, grad| grad * gate * G::share(gate));
            let mut dgate = map2(gates, ups, G::slope);
            multiply(&mut dgate, grads);
            Ok((gradient(dgate, gate)?, gradient(activated, up)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;

    #[test]
    fn gradients_match_finite_differences() {
        let wide = (random(1, &[6, 5]) * 4.0).unwrap();
        gradients(std::slice::from_ref(&wide), |x| gelu(&x[0]).unwrap());
        let gated = [wide, random(2, &[6, 5])];
        gradients(&gated, |x| swiglu(&x[0], &x[1]).unwrap());
        gradients(&gated, |x| geglu(&x[0], &x[1]).unwrap());
        gradients(&gated, |x| geglu_tanh(&x[0], &x[1]).unwrap());
    }

    #[test]
    fn extreme_inputs_stay_finite() {
        let x = Tensor::new(&[-1e30f32, -100.0, 0.0, 100.0, 1e30], &candle_core::Device::Cpu).unwrap();
        assert_eq!(gelu(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 0.0, 100.0, 1e30]);
        let gate = candle_core::Var::from_tensor(&x).unwrap();
        for op in [swiglu, geglu, geglu_tanh] {
            let gated = op(&gate, &x.ones_like().unwrap()).unwrap();
            let slopes = gated.sum_all().unwrap().backward().unwrap().get(&gate).unwrap().to_vec1::<f32>().unwrap();
            let found = gated.to_vec1::<f32>().unwrap().into_iter().chain(slopes);
            for (found, expected) in found.zip([0.0, 0.0, 0.0, 100.0, 1e30, 0.0, 0.0, 0.5, 1.0, 1.0]) {
                assert!((found - expected).abs() <= 1e-6 * (1.0 + expected.abs()), "{found}, expected {expected}");
            }
        }
    }
}
