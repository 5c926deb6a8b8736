//! Layers: affine maps, norms, activations, lookups, and the shapes of attention heads.

use super::{Graph, Precision, Value};
use crate::proto::{Attribute, DataType};

/// Activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Activation {
    Gelu,
    Relu,
    Tanh,
}

impl Graph<'_> {
    /// The affine layer of this name, in the precision of the graph.
    ///
    /// # Shapes
    /// `x` `[.., in]` -> `[.., out]`.
    ///
    /// # Errors
    /// A weight that the model does not have.
    pub(crate) fn linear(&mut self, name: &str, x: &str) -> nn::Result<Value> {
        let product = match self.precision {
            Precision::F32 => self.product(name, x)?,
            Precision::Int8 => self.product_of_bytes(name, x)?,
        };
        self.add_bias(name, product)
    }

    /// As [`Self::linear`] in single precision, whatever the graph's.
    pub(crate) fn exact_linear(&mut self, name: &str, x: &str) -> nn::Result<Value> {
        let product = self.product(name, x)?;
        self.add_bias(name, product)
    }

    fn product(&mut self, name: &str, x: &str) -> nn::Result<Value> {
        let ([rows, columns], values) = self.matrix(name)?;
        let weight = self.floats(&format!("{name}.weight_transposed"), &[columns, rows], &transposed(&values, columns));
        Ok(self.node(name, "MatMul", &[x, &weight], &[]))
    }

    fn add_bias(&mut self, name: &str, product: Value) -> nn::Result<Value> {
        let bias = format!("{name}.bias");
        if !self.has(&bias) {
            return Ok(product);
        }
        let bias = self.weight(&bias)?;
        Ok(self.node(name, "Add", &[&product, &bias], &[]))
    }

    /// The weight of an affine layer: `[out, in]`.
    pub(super) fn matrix(&self, name: &str) -> nn::Result<([usize; 2], Vec<f32>)> {
        let (dims, values) = self.values(&format!("{name}.weight"))?;
        let columns = dims.last().copied().unwrap_or(1);
        Ok(([values.len() / columns.max(1), columns], values))
    }

    /// The norm of this name, over the last axis.
    pub(crate) fn layer_norm(&mut self, name: &str, x: &str, epsilon: f64) -> nn::Result<Value> {
        let mut inputs = vec![x.to_owned(), self.weight(&format!("{name}.weight"))?];
        let bias = format!("{name}.bias");
        if self.has(&bias) {
            inputs.push(self.weight(&bias)?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = [Attribute::int("axis", -1), Attribute::float("epsilon", epsilon as f32)];
        Ok(self.node(name, "LayerNormalization", &inputs, &attributes))
    }

    /// An activation.
    pub(crate) fn activation(&mut self, scope: &str, activation: Activation, x: &str) -> Value {
        match activation {
            Activation::Gelu => self.gelu(scope, x),
            Activation::Relu => self.node(scope, "Relu", &[x], &[]),
            Activation::Tanh => self.node(scope, "Tanh", &[x], &[]),
        }
    }

    /// The exact GELU, in the form that runtimes fuse: the operation of this name is younger than some of them.
    pub(crate) fn gelu(&mut self, scope: &str, x: &str) -> Value {
        let (root, one, half) = (self.float(2f32.sqrt()), self.float(1.0), self.float(0.5));
        let scaled = self.node(scope, "Div", &[x, &root], &[]);
        let erf = self.node(scope, "Erf", &[&scaled], &[]);
        let raised = self.node(scope, "Add", &[&erf, &one], &[]);
        let product = self.node(scope, "Mul", &[x, &raised], &[]);
        self.node(scope, "Mul", &[&product, &half], &[])
    }

    /// Rows of a table of embeddings.
    ///
    /// # Shapes
    /// `rows` `[..]` -> `[.., width]`.
    pub(crate) fn lookup(&mut self, table: &str, rows: &str) -> nn::Result<Value> {
        let name = format!("{table}.weight");
        let weight = self.weight(&name)?;
        Ok(self.node(table, "Gather", &[&weight, rows], &[Attribute::int("axis", 0)]))
    }

    /// As [`Self::lookup`] in the word embeddings, most of a small model's bytes, which are bytes themselves in an eight-bit graph.
    pub(crate) fn lookup_words(&mut self, table: &str, ids: &str) -> nn::Result<Value> {
        match self.precision {
            Precision::F32 => self.lookup(table, ids),
            Precision::Int8 => self.lookup_of_bytes(table, ids),
        }
    }

    /// # Shapes
    /// `x` `[b, s, heads * head_dim]` -> `[b, s, heads, head_dim]` in the order `axes`.
    pub(crate) fn split_heads(
        &mut self,
        scope: &str,
        x: &str,
        (heads, head_dim): (usize, usize),
        axes: [i64; 4],
    ) -> Value {
        // A size of 0 is that of the input.
        let shape = self.list(&[0, 0, heads as i64, head_dim as i64]);
        let split = self.node(scope, "Reshape", &[x, &shape], &[]);
        self.transpose(scope, &split, &axes)
    }

    /// The mixture of values by the softmax of scores.
    ///
    /// # Shapes
    /// `scores` `[b, heads, q, s]`, `values` `[b, heads, s, head_dim]` -> `[b, q, heads * head_dim]`.
    pub(crate) fn mixture(&mut self, scope: &str, scores: &str, values: &str, width: usize) -> Value {
        let shares = self.node(scope, "Softmax", &[scores], &[Attribute::int("axis", -1)]);
        let mixed = self.node(scope, "MatMul", &[&shares, values], &[]);
        let mixed = self.transpose(scope, &mixed, &[0, 2, 1, 3]);
        let shape = self.list(&[0, 0, width as i64]);
        self.node(scope, "Reshape", &[&mixed, &shape], &[])
    }

    pub(crate) fn transpose(&mut self, scope: &str, x: &str, axes: &[i64]) -> Value {
        self.node(scope, "Transpose", &[x], &[Attribute::ints("perm", axes)])
    }

    pub(crate) fn unsqueeze(&mut self, scope: &str, x: &str, axes: &[i64]) -> Value {
        let axes = self.list(axes);
        self.node(scope, "Unsqueeze", &[x, &axes], &[])
    }

    pub(crate) fn cast(&mut self, scope: &str, x: &str, to: DataType) -> Value {
        self.node(scope, "Cast", &[x], &[Attribute::int("to", i64::from(i32::from(to)))])
    }

    /// The first of each axis alone, which stays.
    pub(crate) fn first(&mut self, scope: &str, x: &str, axis: i64) -> Value {
        let (start, end, axes) = (self.list(&[0]), self.list(&[1]), self.list(&[axis]));
        self.node(scope, "Slice", &[x, &start, &end, &axes], &[])
    }

    /// `N` equal parts of the last axis, each of this width.
    pub(crate) fn split<const N: usize>(&mut self, scope: &str, x: &str, width: usize) -> [Value; N] {
        let widths = self.list(&[width as i64; N]);
        self.nodes(scope, "Split", &[x, &widths], &[Attribute::int("axis", -1)])
    }
}

/// The numbers of a matrix with so many columns, column after column.
pub(super) fn transposed<T: Copy>(values: &[T], columns: usize) -> Vec<T> {
    let rows = values.len() / columns.max(1);
    (0..columns).flat_map(|column| (0..rows).map(move |row| values[row * columns + column])).collect()
}
