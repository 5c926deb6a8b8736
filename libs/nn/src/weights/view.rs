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
        self.get_or(name, Stored::keep)
    }

    /// As [`Self::get`], for a weight that is needed once.
    fn read(&self, name: &str) -> Result<Tensor> {
        self.get_or(name, Stored::read)
    }

    /// The weight `name` below this prefix; `stored` reads it where it stayed in its file.
    fn get_or(&self, name: &str, stored: impl Fn(&Stored) -> Result<Tensor>) -> Result<Tensor> {
        if let Some(weight) = self.find(name) {
            return Ok(weight);
        }
        let name = format!("{}{name}", self.prefix);
        self.params.stored.get(&name).map(|weight| stored(weight)).unwrap_or(Err(Error::UnknownWeight(name)))
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

    /// The affine layer `name` below this prefix, and the exact GELU of its outputs.
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
        let layer = self.child(name);
        let part = |all: Tensor| match &rows {
            None => Ok(all),
            Some(rows) => all.narrow(0, rows.start, rows.len()),
        };
        let bias = layer.find("bias").map(part).transpose()?;
        let update = self.params.lora.as_ref().zip(layer.find(LORA_A));
        if matches!(self.mode, Mode::Eval(Precision::Int8)) && update.is_none() {
            let start = rows.as_ref().map_or(0, |rows| rows.start);
            let weights = || Ok(part(layer.read("weight")?)?);
            let rounded = self.params.int8.weight((layer.prefix.clone(), start), weights)?;
            return Ok(rounded.apply(x, bias.as_ref(), then)?);
        }
        let weight = part(layer.get("weight")?)?;
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
        Ok(activate(low_rank(x, &a, &part(layer.get(LORA_B)?)?, update)?)?)
    }
}
