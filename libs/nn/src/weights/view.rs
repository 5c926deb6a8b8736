//! Weights as a forward pass reads them: tracked by the graph where they are trained.

use std::ops::Range;

use candle_core::Tensor;

use super::lora::{LORA_A, LORA_B};
use super::mode::Mode;
use super::params::Params;
use super::stored::Stored;
use crate::ops::{Dropout, LowRank, Precision, Then, gelu, linear, low_rank};
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
        self.affine(name, x, None, Then::Nothing)
    }

    /// The affine layer `name` below this prefix, and the GELU of its outputs, near the exact one where it multiplies in int8.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, out]`.
    pub(crate) fn linear_gelu(&self, name: &str, x: &Tensor) -> Result<Tensor> {
        self.affine(name, x, None, Then::Gelu)
    }

    /// The outputs `rows` of the affine layer `name`: one of several layers that are stored as one.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, rows]`.
    pub(crate) fn linear_rows(&self, name: &str, rows: Range<usize>, x: &Tensor) -> Result<Tensor> {
        self.affine(name, x, Some(rows), Then::Nothing)
    }

    /// These outputs of an affine layer, all of them where none are named, and what follows it.
    fn affine(&self, name: &str, x: &Tensor, rows: Option<Range<usize>>, then: Then) -> Result<Tensor> {
        let (layer, rows) = (self.child(name), rows.as_ref());
        let bias = layer.find("bias").map(|bias| part(bias, rows)).transpose()?;
        let update = self.params.lora.as_ref().zip(layer.find(LORA_A));
        if matches!(self.mode, Mode::Eval(Precision::Int8)) && update.is_none() {
            let start = rows.map_or(0, |rows| rows.start);
            let weights = || layer.rows("weight", rows, Stored::read);
            let rounded = self.params.int8.weight((layer.prefix.clone(), start), weights)?;
            return Ok(rounded.apply(x, bias.as_ref(), then)?);
        }
        let weight = layer.rows("weight", rows, Stored::keep)?;
        let activate = |y: Tensor| match then {
            Then::Nothing => Ok(y),
            Then::Gelu => gelu(&y),
        };
        let Some((lora, a)) = update else {
            return Ok(activate(linear(x, &weight, bias.as_ref(), self.mode.precision())?)?);
        };
        let dropout = match self.mode {
            Mode::Train { dropout_seed, .. } if lora.config.dropout > 0.0 => {
                Some(Dropout::new(lora.config.dropout, ranking::rng::number(dropout_seed, &layer.prefix, 0)))
            }
            _ => None,
        };
        let precision = self.mode.precision();
        let update = LowRank { weight, bias, scale: lora.config.scale(), dropout, precision };
        Ok(activate(low_rank(x, &a, &part(layer.get(LORA_B)?, rows)?, update)?)?)
    }
}

/// These rows, all of them where none are named.
fn part(all: Tensor, rows: Option<&Range<usize>>) -> Result<Tensor> {
    Ok(match rows {
        None => all,
        Some(rows) => all.narrow(0, rows.start, rows.len())?,
    })
}
