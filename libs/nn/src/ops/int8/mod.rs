//! Affine layers in whole numbers of 8 bits, for models that only score.
//!
//! Inputs and weights are rotated together ([`rotation`]). Each output of a layer has its own unit for its weights, each token its own
//! for its activations: the largest magnitude is 127 units, and all else is rounded to whole units. Where AVX2 multiplies, 127 units are
//! the largest magnitude of two neighbouring weights together. Products are summed exactly, so that a result is the same whatever the
//! threads and the rest of the batch.

mod kernel;
mod rotation;
mod rounded;

use std::mem::MaybeUninit;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::norm::LayerNorm;
use super::{filled, lanes, lend, written};
use kernel::{Instructions, Kernel, Portable};
pub use rounded::Int8Weight;
use rounded::Rounded;

/// Rows of a parallel task at most, so that its rounded activations stay in a second-level cache: whole tiles of every kernel.
const TASK_ROWS: usize = 96;

/// Numbers between the two layers of a feed-forward block that a parallel task holds at most: they stay in a second-level cache.
const TASK_INNER: usize = 96 * 1024;

/// An affine layer: its weight and, where it has one, its bias.
pub type Int8Layer<'a> = (&'a Int8Weight, Option<&'a Tensor>);

/// What follows in a block that ends with a norm: the layer norm of the sum of `added` and the outputs of the block's layers.
#[derive(Debug, Clone, Copy)]
pub struct PostNorm<'a> {
    /// `[t, o]`.
    pub added: &'a Tensor,
    /// `[o]`.
    pub weight: &'a Tensor,
    /// `[o]`.
    pub bias: &'a Tensor,
    /// As of [`super::layer_norm`].
    pub eps: f64,
}

/// `x w^T + b` for each layer, without a graph.
///
/// # Shapes
/// `x` `[t, i]`, weights `[o, i]`, biases `[o]` -> `[t, o]`.
///
/// # Errors
/// Other shapes, and layers without outputs.
pub fn int8_linears<const N: usize>(x: &Tensor, layers: [Int8Layer<'_>; N]) -> Result<[Tensor; N]> {
    const { assert!(N > 0, "one layer at least") }
    let (tokens, inputs) = x.dims2()?;
    let biases: Vec<_> = layers.iter().map(|&layer| bias(layer, inputs)).collect::<Result<_>>()?;
    let layers = affine(&layers, &biases);
    let y = lend([&x.contiguous()?], |[x]| Ok(outputs(&Plan { before: &[], last: &layers, then: None }, x)))?;
    let y = Tensor::from_vec(y, tokens * widths(&layers).sum::<usize>(), &Device::Cpu)?;
    let mut start = 0;
    let parts = widths(&layers).map(|width| {
        let from = start;
        start += tokens * width;
        y.narrow(0, from, tokens * width)?.reshape((tokens, width))
    });
    let parts = parts.collect::<Result<Vec<_>>>()?;
    Ok(parts.try_into().expect("an output of each layer"))
}

/// Affine layers, each on the GELU of the outputs of the one before, without a graph, and the norm that may follow. The GELU is that of
/// [`super::gelu`], to 6e-5 or a millionth of its input. The bits are those of one operation after the other.
///
/// # Shapes
/// `x` `[t, i]`, weights `[n, i]`, ..., `[o, m]` -> `[t, o]`.
///
/// # Errors
/// No layer, other shapes, and layers without outputs.
pub fn int8_block(x: &Tensor, layers: &[Int8Layer<'_>], then: Option<PostNorm<'_>>) -> Result<Tensor> {
    let (tokens, inputs) = x.dims2()?;
    let inputs = std::iter::once(inputs).chain(layers.iter().map(|(weight, _)| weight.outputs()));
    let biases: Vec<_> =
        layers.iter().zip(inputs).map(|(&layer, inputs)| bias(layer, inputs)).collect::<Result<_>>()?;
    let layers = affine(layers, &biases);
    let Some((last, before)) = layers.split_last() else { candle_core::bail!("linear in int8: no layer") };
    let shape = (tokens, last.weight.outputs());
    let last = std::slice::from_ref(last);
    let y = match then {
        None => lend([&x.contiguous()?], |[x]| Ok(outputs(&Plan { before, last, then: None }, x)))?,
        Some(PostNorm { added, weight, bias, eps }) => {
            if added.dims2()? != shape || [weight, bias].into_iter().any(|vector| vector.dims() != [shape.1]) {
                candle_core::bail!(
                    "linear in int8: outputs {shape:?}, added to {added:?}, norm of {weight:?} and {bias:?}"
                );
            }
            lend([&x.contiguous()?, &added.contiguous()?, weight, bias], |[x, added, weight, bias]| {
                let then = SumNorm { added, norm: LayerNorm { eps: eps as f32 }, weight, bias };
                Ok(outputs(&Plan { before, last, then: Some(then) }, x))
            })?
        }
    };
    Tensor::from_vec(y, shape, &Device::Cpu)
}

/// The bias of a layer of so many inputs, zeros where it has none.
fn bias((weight, bias): Int8Layer<'_>, inputs: usize) -> Result<Vec<f32>> {
    let outputs = weight.outputs();
    if inputs * outputs == 0 || inputs != weight.inputs || bias.is_some_and(|bias| bias.elem_count() != outputs) {
        candle_core::bail!(
            "linear in int8: inputs {inputs}, weight [{outputs}, {}], bias {:?}",
            weight.inputs,
            bias.map(Tensor::dims)
        );
    }
    bias.map_or_else(|| Ok(vec![0.0; outputs]), |bias| bias.flatten_all()?.to_vec1())
}

fn affine<'a>(layers: &[Int8Layer<'a>], biases: &'a [Vec<f32>]) -> Vec<Layer<'a>> {
    layers.iter().zip(biases).map(|((weight, _), bias)| Layer { weight, bias }).collect()
}

/// The numbers of outputs of layers.
fn widths(layers: &[Layer<'_>]) -> impl Iterator<Item = usize> {
    layers.iter().map(|layer| layer.weight.outputs())
}

/// An affine layer.
#[derive(Clone, Copy)]
struct Layer<'a> {
    weight: &'a Int8Weight,
    bias: &'a [f32],
}

/// What is computed of each token.
struct Plan<'a> {
    /// A chain of layers, each on the GELU of the outputs of the one before.
    before: &'a [Layer<'a>],
    /// The layers on the GELU of what the chain ends with, or on `x`: one at least, all with outputs.
    last: &'a [Layer<'a>],
    /// What becomes of the outputs of the only last layer.
    then: Option<SumNorm<'a>>,
}

