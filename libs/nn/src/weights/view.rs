//! Weights as a forward pass reads them: tracked by the graph where they are trained.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::lora::{LORA_A, LORA_B, Lora};
use super::mode::Mode;
use super::params::Params;
use super::stored::Stored;
use crate::ops::{
    Bf16Weight, Dropout, Int8Layer, Int8Weight, LowRank, PostNorm, Precision, bf16_linear, gelu, int8_block,
    int8_linears, layer_norm, linear, low_rank, residual,
};
use crate::{Error, Result};

impl Params {
    /// The weights as the forward pass of this mode reads them.
    pub(crate) fn view(&self, mode: Mode<'_>) -> View<'_> {
        View { params: self, mode: mode.without_tape(), prefix: String::new() }
    }
}

/// The weights under a prefix, as a forward pass sees them.
#[derive(Debug, Clone)]
pub(crate) struct View<'a> {
    params: &'a Params,
    mode: Mode<'static>,
    prefix: String,
}

impl View<'_> {
    /// The weights under `name` below this prefix.
    pub(crate) fn child(&self, name: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{name}.", self.prefix), ..self.clone() }
    }

    /// The weight `name` below this prefix.
    pub(crate) fn get(&self, name: &str) -> Result<Tensor> {
        self.rows(name, None, Stored::keep)
    }

    /// These rows of the weight `name` below this prefix, all of them where none are named; `stored` reads them where the weight stayed
    /// in its file.
    fn rows(
        &self,
        name: &str,
        rows: Option<&Range<usize>>,
        stored: impl Fn(&Stored, Range<usize>) -> Result<Tensor>,
    ) -> Result<Tensor> {
        if let Some(weight) = self.find(name) {
            return part(weight, rows);
        }
        let name = format!("{}{name}", self.prefix);
        let Some(weight) = self.params.stored.get(&name) else { return Err(Error::UnknownWeight(name)) };
        stored(weight, rows.cloned().unwrap_or_else(|| weight.rows()))
    }

    /// The weight `name` below this prefix, if the model has it in memory.
    pub(crate) fn find(&self, name: &str) -> Option<Tensor> {
        let name = format!("{}{name}", self.prefix);
        let var = self.params.get(&name).ok()?;
        let tracked = matches!(self.mode, Mode::Train { .. }) && self.params.trains(&name);
        Some(if tracked { var.as_tensor().clone() } else { var.as_detached_tensor() })
    }

    /// The affine layer `name` below this prefix: its weight, its bias and its update of low rank, where it has them.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, out]`.
    pub(crate) fn linear(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        self.affine(name, x, None)
    }

    /// The outputs `rows` of the affine layer `name`: one of several layers that are stored as one.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, rows]`.
    pub(crate) fn linear_rows(&self, name: &str, rows: Range<usize>, x: &Tensor) -> Result<Tensor> {
        self.affine(name, x, Some(&rows))
    }

    /// Affine layers of the same input.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, out]` each.
    pub(crate) fn linears<const N: usize>(&self, names: [&str; N], x: &Tensor) -> Result<[Tensor; N]> {
        if let Some(layers) = self.int8_layers(&names)? {
            return Ok(int8_linears(x, std::array::from_fn(|index| layer(&layers[index])))?);
        }
        let outputs = names.iter().map(|name| self.linear(name, x)).collect::<Result<Vec<_>>>()?;
        Ok(outputs.try_into().expect("an output of each layer"))
    }

    /// The end of a block: the layer norm `norm` of `x + dropout(y)`, where `y` are the outputs of affine layers on `input`. Where they
    /// are two, the GELU is between them, near the exact one where they multiply in int8.
    ///
    /// # Shapes
    /// `input` `[t, in]`, `x` `[t, d]` -> `[t, d]`.
    pub(crate) fn post_norm(
        &self,
        layers: &[&str],
        input: &Tensor,
        x: &Tensor,
        dropout: Option<Dropout>,
        (norm, eps): (&str, f64),
    ) -> Result<Tensor> {
        let norm = self.child(norm);
        let (weight, bias) = (norm.get("weight")?, norm.get("bias")?);
        if let Some(layers) = self.int8_layers(layers)? {
            let layers: Vec<_> = layers.iter().map(layer).collect();
            return Ok(int8_block(input, &layers, Some(PostNorm { added: x, weight: &weight, bias: &bias, eps }))?);
        }
        let mut y = self.linear(layers[0], input)?;
        for layer in &layers[1..] {
            y = self.linear(layer, &gelu(&y)?)?;
        }
        Ok(layer_norm(&residual(x, &y, dropout)?, &weight, Some(&bias), eps)?)
    }

    /// These outputs of an affine layer, all of them where none are named.
    fn affine(&self, name: &str, x: &Tensor, rows: Option<&Range<usize>>) -> Result<Tensor> {
        if let Some((rounded, bias)) = self.int8(name, rows)? {
            return Ok(int8_block(x, &[(&rounded, bias.as_ref())], None)?);
        }
        let layer = self.child(name);
        let bias = layer.bias(rows)?;
        if let Some(packed) = layer.bf16(rows)? {
            return Ok(bf16_linear(x, &packed, bias.as_ref())?);
        }
        let weight = layer.rows("weight", rows, Stored::keep)?;
        let Some((lora, a)) = layer.update() else {
            return Ok(linear(x, &weight, bias.as_ref(), self.mode.precision())?);
        };
        let dropout = match self.mode {
            Mode::Train { dropout_seed, .. } if lora.config.dropout > 0.0 => {
                Some(Dropout::new(lora.config.dropout, ranking::rng::number(dropout_seed, &layer.prefix, 0)))
            }
            _ => None,
        };
        let precision = self.mode.precision();
        let update = LowRank { weight, bias, scale: lora.config.scale(), dropout, precision };
        Ok(low_rank(x, &a, &part(layer.get(LORA_B)?, rows)?, update)?)
    }

    /// Whole layers as [`Self::int8`], if all of them multiply in int8.
    fn int8_layers(&self, names: &[&str]) -> Result<Option<Vec<Int8Affine>>> {
        // Weights that are not kept are rounded at each call, so that it is to be known first.
        if names.iter().any(|name| self.child(name).update().is_some()) {
            return Ok(None);
        }
        names.iter().map(|name| self.int8(name, None)).collect()
    }

    /// The rounded weight and the bias of these outputs of an affine layer, where it multiplies in int8: one that only scores, without an
    /// update of low rank.
    fn int8(&self, name: &str, rows: Option<&Range<usize>>) -> Result<Option<Int8Affine>> {
        let layer = self.child(name);
        if !matches!(self.mode, Mode::Eval(Precision::Int8)) || layer.update().is_some() {
            return Ok(None);
        }
        let start = rows.map_or(0, |rows| rows.start);
        let weights = || layer.rows("weight", rows, Stored::read);
        let rounded = self.params.int8.weight((layer.prefix.clone(), start), || Ok(Int8Weight::of(&weights()?)?))?;
        Ok(Some((rounded, layer.bias(rows)?)))
    }

    /// The packed weight of these outputs of the affine layer at this prefix, where it multiplies in bf16 and is not in memory as `f32`.
    fn bf16(&self, rows: Option<&Range<usize>>) -> Result<Option<Arc<Bf16Weight>>> {
        let is_packed = matches!(self.mode, Mode::Eval(Precision::Bf16)) && Precision::Bf16.rounds_once();
        if !is_packed || self.find("weight").is_some() {
            return Ok(None);
        }
        let start = rows.map_or(0, |rows| rows.start);
        let pack = || Ok(Bf16Weight::of(&self.rows("weight", rows, Stored::read)?)?);
        self.params.bf16.weight((self.prefix.clone(), start), pack).map(Some)
    }

    /// These numbers of the bias of the affine layer at this prefix, if it has one.
    fn bias(&self, rows: Option<&Range<usize>>) -> Result<Option<Tensor>> {
        self.find("bias").map(|bias| part(bias, rows)).transpose()
    }

    /// The update of low rank of the affine layer at this prefix: its first factor, and what else is known of it.
    fn update(&self) -> Option<(&Lora, Tensor)> {
        self.params.lora.as_ref().zip(self.find(LORA_A))
    }
}

/// A rounded weight and its bias.
type Int8Affine = (Arc<Int8Weight>, Option<Tensor>);

fn layer((weight, bias): &Int8Affine) -> Int8Layer<'_> {
    (weight, bias.as_ref())
}

/// These rows, all of them where none are named.
fn part(all: Tensor, rows: Option<&Range<usize>>) -> Result<Tensor> {
    Ok(match rows {
        None => all,
        Some(rows) => all.narrow(0, rows.start, rows.len())?,
    })
}
