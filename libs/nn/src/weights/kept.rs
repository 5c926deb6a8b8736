//! The weights of affine layers as fast instructions multiply them: rounded and laid out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Result;

/// An affine layer, or the outputs from a number on of one that holds several: its prefix and this number.
type Layer = (String, usize);
/// The layers that were multiplied before.
type Kept<W> = Mutex<HashMap<Layer, Arc<W>>>;

/// The rounded weights of affine layers: kept by a model that only scores, made anew for each pass by one that may be trained
/// meanwhile.
#[derive(Debug)]
pub(crate) struct KeptWeights<W> {
    kept: Option<Arc<Kept<W>>>,
}

impl<W> KeptWeights<W> {
    /// Weights that are rounded when they are first multiplied, and kept: these, where they are.
    pub(super) fn kept(&self) -> Self {
        Self { kept: Some(self.kept.clone().unwrap_or_default()) }
    }

    /// The rounded weights of a layer; `make` rounds them, where that was not done yet.
    pub(super) fn weight(&self, layer: Layer, make: impl FnOnce() -> Result<W>) -> Result<Arc<W>> {
        let Some(kept) = &self.kept else { return Ok(Arc::new(make()?)) };
        let kept = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rounded) = kept().get(&layer) {
            return Ok(rounded.clone());
        }
        // Without the lock, as a thread that waits for parallel work may do other work that needs it.
        let rounded = Arc::new(make()?);
        Ok(kept().entry(layer).or_insert(rounded).clone())
    }
}

impl<W> Default for KeptWeights<W> {
    fn default() -> Self {
        Self { kept: None }
    }
}

impl<W> Clone for KeptWeights<W> {
    fn clone(&self) -> Self {
        Self { kept: self.kept.clone() }
    }
}
