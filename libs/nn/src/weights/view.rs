//! Weights as a forward pass reads them: tracked by the graph where they are trained.

use std::ops::Range;
use std::sync::Arc;

use candle_core::Tensor;

use super::lora::{LORA_A, LORA_B, Lora};
use super::mode::Mode;
use super::params::Params;
use super::stored::Stored;
use crate::ops::{Dropout, Int8Weight, LowRank, Precision, gelu, int8_feed_forward, linear, low_rank};
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

    /// Two affine layers with the GELU between them, near the exact one where they multiply in int8.
    ///
    /// # Shapes
    /// `x` `[t, in]` -> `[t, out]`.
    pub(crate) fn feed_forward(&self, [into, out]: [&str; 2], x: &Tensor) -> Result<Tensor> {
        match (self.int8(into, None)?, self.int8(out, None)?) {
            (Some((into, into_bias)), Some((out, out_bias))) => {
                Ok(int8_feed_forward(x, [(&into, into_bias.as_ref()), (&out, out_bias.as_ref())])?)
            }
            _ => self.linear(out, &gelu(&self.linear(into, x)?)?),
        }
    }

    /// These outputs of an affine layer, all of them where none are named.
    fn affine(&self, name: &str, x: &Tensor, rows: Option<&Range<usize>>) -> Result<Tensor> {
        if let Some((rounded, bias)) = self.int8(name, rows)? {
            return Ok(rounded.apply(x, bias.as_ref())?);
        }
        let layer = self.child(name);
        let bias = layer.bias(rows)?;
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

    /// The rounded weight and the bias of these outputs of an affine layer, where it multiplies in int8: one that only scores, without an
    /// update of low rank.
    fn int8(&self, name: &str, rows: Option<&Range<usize>>) -> Result<Option<(Arc<Int8Weight>, Option<Tensor>)>> {
        let layer = self.child(name);
        if !matches!(self.mode, Mode::Eval(Precision::Int8)) || layer.update().is_some() {
            return Ok(None);
        }
        let start = rows.map_or(0, |rows| rows.start);
        let weights = || layer.rows("weight", rows, Stored::read);
        let rounded = self.params.int8.weight((layer.prefix.clone(), start), weights)?;
        Ok(Some((rounded, layer.bias(rows)?)))
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

/// These rows, all of them where none are named.
fn part(all: Tensor, rows: Option<&Range<usize>>) -> Result<Tensor> {
    Ok(match rows {
        None => all,
        Some(rows) => all.narrow(0, rows.start, rows.len())?,
    })
}
