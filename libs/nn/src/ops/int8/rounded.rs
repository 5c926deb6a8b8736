//! Numbers rotated and rounded to 8 bits, and their products.

use std::mem::MaybeUninit;

use candle_core::{Result, Tensor};

use super::super::lend;
use super::kernel::{Instructions, Kernel, TILE};
use super::rotation::rotate;

/// Units of the largest magnitude.
const LARGEST: f32 = 127.0;
/// Neighbours along the dimension summed over that the instructions multiply at once.
const QUAD: usize = 4;

/// The weights `[o, i]` of an affine layer, rotated, rounded and laid out for the instructions of this processor.
#[derive(Debug)]
pub struct Int8Weight {
    pub(super) instructions: Instructions,
    pub(super) inputs: usize,
    /// Panels of columns (outputs): for each four inputs, four numbers of each column; 0 beyond the edges. A panel has
    /// [`Kernel::DEPTH`] inputs or a multiple.
    panels: Vec<i8>,
    /// The unit of each output.
    units: Vec<f32>,
    /// The sum of each output's numbers.
    sums: Vec<i32>,
}

impl Int8Weight {
    /// Rotates and rounds the weights of an affine layer.
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

    pub(super) fn laid_out(weight: &[f32], inputs: usize, instructions: Instructions) -> Self {
        let columns = instructions.columns();
        let outputs = weight.len() / inputs.max(1);
        let panel = inputs.next_multiple_of(instructions.depth()) * columns;
        let mut panels = vec![0; outputs.div_ceil(columns) * panel];
        let (mut units, mut sums) = (Vec::with_capacity(outputs), Vec::with_capacity(outputs));
        let mut rotated = vec![0.0; inputs];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            rotate(row, &mut rotated);
            let (inverse, unit) = unit(&rotated, if instructions.adds_in_16_bits() { 2 } else { 1 });
            units.push(unit);
            let to = &mut panels[output / columns * panel..][output % columns * QUAD..];
            let mut sum = 0;
            for (index, &value) in rotated.iter().enumerate() {
                let number = round(value, inverse);
                sum += i32::from(number);
                to[index / QUAD * columns * QUAD + index % QUAD] = number;
            }
            sums.push(sum);
        }
        Self { instructions, inputs, panels, units, sums }
    }

    pub(super) fn outputs(&self) -> usize {
        self.units.len()
    }

    /// Writes every number of `y`, the outputs of some tokens.
    #[inline(always)]
    pub(super) fn write_rows<K: Kernel>(
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
            let finish = Finish {
                units: &self.units[columns.clone()],
                weight_sums: &self.sums[columns.clone()],
                bias: &bias[columns.clone()],
            };
            let blocks = x.numbers.chunks_exact(width * K::ROWS).zip(x.units.chunks(K::ROWS));
            for ((rows, units), y) in blocks.zip(y.chunks_mut(K::ROWS * outputs)) {
                K::multiply(rows, panel, &mut tile);
                let rows = y.chunks_exact_mut(outputs).zip(tile.chunks_exact(K::COLUMNS)).zip(units);
                for ((y, sums), &unit) in rows {
                    finish.write::<K>(&mut y[columns.clone()], sums, unit, then);
                }
            }
        }
    }
}

/// What the sums of products of some columns are turned into outputs with.
struct Finish<'a> {
    units: &'a [f32],
    weight_sums: &'a [i32],
    bias: &'a [f32],
}

impl Finish<'_> {
    /// Writes the outputs of one token, whose unit is `unit`.
    #[inline(always)]
    fn write<K: Kernel>(&self, y: &mut [MaybeUninit<f32>], sums: &[i32], unit: f32, then: impl Fn(f32) -> f32) {
        let Self { units, weight_sums, bias } = self;
        let write = |y: &mut [MaybeUninit<f32>], sums: &[i32], units: &[f32], weights: &[i32], bias: &[f32]| {
            let columns = units.iter().zip(weights).zip(sums).zip(bias);
            for (y, (((&column, &weights), &sum), &bias)) in y.iter_mut().zip(columns) {
                y.write(then((sum - K::excess(weights)) as f32 * (unit * column) + bias));
            }
        };
        // Of a whole panel, the compiler knows the number of columns and keeps all in registers.
        let n = K::COLUMNS;
        if y.len() == n {
            write(&mut y[..n], &sums[..n], &units[..n], &weight_sums[..n], &bias[..n]);
        } else {
            write(y, sums, units, weight_sums, bias);
        }
    }
}

/// The activations of some tokens, rotated and rounded.
pub(super) struct Rounded<K: Kernel> {
    /// Rows, padded to a multiple of [`Kernel::DEPTH`]; as many as fill the last tile.
    numbers: Vec<K::Number>,
    /// The unit of each token.
    pub(super) units: Vec<f32>,
}

impl<K: Kernel> Rounded<K> {
    /// # Shapes
    /// `x` `[t, inputs]`.
    #[inline(always)]
    pub(super) fn of(x: &[f32], inputs: usize) -> Self {
        let width = inputs.next_multiple_of(K::DEPTH);
        let tokens = x.len() / inputs;
        let room = tokens.next_multiple_of(K::ROWS) * width;
        let (mut numbers, mut units) = (Vec::with_capacity(room), Vec::with_capacity(tokens));
        let mut rotated = vec![0.0; inputs];
        for row in x.chunks_exact(inputs) {
            rotate(row, &mut rotated);
            let (inverse, unit) = unit(&rotated, 1);
            numbers.extend(rotated.iter().map(|&value| K::number(round(value, inverse))));
            numbers.resize(numbers.len() + width - inputs, K::number(0));
            units.push(unit);
        }
        numbers.resize(room, K::number(0));
        Self { numbers, units }
    }
}

/// How many units a number of 1 has, and the unit, where [`LARGEST`] are the largest magnitude of so many neighbours together; NaN
/// where a number is not finite, or too large to be rotated, so that results are not either.
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
