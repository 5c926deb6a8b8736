//! The bi-encoder of `retrieval.dense`.

use nn::bi_encoder::BiEncoder;
use nn::cross_encoder::Execution;
use pipeline::config::BaseModel;
use pipeline::{BadInput, Input, RunPaths};

use crate::base::{base_folder, base_inputs};

/// The files of the bi-encoder, as inputs of a stage that computes vectors.
///
/// # Errors
/// As [`base_inputs`].
pub fn bi_encoder_inputs(paths: &RunPaths, model: &BaseModel) -> anyhow::Result<Vec<Input>> {
    let mut inputs = base_inputs(paths, Some(model))?;
    inputs.extend(BiEncoder::files(&base_folder(paths, model)?).into_iter().map(Input::File));
    Ok(inputs)
}

/// Opens the bi-encoder.
///
/// # Errors
/// A base that cannot be fetched; [`BadInput`] for a folder that holds no encoder, or another kind of it.
pub fn open_bi_encoder(paths: &RunPaths, model: &BaseModel, execution: Execution) -> anyhow::Result<BiEncoder> {
    let folder = base_folder(paths, model)?;
    Ok(BiEncoder::open(&folder, execution).map_err(|error| BadInput(format!("retrieval.dense: {error}")))?)
}
