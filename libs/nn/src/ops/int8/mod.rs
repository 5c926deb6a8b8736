//! Affine layers in whole numbers of 8 bits, for models that only score.
//!
//! Each output of a layer has its own unit for its weights, each token its own for its activations: the largest magnitude is 127
//! units, and all else is rounded to whole units. Where AVX2 multiplies, 127 units are the largest magnitude of two neighbouring
//! weights together. Products are summed exactly, so that a result is the same whatever the threads and the rest of the batch.

mod kernel;

use std::mem::MaybeUninit;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::{filled, lanes, lend};
use kernel::{Instructions, Kernel, Portable, TILE};

/// Units of the largest magnitude.
const LARGEST: f32 = 127.0;
/// Rows of a parallel task at most, so that its rounded activations stay in a second-level cache: whole tiles of every kernel.
const TASK_ROWS: usize = 96;
/// Neighbours along the dimension summed over that the instructions multiply at once.
const QUAD: usize = 4;

/// Numbers between the two layers of a feed-forward block that a parallel task holds at most: they stay in a second-level cache.
const TASK_INNER: usize = 96 * 1024;

/// The weights `[o, i]` of an affine layer, rounded and laid out for the instructions of this processor.
#[derive(Debug)]
pub struct Int8Weight {
    instructions: Instructions,
    inputs: usize,
    /// Panels of columns (outputs): for each four inputs, four numbers of each column; 0 beyond the edges. A panel has
    /// [`Kernel::DEPTH`] inputs or a multiple.
    panels: Vec<i8>,
    /// The unit of each output.
    units: Vec<f32>,
    /// The sum of each output's numbers.
    sums: Vec<i32>,
}

impl Int8Weight {
    /// Rounds the weights of an affine layer.
    ///
    /// # Shapes
    /// `weight` `[o, i]`.
    ///
    /// # Errors
    /// Another shape.
    pub fn of(weight: &Tensor) -> Result<Self> {
        let (_, inputs) = weight.dims2()?;
        lend([&weight.contiguous()?], |[values]| Ok(Self::laid_out(values, inputs, Instructions::native())))
    }

    fn laid_out(weight: &[f32], inputs: usize, instructions: Instructions) -> Self {
        let columns = instructions.columns();
        let outputs = weight.len() / inputs.max(1);
        let panel = inputs.next_multiple_of(instructions.depth()) * columns;
        let mut panels = vec![0; outputs.div_ceil(columns) * panel];
        let (mut units, mut sums) = (Vec::with_capacity(outputs), Vec::with_capacity(outputs));
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let (inverse, unit) = unit(row, if instructions.adds_in_16_bits() { 2 } else { 1 });
            units.push(unit);
            let to = &mut panels[output / columns * panel..][output % columns * QUAD..];
            let mut sum = 0;
            for (index, &value) in row.iter().enumerate() {
                let number = round(value, inverse);
                sum += i32::from(number);
                to[index / QUAD * columns * QUAD + index % QUAD] = number;
            }
            sums.push(sum);
        }
        Self { instructions, inputs, panels, units, sums }
    }

    fn outputs(&self) -> usize {
        self.units.len()
    }

    /// `x w^T + b`, without a graph.
    ///
    /// # Shapes
    /// `x` `[t, i]`, `bias` `[o]` -> `[t, o]`.
    ///
    /// # Errors
    /// Other shapes.
    pub fn apply(&self, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        chain(x, &[(self, bias)])
    }

    /// Writes every number of `y`, the outputs of some tokens.
    #[inline(always)]
    fn write_rows<K: Kernel>(
        &self,
        x: &Rounded<K>,
        y: &mut [MaybeUninit<f32>],
        bias: &[f32],
        then: impl Fn(f32) -> f32 + Copy,
    ) {
        let (outputs, width) = (self.outputs(), self.inputs.next_multiple_of(K::DEPTH));
        let mut tile = [0; TILE];
        for (panel, first) in self.panels.chunks_exact(width * K::COLUMNS).zip((0..).step_by(K::COLUMNS)) {
            let columns = first..outputs.min(first + K::COLUMNS);
            let blocks = x.numbers.chunks_exact(width * K::ROWS).zip(x.units.chunks(K::ROWS));
            for ((rows, units), y) in blocks.zip(y.chunks_mut(K::ROWS * outputs)) {
                K::multiply(rows, panel, &mut tile);
                let rows = y.chunks_exact_mut(outputs).zip(tile.chunks_exact(K::COLUMNS)).zip(units);
                for ((y, sums), &unit) in rows {
                    self.write_row::<K>(&mut y[columns.clone()], sums, unit, first, &bias[first..], then);
                }
            }
        }
    }

    /// Writes the outputs of one token from output `first` on.
    #[inline(always)]
    fn write_row<K: Kernel>(
        &self,
        y: &mut [MaybeUninit<f32>],
        sums: &[i32],
        unit: f32,
        first: usize,
        bias: &[f32],
        then: impl Fn(f32) -> f32,
    ) {
        let columns = self.units[first..].iter().zip(&self.sums[first..]).zip(sums).zip(bias);
        for (y, (((&column, &weights), &sum), &bias)) in y.iter_mut().zip(columns) {
            y.write(then((sum - K::excess(weights)) as f32 * (unit * column) + bias));
        }
    }
}

