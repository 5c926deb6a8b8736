//! The model that scores.

use std::path::Path;

use anyhow::Context;
use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{identity_on, load_scorer};
use nn::text::{Scoring, Template, Texts, Window};
use pipeline::BadInput;
use pipeline::config::ScoreConfig;

use crate::pairs::ROWS;
use crate::request::Request;

/// A cross-encoder.
pub(crate) struct Scorer<'a> {
    /// Its folder, for messages.
    folder: &'a Path,
    cross_encoder: CrossEncoder,
    /// The digest of all that decides the score of a window of rows but their texts.
    pub(crate) fingerprint: String,
}

impl<'a> Scorer<'a> {
    /// Loads the model of a request.
    pub(crate) fn load(request: &Request<'a>) -> anyhow::Result<Scorer<'a>> {
        let Request { model, choice, precision, .. } = *request;
        let hub = models::hub_base(model)?;
        let unreadable = |error| BadInput(unreadable_model(&error));
        let saved = load_scorer(model, hub.as_deref(), choice, precision).map_err(unreadable)?;
        if saved.is_foreign {
            tracing::info!("{}: {}", model.display(), input_of(&saved.settings.scoring));
        }
        let execution = Execution { precision, batch_tokens: ScoreConfig::default().batch_tokens };
        let identity = identity_on(model, hub.as_deref()).map_err(unreadable)?;
        let (program, precision) = (env!("CARGO_PKG_VERSION"), format!("{precision:?}"));
        let decides = (program, identity, &saved.settings.scoring, precision, execution.batch_tokens, ROWS);
        let decides = serde_json::to_vec(&decides).context("what decides the scores cannot be written as JSON")?;
        let cross_encoder = CrossEncoder::of_saved(&saved, execution)?;
        Ok(Scorer { folder: model, cross_encoder, fingerprint: files::sha256(&decides) })
    }

    /// The raw logit of each pair.
    pub(crate) fn scores(&self, texts: &[Texts<'_>]) -> anyhow::Result<Vec<f32>> {
        self.cross_encoder.score(texts).map_err(|error| match error {
            nn::Error::NonFinite { value, .. } => {
                let folder = self.folder.display();
                let expected = "expected weights that give every row a finite score";
                anyhow::Error::new(BadInput(format!("{folder}: {expected}, found {value}; save the model again")))
            }
            error => anyhow::Error::new(error).context("scoring"),
        })
    }
}

/// What is wrong with a model, and for a template that nobody says the option that sets it.
fn unreadable_model(error: &nn::Error) -> String {
    match error {
        nn::Error::UnknownTemplate { example, .. } => format!("{error}; on the command line: --template '{example}'"),
        error => error.to_string(),
    }
}

/// How a ranker of another library is read.
fn input_of(scoring: &Scoring) -> String {
    let template = match &scoring.template {
        Template::Prompt { text, .. } => format!("{text:?}"),
        Template::Pair { query_prompt } if query_prompt.is_empty() => "the tokenizer's pair".to_string(),
        Template::Pair { query_prompt } => format!("the tokenizer's pair with {query_prompt:?} before the query"),
    };
    let window = match scoring.window {
        Window::LongestFirst { max_length } => format!("{max_length} tokens, the longer text cut first"),
        Window::OnlySecond { max_length } => format!("{max_length} tokens, the document cut"),
        Window::Fields { max_query_tokens, max_document_tokens } => {
            format!("{max_query_tokens} tokens of the query and {max_document_tokens} of the document")
        }
    };
    format!("saved by another library; it reads {template}, at most {window}")
}