/// The norm of the sum with the outputs.
#[derive(Clone, Copy)]
struct SumNorm<'a> {
    added: &'a [f32],
    norm: LayerNorm,
    weight: &'a [f32],
    bias: &'a [f32],
}

impl SumNorm<'_> {
    /// Changes the outputs from number `start` on.
    #[inline(always)]
    fn apply(&self, start: usize, y: &mut [f32]) {
        let width = self.weight.len();
        for (y, added) in y.chunks_exact_mut(width).zip(self.added[start..].chunks_exact(width)) {
            lanes::add_to(y, added);
            self.norm.norm(y, self.weight, self.bias);
        }
    }
}

/// The outputs of the last layers, `[t, o]` each, one layer after another.
fn outputs(plan: &Plan<'_>, x: &[f32]) -> Vec<f32> {
    let instructions = plan.last[0].weight.instructions;
    assert!(
        plan.before.iter().chain(plan.last).all(|layer| layer.weight.instructions == instructions),
        "layers laid out for other instructions"
    );
    match instructions {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx => plan.outputs::<kernel::Amx>(x),
        #[cfg(target_arch = "x86_64")]
        Instructions::Vnni => plan.outputs::<kernel::Vnni>(x),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => plan.outputs::<kernel::Avx2>(x),
        Instructions::Portable => plan.outputs::<Portable>(x),
    }
}

impl Plan<'_> {
    fn outputs<K: Kernel>(&self, x: &[f32]) -> Vec<f32> {
        let inputs = self.before.first().unwrap_or(&self.last[0]).weight.inputs;
        let tokens = x.len() / inputs;
        if tokens == 0 {
            return Vec::new();
        }
        let inner = widths(self.before).map(|width| TASK_INNER / width).min();
        let most = inner.map_or(TASK_ROWS, |rows| (rows / K::ROWS * K::ROWS).clamp(K::ROWS, TASK_ROWS));
        let rows = tokens.div_ceil(rayon::current_num_threads()).next_multiple_of(K::ROWS).min(most);
        let write = |mut y: &mut [MaybeUninit<f32>]| {
            let mut tasks: Vec<_> = (0..tokens.div_ceil(rows)).map(|_| Vec::new()).collect();
            for width in widths(self.last) {
                let own = y.split_off_mut(..tokens * width).expect("outputs of all layers");
                tasks.iter_mut().zip(own.chunks_mut(rows * width)).for_each(|(task, own)| task.push(own));
            }
            tasks.into_par_iter().zip(x.par_chunks(rows * inputs)).enumerate().for_each(|(task, (y, x))| {
                K::prepared(|| self.write::<K>(task * rows, x, inputs, y));
            });
        };
        // SAFETY: the tasks have all rows of all layers, and each writes all columns of its own, as all layers are laid out for this
        // kernel.
        #[allow(unsafe_code)]
        unsafe {
            filled(tokens * widths(self.last).sum::<usize>(), write)
        }
    }

    /// Writes all outputs of the tokens from `first` on, with a slice for each last layer.
    fn write<K: Kernel>(&self, first: usize, x: &[f32], inputs: usize, outputs: Vec<&mut [MaybeUninit<f32>]>) {
        let mut x = lanes::wide!(|| Rounded::<K>::of(x, inputs));
        for layer in self.before {
            x = layer.rounded_gelu(&x);
        }
        for (layer, y) in self.last.iter().zip(outputs) {
            lanes::wide!(|| layer.weight.write_rows::<K>(&x, y, layer.bias, |y| y));
            if let Some(then) = &self.then {
                // SAFETY: all columns of all rows were written.
                #[allow(unsafe_code)]
                let y = unsafe { written(y) };
                lanes::wide!(|| then.apply(first * layer.weight.outputs(), y));
            }
        }
    }
}

