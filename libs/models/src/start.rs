//! What the teacher and the students start from.

use nn::folder::Base;
use nn::text::{Kind, Scoring, Tokenizer};
use pipeline::config::BaseModel;
use pipeline::{BadInput, ConfigError, RunPaths};

use crate::open_base;

/// Where a model starts, as the configuration says it.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The key that names the base model, for messages.
    pub key: &'a str,
    /// The base model; without one, the model starts from random weights.
    pub base: Option<&'a BaseModel>,
    /// Encoder or decoder, for a model from random weights.
    pub kind: Kind,
    /// Tokens kept of a query.
    pub max_query_tokens: usize,
    /// Tokens kept of a document.
    pub max_document_tokens: usize,
    /// Dropout while training, in place of the base model's own.
    pub dropout: Option<f64>,
}

/// What a model starts from.
#[derive(Debug)]
pub struct Start {
    /// The base model; without one, the model starts from random weights.
    pub base: Option<Base>,
    /// How the model scores.
    pub scoring: Scoring,
}

impl Start {
    /// Opens what `origin` names. `tokenizer` is the one that stage `cpt` took from the base, or trained.
    ///
    /// # Errors
    /// As [`open_base`]; [`BadInput`] for a base that now has another tokenizer; [`ConfigError`] for token budgets that
    /// exceed the base model's length.
    pub fn open(paths: &RunPaths, origin: &Origin<'_>, tokenizer: &Tokenizer) -> anyhow::Result<Start> {
        let Origin { key, max_query_tokens, max_document_tokens, .. } = *origin;
        let Some(base) = origin.base else {
            let scoring = Scoring::of(origin.kind, max_query_tokens, max_document_tokens);
            return Ok(Start { base: None, scoring });
        };
        let mut opened = open_base(paths, base)?;
        if let Some(share) = origin.dropout {
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