/// `gelu(x w^T + b) v^T + c` for the layers `(w, b)` and `(v, c)`, without a graph; the GELU is that of [`super::gelu`], to 6e-5 or a
/// millionth of its input. The bits are those of one layer after the other.
///
/// # Shapes
/// `x` `[t, i]`, `w` `[n, i]`, `v` `[o, n]` -> `[t, o]`.
///
/// # Errors
/// Other shapes.
pub fn int8_feed_forward(x: &Tensor, layers: [(&Int8Weight, Option<&Tensor>); 2]) -> Result<Tensor> {
    chain(x, &layers)
}

/// Affine layers, each on the GELU of the outputs of the one before.
fn chain(x: &Tensor, layers: &[(&Int8Weight, Option<&Tensor>)]) -> Result<Tensor> {
    let (tokens, mut width) = x.dims2()?;
    let mut biases = Vec::with_capacity(layers.len());
    for (weight, bias) in layers {
        if width == 0 || width != weight.inputs || bias.is_some_and(|bias| bias.elem_count() != weight.outputs()) {
            candle_core::bail!(
                "linear in int8: input [{tokens}, {width}], weight [{}, {}], bias {:?}",
                weight.outputs(),
                weight.inputs,
                bias.map(Tensor::dims)
            );
        }
        width = weight.outputs();
        biases.push(bias.map_or_else(|| Ok(vec![0.0; width]), |bias| bias.flatten_all()?.to_vec1())?);
    }
    let layers: Vec<Layer<'_>> =
        layers.iter().zip(&biases).map(|((weight, _), bias)| Layer { weight, bias: bias.as_slice() }).collect();
    let y = lend([&x.contiguous()?], |[x]| Ok(outputs(&layers, x)))?;
    Tensor::from_vec(y, (tokens, width), &Device::Cpu)
}

/// An affine layer.
#[derive(Clone, Copy)]
struct Layer<'a> {
    weight: &'a Int8Weight,
    bias: &'a [f32],
}

