//! Affine layers in whole numbers of 8 bits, for models that only score.
//!
//! Each output of a layer has its own unit for its weights, each token its own for its activations: the largest magnitude is 127
//! units, and all else is rounded to whole units. Where AVX2 multiplies, 127 units are the largest magnitude of two neighbouring
//! weights together. Products are summed exactly, so that a result is the same whatever the threads and the rest of the batch.

mod kernel;

use std::mem::MaybeUninit;

use candle_core::{Device, Result, Tensor};
use rayon::prelude::*;

use super::{lanes, lend};
use kernel::{Instructions, Kernel, Portable, TILE};

/// Units of the largest magnitude.
const LARGEST: f32 = 127.0;
/// Rows of a parallel task at most, so that its rounded activations stay in a second-level cache: whole tiles of every kernel.
const TASK_ROWS: usize = 96;
/// Neighbours along the dimension summed over that the instructions multiply at once.
const QUAD: usize = 4;

/// What follows an affine layer, number by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Nothing.
    Nothing,
    /// The GELU of [`super::gelu`], to 6e-5 or a millionth of its input.
    Gelu,
}

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

    /// `then(x w^T + b)`, without a graph.
    ///
    /// # Shapes
    /// `x` `[t, i]`, `bias` `[o]` -> `[t, o]`.
    ///
    /// # Errors
    /// Other shapes.
    pub fn apply(&self, x: &Tensor, bias: Option<&Tensor>, then: Then) -> Result<Tensor> {
        let (tokens, inputs) = x.dims2()?;
        if inputs != self.inputs || bias.is_some_and(|bias| bias.elem_count() != self.outputs()) {
            candle_core::bail!(
                "linear in int8: input [{tokens}, {inputs}], weight [{}, {}], bias {:?}",
                self.outputs(),
                self.inputs,
                bias.map(Tensor::dims)
            );
        }
        let y = match bias {
            Some(bias) => lend([&x.contiguous()?, bias], |[x, bias]| Ok(self.product(x, bias, then)))?,
            None => lend([&x.contiguous()?], |[x]| Ok(self.product(x, &vec![0.0; self.outputs()], then)))?,
        };
        Tensor::from_vec(y, (tokens, self.outputs()), &Device::Cpu)
    }

    fn product(&self, x: &[f32], bias: &[f32], then: Then) -> Vec<f32> {
        match self.instructions {
            #[cfg(target_arch = "x86_64")]
            Instructions::Amx => self.product_by::<kernel::Amx>(x, bias, then),
            #[cfg(target_arch = "x86_64")]
            Instructions::Vnni => self.product_by::<kernel::Vnni>(x, bias, then),
            #[cfg(target_arch = "x86_64")]
            Instructions::Avx2 => self.product_by::<kernel::Avx2>(x, bias, then),
            Instructions::Portable => self.product_by::<Portable>(x, bias, then),
        }
    }

    fn product_by<K: Kernel>(&self, x: &[f32], bias: &[f32], then: Then) -> Vec<f32> {
        let (inputs, outputs) = (self.inputs, self.outputs());
        let tokens = x.len() / inputs.max(1);
        let mut y = Vec::with_capacity(tokens * outputs);
        if tokens * outputs == 0 {
            return y;
        }
        let rows = tokens.div_ceil(rayon::current_num_threads()).next_multiple_of(K::ROWS).min(TASK_ROWS);
        let unwritten = &mut y.spare_capacity_mut()[..tokens * outputs];
        let tasks = unwritten.par_chunks_mut(rows * outputs).zip(x.par_chunks(rows * inputs));
        tasks.for_each(|(y, x)| {
            let x = lanes::wide(|| Rounded::<K>::of(x, inputs));
            K::prepared(|| match then {
                Then::Nothing => lanes::wide(|| self.write_rows::<K>(&x, y, bias, |y| y)),
                Then::Gelu => lanes::wide(|| self.write_rows::<K>(&x, y, bias, lanes::near_gelu)),
            });
        });
        // SAFETY: there is room for so many numbers, and each was written: every task writes all columns of its rows.
        #[allow(unsafe_code)]
        unsafe {
            y.set_len(tokens * outputs);
        }
        y
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
                let found = weight.product(&x, &vec![0.5; outputs], Then::Nothing);
                prop_assert_eq!(&found, &expected, "{:?}", instructions);
            }
        }
    }

    #[test]
    fn rounding_costs_less_than_a_hundredth_and_is_the_same_by_all_instructions_with_the_same_units() {
        let (x, weight, bias) = (random(1, &[70, 130]), random(2, &[50, 130]), random(3, &[50]));
        let exact = gelu(&linear(&x, &weight, Some(&bias), F32).unwrap()).unwrap();
        let values = |x: &Tensor| x.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let (exact, x, bias) = (values(&exact), values(&x), values(&bias));
        let norm = |x: &mut dyn Iterator<Item = f32>| x.map(|x| x * x).sum::<f32>().sqrt();
        for in_pairs in [false, true] {
            let results: Vec<Vec<f32>> = here()
                .filter(|instructions| instructions.adds_in_16_bits() == in_pairs)
                .map(|instructions| {
                    Int8Weight::laid_out(&values(&weight), 130, instructions).product(&x, &bias, Then::Gelu)
                })
                .collect();
            for result in &results {
                let error = norm(&mut exact.iter().zip(result).map(|(a, b)| a - b)) / norm(&mut exact.iter().copied());
                assert!((1e-4..1e-2).contains(&error), "{error}");
                assert_eq!(result, &results[0]);
            }
        }
    }

    #[test]
    fn a_token_has_the_same_outputs_alone() {
        let (x, weight) = (random(1, &[100, 37]), Int8Weight::of(&random(2, &[21, 37])).unwrap());
        let rows = |x: &Tensor| weight.apply(x, None, Then::Gelu).unwrap().to_vec2::<f32>().unwrap();
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
            let y = weight.apply(&x, None, Then::Nothing).unwrap().to_vec2::<f32>().unwrap();
            assert!(y[0].iter().all(|y| y.is_nan()) && y[1].iter().all(|y| y.is_finite()));
            assert_eq!(y[2], [0.0; 3]);
        }
    }

    #[test]
    fn other_shapes_are_refused() {
        let weight = Int8Weight::of(&random(2, &[2, 3])).unwrap();
        assert!(weight.apply(&random(1, &[4, 4]), None, Then::Nothing).is_err());
        assert!(weight.apply(&random(1, &[4, 3]), Some(&random(3, &[3])), Then::Nothing).is_err());
        assert!(Int8Weight::of(&random(2, &[6])).is_err());
    }
}
