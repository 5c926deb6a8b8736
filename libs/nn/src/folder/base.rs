//! Folders to start a training from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::layout::{CONFIG_FILE, format_error, read_json, weight_files};
use crate::models::{Backbone, Head, Model, read_config};
use crate::text::{COMPANION_FILES, PairTokenizer, Scoring, TOKENIZER_FILE, Template, Tokenizer, check_fit};
use crate::{Error, Result};

/// Most tokens of a query where a ranker does not say how many it was trained with.
const ASSUMED_QUERY_TOKENS: usize = 64;

/// A Hugging Face folder to start a training from: all but the values of the weights.
#[derive(Debug)]
pub struct Base {
    /// config.json.
    pub config: Value,
    /// The architecture and its sizes, as config.json gives them.
    pub backbone: Arc<dyn Backbone>,
    /// The weights' files.
    pub weights: Vec<PathBuf>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
}

impl Base {
    /// Reads everything of a folder but the weights.
    ///
    /// # Errors
    /// A missing or broken file; an unsupported architecture; a tokenizer with more ids than the embedding has rows.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        if !path.exists() {
            let found = if folder.is_dir() { format!("no {CONFIG_FILE}") } else { "no folder".to_owned() };
            return Err(format_error(folder, "the folder of a Hugging Face model", found));
        }
        let config = read_json(&path)?;
        let backbone = read_config(&config)
            .map_err(|source| Error::ConfigFile { path: path.clone(), source: Box::new(source) })?;
        let weights = weight_files(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        let rows = backbone.vocab_size();
        if tokenizer.vocabulary_size() > rows {
            let expected = format!("vocab_size of at least {} for its tokenizer.json", tokenizer.vocabulary_size());
            return Err(format_error(&path, &expected, format!("vocab_size {rows}")));
        }
        Ok(Self { config, backbone, weights, tokenizer })
    }

    /// A model with this body; its head starts from the seed where the folder has none.
    ///
    /// # Errors
    /// A language model head on an encoder; weights that are not of this architecture.
    pub fn model(&self, head: Head, seed: u64) -> Result<Model> {
        Model::load(self.backbone.clone(), head, &self.weights, Some(seed))
    }

    /// The ranker of this folder: exactly its weights.
    pub(super) fn whole_ranker(&self) -> Result<Model> {
        Model::load(self.backbone.clone(), Head::Score, &self.weights, None)
    }

    /// Every file of the folder that decides the result of a training from it.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = vec![folder.join(CONFIG_FILE), folder.join(TOKENIZER_FILE)];
        files.extend(COMPANION_FILES.map(|name| folder.join(name)).into_iter().filter(|path| path.exists()));
        files.extend(Base::open(folder)?.weights);
        Ok(files)
    }

    /// This base with another dropout than its config.json has, wherever its architecture drops.
    ///
    /// # Errors
    /// A share that is out of range.
    pub fn with_dropout(mut self, share: f64) -> Result<Self> {
        for &field in self.backbone.dropout_fields() {
            self.config[field] = share.into();
        }
        self.backbone = read_config(&self.config)?;
        Ok(self)
    }

    /// The scoring of a ranker with this body: the default of its architecture. A decoder's sequences end in the token that
    /// ended its texts in pre-training.
    ///
    /// # Errors
    /// A tokenizer without the tokens that the template adds; an end token that it does not know; budgets of more tokens
    /// than the model has positions.
    pub fn scoring(&self, max_query_tokens: usize, max_document_tokens: usize) -> Result<Scoring> {
        let mut scoring = Scoring::of(self.backbone.kind(), max_query_tokens, max_document_tokens);
        if let Template::Prompt { end_token } = &mut scoring.template
            && let Some(own) = self.end_token()?
        {
            *end_token = own;
        }
        let pairs = PairTokenizer::new(&self.tokenizer, &scoring)?;
        check_fit(&pairs, self.backbone.vocab_size(), self.backbone.max_tokens())?;
        Ok(scoring)
    }

    /// The scoring of a ranker whose folder does not say it: the default of its architecture, with all the tokens that
    /// model and tokenizer allow, at most a quarter of them for the query.
    pub(super) fn assumed_scoring(&self) -> Result<Scoring> {
        let positions = self.backbone.max_tokens();
        let most = self.tokenizer.model_max_length().map_or(positions, |most| most.min(positions));
        let template = PairTokenizer::new(&self.tokenizer, &self.scoring(0, 0)?)?.max_tokens();
        let room = most.saturating_sub(template);
        let query = (room / 4).clamp(1, ASSUMED_QUERY_TOKENS);
        self.scoring(query, room.saturating_sub(query).max(1))
    }

    /// The first of the end tokens that config.json names.
    fn end_token(&self) -> Result<Option<String>> {
        let id = match self.config.get("eos_token_id") {
            Some(Value::Array(ids)) => ids.first(),
            id => id,
        };
        let Some(id) = id.filter(|id| !id.is_null()) else { return Ok(None) };
        let token = id.as_u64().and_then(|id| self.tokenizer.token(u32::try_from(id).ok()?));
        token.map(Some).ok_or_else(|| Error::Config {
            field: "eos_token_id",
            found: id.to_string(),
            expected: format!("an id of its tokenizer.json, which has {}", self.tokenizer.vocabulary_size()),
        })
    }
}
