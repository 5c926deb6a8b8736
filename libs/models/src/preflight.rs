//! What can be said about the models of a pipeline before anything is trained: whether they load, read their input, and fit
//! the machine.

use nn::folder::Base;
use pipeline::config::{BaseModel, TeacherConfig};
use pipeline::{ConfigError, Pipeline, RunPaths};

use crate::base::locate;
use crate::memory::{gibibytes, machine_bytes};
use crate::start::{Origin, for_training, low_rank, saved_teacher_input};

/// Bytes of a weight.
const WEIGHT: u64 = 4;
/// Bytes of a trained weight's gradient and moments beside it.
const TRAINED: u64 = 12;

/// Opens the models that the pipeline names, without their weights, and refuses what a later stage would refuse hours later.
///
/// # Errors
/// A model that cannot be opened; an input it cannot take; layers and linear layers that it does not have; more weights than
/// the machine's memory holds.
pub fn check_models(pipeline: &Pipeline) -> anyhow::Result<()> {
    let (paths, distill) = (pipeline.paths(), &pipeline.distill);
    if let Some(teacher) = &pipeline.teacher {
        check_teacher(&paths, teacher)?;
    }
    if let Some(base) = pipeline.student_origin() {
        let origin = Origin::student(Some(base), &distill.input, distill.dropout);
        let opened = for_training(&paths, &origin, base)?.0;
        if let Some(keep) = &distill.keep_layers {
            check_layers(&opened, keep)?;
        }
        check_memory("distill.base", base, &opened, true)?;
    }
    Ok(())
}

fn check_teacher(paths: &RunPaths, teacher: &TeacherConfig) -> anyhow::Result<()> {
    if let Some(saved) = &teacher.saved {
        saved_teacher_input(paths, saved, &teacher.input)?;
    }
    let Some(base) = &teacher.base else { return Ok(()) };
    let origin = Origin::teacher(Some(base), &teacher.input, teacher.dropout).with_pooling(teacher.pooling);
    let opened = for_training(paths, &origin, base)?.0;
    let is_merged = teacher.lora.as_ref().is_none_or(|lora| lora.merge);
    if !is_merged && locate(paths, base)?.1.is_some() {
        Err(ConfigError::Unusable(format!(
            "teacher.lora.merge: expected true, as teacher.base = {base} is itself an adapter of a model of the Hub, found false"
        )))?;
    }
    if let Some(lora) = &teacher.lora {
        opened.check_lora(&low_rank(lora)).map_err(|error| ConfigError::Unusable(format!("teacher.{error}")))?;
    }
    Ok(check_memory("teacher.base", base, &opened, teacher.lora.is_none())?)
}

/// Refuses layers that a student cannot be made of.
///
/// # Errors
/// Layers that the base model does not have; an architecture that keeps all of its layers.
pub fn check_layers(base: &Base, keep: &[usize]) -> Result<(), ConfigError> {
    let kept = base.keeping(keep).map_err(|error| ConfigError::Unusable(format!("distill.{error}")))?;
    kept.map(drop).ok_or_else(|| {
        let found = base.backbone.name();
        ConfigError::Unusable(format!(
            "distill.keep_layers: expected an encoder as distill.base, found the architecture {found}"
        ))
    })
}

/// Refuses weights that do not fit the machine, whatever the batch.
fn check_memory(key: &str, base: &BaseModel, opened: &Base, all_trained: bool) -> Result<(), ConfigError> {
    let needed = opened.weight_count() * (WEIGHT + if all_trained { TRAINED } else { 0 });
    match machine_bytes() {
        Some(there) if needed > there => Err(ConfigError::Unusable(format!(
            "{key} = {base}: expected weights whose training fits the memory of this machine, {}, found {} \
                 with gradients and moments; take a smaller model, or adapt it by a table teacher.lora",
            gibibytes(there),
            gibibytes(needed)
        ))),
        _ => Ok(()),
    }
}
