//! Base models, by folder or fetched from the Hugging Face Hub, and what the teacher and the students start from.

use std::path::PathBuf;

use nn::config::Architecture;
use nn::folder::Base;
use nn::text::Scoring;
use nn::tokenizer::Tokenizer;
use pipeline::config::BaseModel;
use pipeline::{BadInput, ConfigError, Input, Pipeline};
use tables::StageDir;

/// The stage whose model is the base `teacher`.
const TEACHER: &str = "teacher";

/// The files of a base model, as inputs of a stage: a change of the base runs the stage again.
///
/// # Errors
/// A base that cannot be fetched; [`BadInput`] for a folder that is no model's.
pub fn base_inputs(pipeline: &Pipeline, base: Option<&BaseModel>) -> anyhow::Result<Vec<Input>> {
    let base = match base {
        None => return Ok(Vec::new()),
        Some(BaseModel::Teacher) => return Ok(vec![Input::Folder { stage: TEACHER, folder: "rank" }]),
        Some(base) => base,
    };
    let files = Base::files(&base_folder(pipeline, base)?).map_err(|error| BadInput(error.to_string()))?;
    Ok(files.into_iter().map(Input::File).collect())
}

/// The teacher as an input of a stage; of an adapter, also the base model it is merged into.
///
/// # Errors
/// As [`base_inputs`].
pub fn teacher_inputs(pipeline: &Pipeline) -> anyhow::Result<Vec<Input>> {
    let is_adapter = pipeline.teacher.lora.as_ref().is_some_and(|lora| !lora.merge);
    let mut inputs = vec![Input::Folder { stage: TEACHER, folder: "rank" }];
    inputs.extend(base_inputs(pipeline, pipeline.teacher.base.as_ref().filter(|_| is_adapter))?);
    Ok(inputs)
}

/// Opens a base model; reads everything but the weights.
///
/// # Errors
/// As [`base_inputs`].
pub fn open_base(pipeline: &Pipeline, base: &BaseModel) -> anyhow::Result<Base> {
    Ok(Base::open(&base_folder(pipeline, base)?).map_err(|error| BadInput(error.to_string()))?)
}

/// Digest of all that a base model brings: configuration, weights, tokenizer.
///
/// # Errors
/// As [`base_inputs`].
pub fn base_identity(pipeline: &Pipeline, base: &BaseModel) -> anyhow::Result<String> {
    Ok(nn::folder::identity(&base_folder(pipeline, base)?).map_err(|error| BadInput(error.to_string()))?)
}

/// What a model starts from.
#[derive(Debug)]
pub struct Start {
    /// The base model; without one, it starts from random weights.
    pub base: Option<Base>,
    /// How the model scores.
    pub scoring: Scoring,
}

impl Start {
    /// What the teacher starts from. `tokenizer` is the one that stage `cpt` took from the base, or made.
    ///
    /// # Errors
    /// As [`open_base`]; [`BadInput`] for a base that has got another tokenizer; [`ConfigError`] for budgets of tokens
    /// that the base has no room for.
    pub fn of_teacher(pipeline: &Pipeline, tokenizer: &Tokenizer) -> anyhow::Result<Start> {
        let budgets = (pipeline.cpt.max_query_tokens, pipeline.cpt.max_document_tokens);
        let dropout = pipeline.teacher.dropout;
        match &pipeline.teacher.base {
            Some(base) => Start::of_base(pipeline, ("teacher.base", base), tokenizer, budgets, dropout),
            None => Ok(Start { base: None, scoring: Scoring::of(Architecture::Llama, budgets.0, budgets.1) }),
        }
    }

    /// What a student with this base starts from, likewise.
    ///
    /// # Errors
    /// As [`Start::of_teacher`].
    pub fn of_student(pipeline: &Pipeline, base: Option<&BaseModel>, tokenizer: &Tokenizer) -> anyhow::Result<Start> {
        let budgets = (pipeline.distill.max_query_tokens, pipeline.distill.max_document_tokens);
        // Both students drop alike, also where one starts from the teacher and the other from the teacher's base.
        let inherits = pipeline.distill.base == Some(BaseModel::Teacher);
        let dropout = pipeline.distill.dropout.or(pipeline.teacher.dropout.filter(|_| inherits));
        match base {
            Some(base) => Start::of_base(pipeline, ("distill.base", base), tokenizer, budgets, dropout),
            None => Ok(Start { base: None, scoring: Scoring::of(Architecture::Bert, budgets.0, budgets.1) }),
        }
    }

    fn of_base(
        pipeline: &Pipeline,
        (key, base): (&str, &BaseModel),
        tokenizer: &Tokenizer,
        (max_query_tokens, max_document_tokens): (usize, usize),
        dropout: Option<f64>,
    ) -> anyhow::Result<Start> {
        let mut opened = open_base(pipeline, base)?;
        if let Some(share) = dropout {
            opened = opened.with_dropout(share).map_err(|error| BadInput(error.to_string()))?;
        }
        let (expected, found) = (tokenizer.identity(), opened.tokenizer.identity());
        if expected != found {
            Err(BadInput(format!(
                "{key} = {base}: expected the tokenizer.json that stage cpt took over, sha256 {expected}, found sha256 \
                 {found}; re-run cpt"
            )))?;
        }
        let scoring = opened.scoring(max_query_tokens, max_document_tokens);
        let scoring = scoring.map_err(|error| ConfigError::Unusable(format!("{key} = {base}: {error}")))?;
        Ok(Start { base: Some(opened), scoring })
    }
}

/// The folder of a base model, fetched first where it is on the Hub.
///
/// # Errors
/// A base that cannot be fetched.
pub fn base_folder(pipeline: &Pipeline, base: &BaseModel) -> anyhow::Result<PathBuf> {
    match base {
        BaseModel::Teacher => Ok(StageDir::open(&pipeline.run_dir(), TEACHER)?.folder("rank")?),
        BaseModel::Folder(path) => Ok(pipeline.resolve(path)),
        BaseModel::Hub { repository, revision } => match hub::fetch(repository, revision) {
            Err(error) if error.is_bad_input() => Err(BadInput(error.to_string()))?,
            fetched => Ok(fetched?),
        },
    }
}
