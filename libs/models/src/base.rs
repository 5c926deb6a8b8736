//! Base models, by folder, or fetched from an object store or the Hugging Face Hub.

use std::path::{Path, PathBuf};

use nn::folder::{AdapterBase, Base, adapter_base};
use pipeline::config::BaseModel;
use pipeline::{BadInput, Input, RunPaths};
use tables::StageDir;

/// The stage whose model is the base `teacher`.
const TEACHER: &str = "teacher";
/// The folder of its last phase.
const RANK: &str = "rank";

/// The files of a base model, as inputs of a stage: a change of the base runs the stage again.
///
/// # Errors
/// A base that cannot be fetched; [`BadInput`] for a folder that holds no model.
pub fn base_inputs(paths: &RunPaths, base: Option<&BaseModel>) -> anyhow::Result<Vec<Input>> {
    let base = match base {
        None => return Ok(Vec::new()),
        Some(BaseModel::Teacher) => return Ok(vec![Input::Folder { stage: TEACHER, folder: RANK }]),
        Some(base) => base,
    };
    let (folder, hub) = locate(paths, base)?;
    let files = Base::files_on(&folder, hub.as_deref()).map_err(bad_folder)?;
    Ok(files.into_iter().map(Input::File).collect())
}

/// The teacher as an input of a stage. `adapter_base` is the base model of a teacher that is saved as an adapter, which
/// it is merged into.
///
/// # Errors
/// As [`base_inputs`].
pub fn teacher_inputs(paths: &RunPaths, adapter_base: Option<&BaseModel>) -> anyhow::Result<Vec<Input>> {
    let mut inputs = vec![Input::Folder { stage: TEACHER, folder: RANK }];
    inputs.extend(base_inputs(paths, adapter_base)?);
    Ok(inputs)
}

/// Opens a base model; reads everything but the weights.
///
/// # Errors
/// As [`base_inputs`].
pub fn open_base(paths: &RunPaths, base: &BaseModel) -> anyhow::Result<Base> {
    let (folder, hub) = locate(paths, base)?;
    Ok(Base::open_on(&folder, hub.as_deref()).map_err(bad_folder)?)
}

/// Digest of all that a base model consists of: configuration, weights, tokenizer.
///
/// # Errors
/// As [`base_inputs`].
pub fn base_identity(paths: &RunPaths, base: &BaseModel) -> anyhow::Result<String> {
    let (folder, hub) = locate(paths, base)?;
    Ok(nn::folder::identity_on(&folder, hub.as_deref()).map_err(bad_folder)?)
}

/// The folder of a base model, and that of what it adapts where this is on the Hub, see [`hub_base`].
pub(crate) fn locate(paths: &RunPaths, base: &BaseModel) -> anyhow::Result<(PathBuf, Option<PathBuf>)> {
    let folder = base_folder(paths, base)?;
    let hub = hub_base(&folder)?;
    Ok((folder, hub))
}

/// The folder of a base model, which is fetched first if it is in an object store or on the Hub.
///
/// # Errors
/// A base that cannot be fetched.
pub fn base_folder(paths: &RunPaths, base: &BaseModel) -> anyhow::Result<PathBuf> {
    match base {
        BaseModel::Teacher => Ok(StageDir::open(&paths.run_dir(), TEACHER)?.folder(RANK)?),
        BaseModel::Folder(path) => paths.local_folder(path),
        BaseModel::Hub { repository, revision } => fetch(repository, revision),
    }
}

/// The folder of the base model of an adapter that adapts one of the Hub, which is fetched first; `None` of any other folder.
///
/// # Errors
/// A base that cannot be fetched; [`BadInput`] for a broken adapter.
pub fn hub_base(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    match adapter_base(folder).map_err(bad_folder)? {
        Some(AdapterBase::Hub { repository, revision }) => fetch(&repository, &revision).map(Some),
        Some(AdapterBase::Folder(_)) | None => Ok(None),
    }
}

/// True if a base model can be opened, or refused, without downloading anything.
///
/// # Errors
/// [`BadInput`] for a broken cache or adapter.
pub fn is_local(paths: &RunPaths, base: &BaseModel) -> anyhow::Result<bool> {
    let folder = match base {
        BaseModel::Teacher => return Ok(true),
        BaseModel::Folder(path) if objects::is_url(path) && !pipeline::is_fetched(path)? => return Ok(false),
        BaseModel::Folder(path) => paths.local_folder(path)?,
        BaseModel::Hub { repository, revision } => match cached(repository, revision)? {
            Some(folder) => folder,
            None => return Ok(hub::is_offline()),
        },
    };
    match adapter_base(&folder).map_err(bad_folder)? {
        Some(AdapterBase::Hub { repository, revision }) => {
            Ok(cached(&repository, &revision)?.is_some() || hub::is_offline())
        }
        Some(AdapterBase::Folder(_)) | None => Ok(true),
    }
}

fn cached(repository: &str, revision: &str) -> Result<Option<PathBuf>, BadInput> {
    hub::cached(repository, revision).map_err(|error| BadInput(error.to_string()))
}

fn fetch(repository: &str, revision: &str) -> anyhow::Result<PathBuf> {
    match hub::fetch(repository, revision) {
        Err(error) if error.is_bad_input() => Err(BadInput(error.to_string()))?,
        fetched => Ok(fetched?),
    }
}

fn bad_folder(error: nn::Error) -> BadInput {
    BadInput(error.to_string())
}
