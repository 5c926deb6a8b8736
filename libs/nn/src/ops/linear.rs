//! The affine layer.

use candle_core::{CpuStorage, CustomOp2, CustomOp3, Device, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::Precision;
use super::gemm::{Compute, Instructions, Matrix, RightFactor, product, product_by_rows};
use super::{gradient, input, lanes, lend, output, task_rows};

/// `y = x w^T + b`. A row of `y` has the same bits whatever other rows stand beside it.
///
/// # Shapes
/// `x` `[t, i]`, `weight` `[o, i]`, `bias` `[o]` -> `[t, o]`.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>, precision: Precision) -> Result<Tensor> {
    let linear = Linear { precision };
    match bias {
        Some(bias) => x.apply_op3(weight, bias, linear),
        None => x.apply_op2(weight, linear),
    }
}

struct Linear {
    precision: Precision,
}

impl Linear {
    fn compute(&self) -> Compute {
        Compute::shared(self.precision)
    }

    fn forward(
        &self,
        x: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        shapes: [&Layout; 2],
    ) -> Result<(CpuStorage, Shape)> {
        let ((t, i), (o, weight_i)) = (shapes[0].shape().dims2()?, shapes[1].shape().dims2()?);
        if i != weight_i || bias.is_some_and(|bias| bias.len() != o) {
            candle_core::bail!("linear: input [{t}, {i}], weight [{o}, {weight_i}], bias {:?}", bias.map(<[f32]>::len));
        }
        output(affine(Matrix::new(x, i), Matrix::new(weight, i), bias, self.compute()), (t, o))
    }

    fn backward(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (o, i) = weight.dims2()?;
        lend([x, weight, grad], |[x_values, weight_values, grad]| {
            let grad = Matrix::new(grad, o);
            let mut result = (None, None);
            if x.track_op() {
                let dx = product(grad, Matrix::new(weight_values, i), 1.0, self.compute());
                result.0 = gradient(dx, x)?;
            }
            if weight.track_op() {
                let dw = product(grad.t(), Matrix::new(x_values, i), 1.0, self.compute());
                result.1 = gradient(dw, weight)?;
            }
            Ok(result)
        })
    }
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, w: &CpuStorage, wl: &Layout) -> Result<(CpuStorage, Shape)> {
        self.forward(input(x, xl)?, input(w, wl)?, None, [xl, wl])
    }

    fn bwd(&self, x: &Tensor, w: &Tensor, _: &Tensor, grad: &Tensor) -> Result<(Option<Tensor>, Option<Tensor>)> {
        self.backward(x, w, &grad.contiguous()?)
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        w: &CpuStorage,
        wl: &Layout,
        b: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        self.forward(input(x, xl)?, input(w, wl)?, Some(input(b, bl)?), [xl, wl])
    }

    fn bwd(
        &self,
        x: &Tensor,
        w: &Tensor,
        b: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let (dx, dw) = self.backward(x, w, &grad)?;
        let db =
            if b.track_op() { lend([&grad], |[grad]| gradient(column_sums(grad, b.elem_count()), b))? } else { None };
        Ok((dx, dw, db))
    }
}

/// `x w^T + b`, whose rows have the same bits whatever other rows stand beside them.
///
/// # Shapes
/// `x` `[t, i]`, `weight` `[o, i]`, `bias` `[o]` -> `[t, o]`.
pub(super) fn affine(x: Matrix<'_>, weight: Matrix<'_>, bias: Option<&[f32]>, compute: Compute) -> Vec<f32> {
    with_bias(product_by_rows(x, weight.t(), compute), bias)
}

/// Adds the bias to every row.
fn with_bias(mut y: Vec<f32>, bias: Option<&[f32]>) -> Vec<f32> {
    if let Some(bias) = bias {
        let o = bias.len();
        let add = |rows: &mut [f32]| rows.chunks_exact_mut(o).for_each(|row| lanes::add_to(row, bias));
        y.par_chunks_mut((task_rows(o) * o).max(1)).for_each(add);
    }
    y
}

/// The weight `[o, i]` of an affine layer for a model that only scores: rounded to bf16 and packed for this processor's instructions.
#[derive(Debug)]
pub struct Bf16Weight(RightFactor);

impl Bf16Weight {
    /// Rounds and packs the weights of an affine layer.
    ///
    /// # Shapes
    /// `weight` `[o, i]`.
    ///
    /// # Errors
    /// Another shape, no numbers, and a processor without instructions for bf16.
    pub fn of(weight: &Tensor) -> Result<Self> {
        let (o, i) = weight.dims2()?;
        let instructions = Instructions::native().filter(|_| o * i > 0);
        let Some(instructions) = instructions else { candle_core::bail!("linear in bf16: weight [{o}, {i}]") };
        let weight = weight.contiguous()?;
        lend([&weight], |[values]| Ok(Self(RightFactor::of(Matrix::new(values, i).t(), instructions))))
    }
}

/// As [`linear`] in bf16, with the same bits, without a graph.
///
/// # Shapes
/// `x` `[t, i]`, `weight` `[o, i]`, `bias` `[o]` -> `[t, o]`.
///
/// # Errors
/// Other shapes.
pub fn bf16_linear(x: &Tensor, weight: &Bf16Weight, bias: Option<&Tensor>) -> Result<Tensor> {
    let (shape, (i, o)) = (x.dims2()?, (weight.0.rows(), weight.0.cols()));
    if shape.1 != i || bias.is_some_and(|bias| bias.dims() != [o]) {
        candle_core::bail!("linear in bf16: input {shape:?}, weight [{o}, {i}], bias {:?}", bias.map(Tensor::dims));
    }
    let x = x.contiguous()?;
    let product = lend([&x], |[x]| Ok(weight.0.product(Matrix::new(x, i))))?;
    let y = match bias {
        None => product,
        Some(bias) => lend([&bias.contiguous()?], |[bias]| Ok(with_bias(product, Some(bias))))?,
    };
    Tensor::from_vec(y, (shape.0, o), &Device::Cpu)
}