impl Layer<'_> {
    /// The GELU of the outputs, rounded.
    fn rounded_gelu<K: Kernel>(&self, x: &Rounded<K>) -> Rounded<K> {
        let Self { weight, bias } = self;
        let write = |y: &mut [MaybeUninit<f32>]| {
            lanes::wide!(|| weight.write_rows::<K>(x, y, bias, lanes::near_gelu));
        };
        // SAFETY: it writes all columns of all rows.
        #[allow(unsafe_code)]
        let y = unsafe { filled(x.units.len() * weight.outputs(), write) };
        lanes::wide!(|| Rounded::<K>::of(&y, weight.outputs()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check::random;
    use super::*;
    use crate::ops::{Precision::F32, gelu, layer_norm, linear, residual};

    fn product(weight: &Int8Weight, x: &[f32], bias: &[f32]) -> Vec<f32> {
        outputs(&Plan { before: &[], last: &[Layer { weight, bias }], then: None }, x)
    }

    fn here() -> impl Iterator<Item = Instructions> {
        Instructions::all().into_iter().filter(|instructions| instructions.are_here())
    }

    /// Rows that are rotated to whole numbers, of which the first of each, or the first two together where two are to be 127 at most,
    /// are 127, so that all are their own roundings.
    fn numbers(seed: u64, [rows, cols]: [usize; 2], in_pairs: bool) -> Vec<f32> {
        let mut rng = ranking::rng::stream(seed, "test", 0);
        let largest = if in_pairs { 63 } else { 127 };
        let mut draw = || (rand::Rng::next_u32(&mut rng) % (2 * largest + 1)) as f32 - largest as f32;
        let number = |index: usize| match (index % cols, in_pairs && cols > 1) {
            (0, false) => 127.0,
            (0, true) => -64.0,
            (1, true) => 63.0,
            _ => draw(),
        };
        let numbers: Vec<_> = (0..rows * cols).map(number).collect();
        numbers.chunks(cols).flat_map(rotation::tests::turned_back).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn rows_that_are_rotated_to_whole_numbers_are_multiplied_exactly(
            tokens in prop_oneof![1usize..20, 95usize..110],
            inputs in 1usize..140,
            outputs in 1usize..80,
        ) {
            let x = numbers(1, [tokens, inputs], false);
            for instructions in here() {
                let weight = numbers(2, [outputs, inputs], instructions.adds_in_16_bits());
                let products = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| x * w).sum::<f32>();
                let outputs_of = |x: &[f32]| weight.chunks(inputs).map(|w| 0.5 + products(x, w)).collect::<Vec<_>>();
                let expected: Vec<f32> = x.chunks(inputs).flat_map(outputs_of).collect();
                let weight = Int8Weight::laid_out(&weight, inputs, instructions);
                let found = product(&weight, &x, &vec![0.5; outputs]);
                prop_assert_eq!(&found, &expected, "{:?}", instructions);
            }
        }
    }

    /// Feed-forward blocks of 70 tokens, 130 wide with 48 numbers inside: by floats, and by these instructions.
    fn blocks(instructions: impl Iterator<Item = Instructions>) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (x, weights) = (random(1, &[70, 130]), [random(2, &[48, 130]), random(4, &[130, 48])]);
        let biases = [random(3, &[48]), random(5, &[130])];
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let inner = gelu(&linear(&x, &weights[0], Some(&biases[0]), F32).unwrap()).unwrap();
        let exact = values(&linear(&inner, &weights[1], Some(&biases[1]), F32).unwrap());
        let (x, biases) = (values(&x), biases.each_ref().map(values));
        let block = |instructions| {
            let [up, down] = [(&weights[0], 130), (&weights[1], 48)]
                .map(|(weight, inputs)| Int8Weight::laid_out(&values(weight), inputs, instructions));
            let [up, down] = [Layer { weight: &up, bias: &biases[0] }, Layer { weight: &down, bias: &biases[1] }];
            outputs(&Plan { before: &[up], last: &[down], then: None }, &x)
        };
        (exact, instructions.map(block).collect())
    }

    #[test]
    fn rounding_costs_less_than_a_fiftieth_and_is_the_same_by_all_instructions_with_the_same_units() {
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
        for in_pairs in [false, true] {
            let (exact, results) = blocks(here().filter(|instructions| instructions.adds_in_16_bits() == in_pairs));
            for result in &results {
                let error = norm(&mut exact.iter().zip(result).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
                assert!((1e-4..2e-2).contains(&error), "{error}");
                assert_eq!(result, &results[0]);
            }
        }
    }

    #[test]
    fn a_token_has_the_same_outputs_alone() {
        let x = random(1, &[100, 48]);
        let [up, down] = [random(2, &[20, 48]), random(3, &[48, 20])].map(|weight| Int8Weight::of(&weight).unwrap());
        let block = |x: &Tensor| int8_block(x, &[(&up, None), (&down, None)], None).unwrap();
        let rows = |x: &Tensor| block(x).to_vec2::<f32>().unwrap();
        let together = rows(&x);
        for (token, outputs) in together.iter().enumerate() {
            assert_eq!(rows(&x.narrow(0, token, 1).unwrap())[0], *outputs);
        }
    }

    #[test]
    fn several_layers_and_a_norm_at_the_end_give_the_bits_of_one_operation_after_the_other() {
        let x = random(1, &[200, 48]);
        let weights = [random(2, &[20, 48]), random(3, &[40, 48]), random(4, &[48, 20])];
        let [up, other, down] = weights.each_ref().map(|weight| Int8Weight::of(weight).unwrap());
        let biases = [random(5, &[20]), random(6, &[40]), random(7, &[48])];
        let values = |x: &Tensor| x.to_vec2::<f32>().unwrap();

        let alone = |weight, bias| int8_block(&x, &[(weight, Some(bias))], None).unwrap();
        let [first, second] = int8_linears(&x, [(&up, Some(&biases[0])), (&other, Some(&biases[1]))]).unwrap();
        assert_eq!(values(&first), values(&alone(&up, &biases[0])));
        assert_eq!(values(&second), values(&alone(&other, &biases[1])));

        let layers = [(&up, Some(&biases[0])), (&down, Some(&biases[2]))];
        let (weight, bias, eps) = (random(8, &[48]), random(9, &[48]), 1e-5);
        let sum = residual(&x, &int8_block(&x, &layers, None).unwrap(), None).unwrap();
        let expected = layer_norm(&sum, &weight, Some(&bias), eps).unwrap();
        let then = PostNorm { added: &x, weight: &weight, bias: &bias, eps };
        assert_eq!(values(&int8_block(&x, &layers, Some(then)).unwrap()), values(&expected));
    }

    #[test]
    fn what_is_not_finite_stays_so_in_its_row_alone() {
        let weight = Int8Weight::of(&random(2, &[3, 4])).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::new(&[[1.0, bad, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0], [0.0; 4]], &Device::Cpu).unwrap();
            let y = int8_block(&x, &[(&weight, None)], None).unwrap().to_vec2::<f32>().unwrap();
            assert!(y[0].iter().all(|y| y.is_nan()) && y[1].iter().all(|y| y.is_finite()));
            assert_eq!(y[2], [0.0; 3]);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let weight = Int8Weight::of(&random(2, &[2, 3])).unwrap();
        let block =
            |x: &[usize], bias: Option<&Tensor>, then| int8_block(&random(1, x), &[(&weight, bias)], then).is_err();
        let (x, two, three) = (random(4, &[4, 2]), random(5, &[2]), random(6, &[3]));
        assert!(block(&[4, 4], None, None) && block(&[4, 3], Some(&three), None));
        for (x, weight, bias) in [(&random(4, &[3, 2]), &two, &two), (&x, &three, &two), (&x, &two, &three)] {
            assert!(block(&[4, 3], None, Some(PostNorm { added: x, weight, bias, eps: 0.0 })));
        }
        assert!(int8_linears(&random(1, &[4, 4]), [(&weight, None)]).is_err());
        assert!(int8_block(&random(1, &[4, 3]), &[], None).is_err());
        let none = Int8Weight::of(&Tensor::zeros((0, 3), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert!(int8_linears(&random(1, &[4, 3]), [(&none, None), (&weight, None)]).is_err());
        assert!(Int8Weight::of(&random(2, &[6])).is_err());
    }
}
