//! Weights that stay in their files, for a model that multiplies by rounded ones.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

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
    kept: OnceLock<Tensor>,
}

impl Stored {
    pub(super) fn new(file: Arc<WeightFile>, name: String, spec: ParamSpec) -> Self {
        Self { file, name, spec, kept: OnceLock::new() }
    }

    /// Reads it, for what is needed once.
    pub(super) fn read(&self) -> Result<Tensor> {
        match self.kept.get() {
            Some(kept) => Ok(kept.clone()),
            None => Ok(self.file.read(&self.name, &self.spec)?.into_inner()),
        }
    }

    /// Reads it once and keeps it.
    pub(super) fn keep(&self) -> Result<Tensor> {
        let read = self.read()?;
        Ok(self.kept.get_or_init(|| read).clone())
    }
}
