//! Element-wise activations.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::{TASK, gradient, input, lanes, lend, output};

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
    gate.apply_op2(up, Swiglu)
}

/// `f(a[i])` for every number.
fn map(a: &[f32], f: impl Fn(f32) -> f32 + Sync) -> Vec<f32> {
    map2(a, a, |a, _| f(a))
}

/// `f(a[i], b[i])` for every pair of numbers.
fn map2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32 + Sync) -> Vec<f32> {
    assert_eq!(a.len(), b.len(), "numbers without a partner");
    let mut out = Vec::with_capacity(a.len());
    let unwritten = &mut out.spare_capacity_mut()[..a.len()];
    unwritten.par_chunks_mut(TASK).zip(a.par_chunks(TASK)).zip(b.par_chunks(TASK)).for_each(|((out, a), b)| {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            out.write(f(a, b));
        }
    });
    // SAFETY: there is room for as many numbers as `a` and `b` have, and each was written.
    #[allow(unsafe_code)]
    unsafe {
        out.set_len(a.len());
    }
    out
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

struct Swiglu;

impl CustomOp2 for Swiglu {
    fn name(&self) -> &'static str {
        "swiglu"
    }

    fn cpu_fwd(&self, gate: &CpuStorage, gl: &Layout, up: &CpuStorage, ul: &Layout) -> Result<(CpuStorage, Shape)> {
        if gl.shape() != ul.shape() {
            candle_core::bail!("swiglu: gate {:?}, up {:?}", gl.shape(), ul.shape());
        }
        output(map2(input(gate, gl)?, input(up, ul)?, |gate, up| gate * lanes::sigmoid(gate) * up), gl.shape())
    }

    fn bwd(&self, gate: &Tensor, up: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        lend([gate, up, &grad.contiguous()?], |[gates, ups, grads]| {
            let silu = map2(gates, grads, |gate, grad| grad * gate * lanes::sigmoid(gate));
            let mut dgate = map2(gates, ups, |gate, up| {
                let sigmoid = lanes::sigmoid(gate);
                up * sigmoid * gate.mul_add(1.0 - sigmoid, 1.0)
            });
            dgate.par_chunks_mut(TASK).zip(grads.par_chunks(TASK)).for_each(|(dgate, grads)| {
                dgate.iter_mut().zip(grads).for_each(|(dgate, grad)| *dgate *= grad);
            });
            Ok((gradient(dgate, gate)?, gradient(silu, up)?))
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
        gradients(&[wide, random(2, &[6, 5])], |x| swiglu(&x[0], &x[1]).unwrap());
    }

    #[test]
    fn extreme_inputs_stay_finite() {
        let x = Tensor::new(&[-1e30f32, -100.0, 0.0, 100.0, 1e30], &candle_core::Device::Cpu).unwrap();
        assert_eq!(gelu(&x).unwrap().to_vec1::<f32>().unwrap(), [0.0, 0.0, 0.0, 100.0, 1e30]);
        let gated = swiglu(&x, &x.ones_like().unwrap()).unwrap().to_vec1::<f32>().unwrap();
        assert!(gated.iter().all(|y| y.is_finite()), "{gated:?}");
    }
}