/// The sum of rows of width `d`.
fn column_sums(rows: &[f32], d: usize) -> Vec<f32> {
    sum_tasks(rows.len() / d, d, d, |range, sums| {
        rows[range.start * d..range.end * d].chunks_exact(d).for_each(|row| lanes::add_to(sums, row));
    })
}

/// Adds up `width` sums over `rows` rows of width `d`: tasks in parallel, their sums in order.
pub(super) fn sum_tasks(
    rows: usize,
    d: usize,
    width: usize,
    task: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync,
) -> Vec<f32> {
    let step = task_rows(d);
    let parts: Vec<Vec<f32>> = (0..rows.div_ceil(step))
        .into_par_iter()
        .map(|index| {
            let mut sums = vec![0.0; width];
            task(index * step..rows.min((index + 1) * step), &mut sums);
            sums
        })
        .collect();
    let mut total = vec![0.0; width];
    parts.iter().for_each(|part| lanes::add_to(&mut total, part));
    total
}

#[cfg(test)]
mod tests {
    use super::super::check::{gradients, random};
    use super::*;
    use crate::ops::Precision::{Bf16, F32};

    #[test]
    fn gradients_match_finite_differences() {
        let inputs = [random(1, &[5, 7]), random(2, &[3, 7]), random(3, &[3])];
        gradients(&inputs, |x| linear(&x[0], &x[1], Some(&x[2]), F32).unwrap());
        gradients(&inputs[..2], |x| linear(&x[0], &x[1], None, F32).unwrap());
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() {
        let (x, w) = (candle_core::Var::from_tensor(&random(1, &[4, 3])).unwrap(), random(2, &[2, 3]));
        let grads = linear(&x, &w, None, F32).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(x.as_tensor()).is_some());
        assert!(grads.get(&w).is_none());
    }

    #[test]
    fn bf16_rounds_what_is_multiplied_and_nothing_else() {
        // 1 + 1/256 is 1 in bf16; the bias and the sums keep it.
        let x = Tensor::new(&[[1.0f32 + 1.0 / 256.0, 3.0]], &candle_core::Device::Cpu).unwrap();
        let weight = Tensor::new(&[[1.0f32, 1.0 / 256.0]], &candle_core::Device::Cpu).unwrap();
        let bias = Tensor::new(&[1.0f32 / 1024.0], &candle_core::Device::Cpu).unwrap();
        let y = |precision| {
            let y = linear(&x, &weight, Some(&bias), precision).unwrap().flatten_all().unwrap();
            y.to_vec1::<f32>().unwrap()[0]
        };
        assert_eq!(y(F32), 1.0 + 4.0 / 256.0 + 1.0 / 1024.0);
        assert_eq!(y(Bf16), 1.0 + 3.0 / 256.0 + 1.0 / 1024.0);
    }

    #[test]
    fn bf16_rounds_what_gradients_are_products_of() {
        let upstream = random(3, &[50, 33]);
        let tensors = [random(1, &[50, 70]), random(2, &[33, 70])].map(|x| candle_core::Var::from_tensor(&x).unwrap());
        let grads = |precision| {
            let y = linear(&tensors[0], &tensors[1], None, precision).unwrap();
            let grads = (y * &upstream).unwrap().sum_all().unwrap().backward().unwrap();
            tensors.each_ref().map(|x| grads.get(x).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
        };
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
        for (exact, rounded) in grads(F32).iter().zip(&grads(Bf16)) {
            let error = norm(&mut exact.iter().zip(rounded).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
            assert!((1e-4..1e-2).contains(&error), "{error}");
        }
    }

    #[test]
    fn packed_weights_give_the_same_bits() {
        if !Bf16.rounds_once() {
            println!("skipped: this processor has no instructions for bf16");
            return;
        }
        let bias = random(3, &[2100]);
        // More columns than a block has, and more summands.
        for (t, i, o) in [(0, 3, 2), (1, 1, 1), (3, 40, 1), (70, 384, 96), (30, 1600, 2100)] {
            let (x, weight) = (random(1, &[t, i]), random(2, &[o, i]));
            let packed = Bf16Weight::of(&weight).unwrap();
            for bias in [None, Some(bias.narrow(0, 0, o).unwrap())] {
                let expected = linear(&x, &weight, bias.as_ref(), Bf16).unwrap();
                let found = bf16_linear(&x, &packed, bias.as_ref()).unwrap();
                assert_eq!(found.to_vec2::<f32>().unwrap(), expected.to_vec2::<f32>().unwrap(), "{t} {i} {o}");
            }
        }
        let packed = Bf16Weight::of(&random(2, &[2, 3])).unwrap();
        assert!(bf16_linear(&random(1, &[4, 2]), &packed, None).is_err());
        assert!(bf16_linear(&random(1, &[4, 3]), &packed, Some(&random(3, &[3]))).is_err());
        assert!(Bf16Weight::of(&random(2, &[6])).is_err() && Bf16Weight::of(&random(2, &[0, 3])).is_err());
    }

    #[test]
    fn other_shapes_are_refused() {
        assert!(linear(&random(1, &[4, 3]), &random(2, &[2, 4]), None, F32).is_err());
        assert!(linear(&random(1, &[4, 3]), &random(2, &[2, 3]), Some(&random(3, &[3])), F32).is_err());
    }
}
