//! Weights that stay in their files, for a model that multiplies by rounded ones.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Tensor;

use super::file::WeightFile;
use super::spec::ParamSpec;
use crate::Result;

/// Weights by name.
pub(super) type StoredWeights = BTreeMap<String, Arc<Stored>>;

/// A weight in a file that is known to have it.
#[derive(Debug)]
pub(super) struct Stored {
    file: Arc<WeightFile>,
    /// Its name in the file.
    name: String,
    pub(super) spec: ParamSpec,
    /// Rows in memory.
    kept: Mutex<HashMap<Range<usize>, Tensor>>,
}

impl Stored {
    pub(super) fn new(file: Arc<WeightFile>, name: String, spec: ParamSpec) -> Self {
        Self { file, name, spec, kept: Mutex::default() }
    }

    /// All of it.
    pub(super) fn rows(&self) -> Range<usize> {
        0..self.spec.shape.first().copied().unwrap_or_default()
    }

    /// Reads some rows, for what is needed once.
    pub(super) fn read(&self, rows: Range<usize>) -> Result<Tensor> {
        Ok(self.file.read_rows(&self.name, &self.spec, rows)?.as_detached_tensor())
    }

    /// Reads some rows once and keeps them.
    pub(super) fn keep(&self, rows: Range<usize>) -> Result<Tensor> {
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(values) = kept().get(&rows) {
            return Ok(values.clone());
        }
        let values = self.read(rows.clone())?;
        Ok(kept().entry(rows).or_insert(values).clone())
    }

    /// The numbers in memory.
    pub(super) fn count_in_memory(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).values().map(Tensor::elem_count).sum()
    }
}