/// The outputs of a chain of layers, one at least.
fn outputs(layers: &[Layer<'_>], x: &[f32]) -> Vec<f32> {
    let instructions = layers[0].weight.instructions;
    assert!(
        layers.iter().all(|layer| layer.weight.instructions == instructions),
        "layers laid out for other instructions"
    );
    match instructions {
        #[cfg(target_arch = "x86_64")]
        Instructions::Amx => outputs_by::<kernel::Amx>(layers, x),
        #[cfg(target_arch = "x86_64")]
        Instructions::Vnni => outputs_by::<kernel::Vnni>(layers, x),
        #[cfg(target_arch = "x86_64")]
        Instructions::Avx2 => outputs_by::<kernel::Avx2>(layers, x),
        Instructions::Portable => outputs_by::<Portable>(layers, x),
    }
}

fn outputs_by<K: Kernel>(layers: &[Layer<'_>], x: &[f32]) -> Vec<f32> {
    let [before @ .., last] = layers else { return Vec::new() };
    let (inputs, outputs) = (layers[0].weight.inputs, last.weight.outputs());
    let tokens = x.len() / inputs.max(1);
    if tokens * outputs == 0 {
        return Vec::new();
    }
    let inner = before.iter().map(|layer| TASK_INNER / layer.weight.outputs().max(1)).min();
    let most = inner.map_or(TASK_ROWS, |rows| (rows / K::ROWS * K::ROWS).clamp(K::ROWS, TASK_ROWS));
    let rows = tokens.div_ceil(rayon::current_num_threads()).next_multiple_of(K::ROWS).min(most);
    let write = |y: &mut [MaybeUninit<f32>]| {
        y.par_chunks_mut(rows * outputs).zip(x.par_chunks(rows * inputs)).for_each(|(y, x)| {
            K::prepared(|| {
                let mut x = lanes::wide!(|| Rounded::<K>::of(x, inputs));
                for layer in before {
                    x = layer.rounded_gelu(&x);
                }
                lanes::wide!(|| last.weight.write_rows::<K>(&x, y, last.bias, |y| y));
            });
        });
    };
    // SAFETY: every task writes all columns of its rows, as all layers are laid out for this kernel.
    #[allow(unsafe_code)]
    unsafe {
        filled(tokens * outputs, write)
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

/// The activations of some tokens, rounded.
struct Rounded<K: Kernel> {
    /// Rows, padded to a multiple of [`Kernel::DEPTH`]; as many as fill the last tile.
    numbers: Vec<K::Number>,
    /// The unit of each token.
    units: Vec<f32>,
}

impl<K: Kernel> Rounded<K> {
    /// # Shapes
    /// `x` `[t, inputs]`.
    #[inline(always)]
    fn of(x: &[f32], inputs: usize) -> Self {
        let width = inputs.next_multiple_of(K::DEPTH);
        let rows = (x.len() / inputs).next_multiple_of(K::ROWS);
        let mut numbers = vec![K::number(0); rows * width];
        let mut units = vec![0.0; x.len() / inputs];
        for ((row, numbers), row_unit) in x.chunks_exact(inputs).zip(numbers.chunks_exact_mut(width)).zip(&mut units) {
            let (inverse, unit) = unit(row, 1);
            for (number, &value) in numbers.iter_mut().zip(row) {
                *number = K::number(round(value, inverse));
            }
            *row_unit = unit;
        }
        Self { numbers, units }
    }
}

/// How many units a number of 1 has, and the unit, where [`LARGEST`] are the largest magnitude of so many neighbours together; NaN
/// where a number is not finite, so that results are not either.
#[inline(always)]
fn unit(row: &[f32], neighbours: usize) -> (f32, f32) {
    // Without their signs, floats are in the order of their bits, those that are not finite last.
    let largest = match neighbours {
        1 => row.iter().fold(0, |largest, x| largest.max(x.abs().to_bits())),
        _ => row.chunks(neighbours).map(|all| all.iter().map(|x| x.abs()).sum::<f32>().to_bits()).max().unwrap_or(0),
    };
    let largest = f32::from_bits(largest);
    match largest {
        0.0 => (0.0, 0.0),
        _ if largest.is_finite() => (LARGEST / largest, largest / LARGEST),
        _ => (0.0, f32::NAN),
    }
}

/// The nearest whole number of units, ties to even.
#[inline(always)]
fn round(value: f32, inverse: f32) -> i8 {
    // Adding 1.5 * 2^23 leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    value.mul_add(inverse, ROUND).to_bits() as i8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::check::random;
    use super::*;
    use crate::ops::{Precision::F32, gelu, linear};

    fn product(weight: &Int8Weight, x: &[f32], bias: &[f32]) -> Vec<f32> {
        outputs(&[Layer { weight, bias }], x)
    }

    fn here() -> impl Iterator<Item = Instructions> {
        Instructions::all().into_iter().filter(|instructions| instructions.are_here())
    }

    /// Whole numbers of which the first of each row, or the first two together where two are to be 127 at most, are 127, so that all
    /// are their own roundings.
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
        (0..rows * cols).map(number).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        #[test]
        fn whole_numbers_are_multiplied_exactly(
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

    /// Feed-forward blocks of 70 tokens, 130 wide with 50 numbers inside: by floats, and by these instructions.
    fn blocks(instructions: impl Iterator<Item = Instructions>) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (x, weights) = (random(1, &[70, 130]), [random(2, &[50, 130]), random(4, &[130, 50])]);
        let biases = [random(3, &[50]), random(5, &[130])];
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let inner = gelu(&linear(&x, &weights[0], Some(&biases[0]), F32).unwrap()).unwrap();
        let exact = values(&linear(&inner, &weights[1], Some(&biases[1]), F32).unwrap());
        let (x, biases) = (values(&x), biases.each_ref().map(values));
        let block = |instructions| {
            let [up, down] = [(&weights[0], 130), (&weights[1], 50)]
                .map(|(weight, inputs)| Int8Weight::laid_out(&values(weight), inputs, instructions));
            outputs(&[Layer { weight: &up, bias: &biases[0] }, Layer { weight: &down, bias: &biases[1] }], &x)
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
        let x = random(1, &[100, 37]);
        let [up, down] = [random(2, &[21, 37]), random(3, &[37, 21])].map(|weight| Int8Weight::of(&weight).unwrap());
        let block = |x: &Tensor| int8_feed_forward(x, [(&up, None), (&down, None)]).unwrap();
        let rows = |x: &Tensor| block(x).to_vec2::<f32>().unwrap();
        let together = rows(&x);
        for (token, outputs) in together.iter().enumerate() {
            assert_eq!(rows(&x.narrow(0, token, 1).unwrap())[0], *outputs);
        }
    }

    #[test]
    fn what_is_not_finite_stays_so_in_its_row_alone() {
        let weight = Int8Weight::of(&random(2, &[3, 4])).unwrap();
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let x = Tensor::new(&[[1.0, bad, 0.0, 2.0], [1.0, 1.0, 0.0, 2.0], [0.0; 4]], &Device::Cpu).unwrap();
            let y = weight.apply(&x, None).unwrap().to_vec2::<f32>().unwrap();
            assert!(y[0].iter().all(|y| y.is_nan()) && y[1].iter().all(|y| y.is_finite()));
            assert_eq!(y[2], [0.0; 3]);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let weight = Int8Weight::of(&random(2, &[2, 3])).unwrap();
        assert!(weight.apply(&random(1, &[4, 4]), None).is_err());
        assert!(weight.apply(&random(1, &[4, 3]), Some(&random(3, &[3]))).is_err());
        assert!(Int8Weight::of(&random(2, &[6])).is_err());
    }
}
