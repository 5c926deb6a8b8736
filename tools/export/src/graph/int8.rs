//! Matrix products of bytes, in the form that `onnxruntime.quantization.quantize_dynamic` writes: activations become unsigned
//! bytes as they come, one scale for all of them; weights are signed bytes with a scale for each output.
//!
//! Weights have seven bits, between -64 and 64. On processors without VNNI, ONNX Runtime adds pairs of products of an unsigned and a
//! signed byte in 16 bits, which 255 x 127 x 2 would overflow and 255 x 64 x 2 cannot: this is what its documentation calls
//! `reduce_range`.

use super::layers::transposed;
use super::{Graph, Value};
use crate::proto::{Attribute, DataType};

/// The greatest quantised weight of a matrix product.
const GREATEST_WEIGHT: f32 = 64.0;
/// The greatest quantised number of an embedding, which is multiplied by nothing but its scale.
const GREATEST_EMBEDDING: f32 = 127.0;

/// An activation as bytes.
#[derive(Debug, Clone)]
pub(super) struct Quantised {
    bytes: Value,
    scale: Value,
    zero: Value,
}

impl Graph<'_> {
    /// # Shapes
    /// `x` `[.., in]` -> `[.., out]`.
    pub(super) fn product_of_bytes(&mut self, name: &str, x: &str) -> nn::Result<Value> {
        let ([rows, columns], values) = self.matrix(name)?;
        let (scales, bytes) = quantised_rows(&values, columns, GREATEST_WEIGHT);
        let weight = self.bytes(&format!("{name}.weight_quantized"), &[columns, rows], &transposed(&bytes, columns));
        let scales = self.floats(&format!("{name}.weight_scale"), &[rows], &scales);
        let Quantised { bytes, scale, zero } = self.quantise(x);
        let sums = self.node(name, "MatMulInteger", &[&bytes, &weight, &zero], &[]);
        let sums = self.cast(name, &sums, DataType::Float);
        let scale = self.node(name, "Mul", &[&scale, &scales], &[]);
        Ok(self.node(name, "Mul", &[&sums, &scale], &[]))
    }

    /// Rows of a table of bytes, each of which has a scale.
    pub(super) fn lookup_of_bytes(&mut self, table: &str, ids: &str) -> nn::Result<Value> {
        let ([rows, columns], values) = self.matrix(table)?;
        let (scales, bytes) = quantised_rows(&values, columns, GREATEST_EMBEDDING);
        let weight = self.bytes(&format!("{table}.weight_quantized"), &[rows, columns], &bytes);
        let scales = self.floats(&format!("{table}.weight_scale"), &[rows, 1], &scales);
        let gather =
            |graph: &mut Self, from: &str| graph.node(table, "Gather", &[from, ids], &[Attribute::int("axis", 0)]);
        let (bytes, scales) = (gather(self, &weight), gather(self, &scales));
        let found = self.cast(table, &bytes, DataType::Float);
        Ok(self.node(table, "Mul", &[&found, &scales], &[]))
    }

    fn quantise(&mut self, x: &str) -> Quantised {
        if let Some(found) = self.quantised.get(x) {
            return found.clone();
        }
        let scope = x.trim_start_matches('/').rsplit_once('/').map_or(x, |(scope, _)| scope).to_owned();
        let [bytes, scale, zero] = self.nodes(&scope, "DynamicQuantizeLinear", &[x], &[]);
        let made = Quantised { bytes, scale, zero };
        self.quantised.insert(x.to_owned(), made.clone());
        made
    }

    fn bytes(&mut self, name: &str, dims: &[usize], values: &[i8]) -> Value {
        self.constant(name.into(), DataType::Int8, dims, || values.iter().map(|value| value.cast_unsigned()).collect())
    }
}

/// The scale of each row and its numbers in units of it, the greatest of which is `greatest`.
fn quantised_rows(values: &[f32], columns: usize, greatest: f32) -> (Vec<f32>, Vec<i8>) {
    let scale = |row: &[f32]| {
        let most = row.iter().fold(0f32, |most, value| most.max(value.abs()));
        if most > 0.0 { most / greatest } else { 1.0 }
    };
    let scales: Vec<f32> = values.chunks(columns.max(1)).map(scale).collect();
    let rows = values.chunks(columns.max(1)).zip(&scales);
    let bytes = rows.flat_map(|(row, &scale)| row.iter().map(move |value| (value / scale).round_ties_even() as i8));
    let bytes = bytes.collect();
    (scales, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_uses_the_whole_range_of_its_scale() {
        let (scales, bytes) = quantised_rows(&[0.5, -1.0, 0.25, 0.0, 0.0, 0.0, 3.0, 1.0, -2.0], 3, 64.0);
        assert_eq!(scales, [1.0 / 64.0, 1.0, 3.0 / 64.0]);
        assert_eq!(bytes, [32, -64, 16, 0, 0, 0, 64, 21, -43]);
    }

    #[test]
    fn no_pair_of_products_overflows_sixteen_bits() {
        let product = i32::from(u8::MAX) * GREATEST_WEIGHT as i32;
        assert!(2 * product <= i32::from(i16::MAX));
    }
}
