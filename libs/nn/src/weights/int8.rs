//! The weights of affine layers in int8.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use crate::Result;
use crate::ops::Int8Weight;

/// An affine layer, or the outputs from a number on of one that holds several: its prefix and this number.
type Layer = (String, usize);
/// The layers that were multiplied before.
type Kept = Mutex<HashMap<Layer, Arc<Int8Weight>>>;

/// The rounded weights of affine layers: kept by a model that only scores, made anew for each pass by one that may be trained
/// meanwhile.
#[derive(Debug, Clone, Default)]
pub(crate) struct Int8Weights {
    kept: Option<Arc<Kept>>,
}

impl Int8Weights {
    /// Weights that are rounded when they are first multiplied, and kept: these, where they are.
    pub(super) fn kept(&self) -> Self {
        Self { kept: Some(self.kept.clone().unwrap_or_default()) }
    }

    /// The rounded weights of a layer; `weights` reads its weights `[o, i]`, where they are not rounded yet.
    pub(super) fn weight(&self, layer: Layer, weights: impl FnOnce() -> Result<Tensor>) -> Result<Arc<Int8Weight>> {
        let Some(kept) = &self.kept else { return Ok(Arc::new(Int8Weight::of(&weights()?)?)) };
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rounded) = kept.get(&layer) {
            return Ok(rounded.clone());
        }
        let rounded = Arc::new(Int8Weight::of(&weights()?)?);
        kept.insert(layer, rounded.clone());
        Ok(rounded)
    }
}
