//! What a training asks of a base model before it loads the weights: its kind, its files, how it is to score.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::config::{Architecture, BertConfig, LlamaConfig};
use crate::folder::Base;
use crate::text::{Encoder, Scoring, Template, check_fit};
use crate::tokenizer::{COMPANION_FILES, TOKENIZER_FILE};
use crate::{Error, Result};

/// Most tokens of a query where a ranker does not say how many it was trained with.
const ASSUMED_QUERY_TOKENS: usize = 64;

impl Base {
    /// Every file of the folder that decides what a training from it makes.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        let mut files = vec![folder.join("config.json"), folder.join(TOKENIZER_FILE)];
        files.extend(COMPANION_FILES.map(|name| folder.join(name)).into_iter().filter(|path| path.exists()));
        files.extend(Base::open(folder)?.weights);
        Ok(files)
    }

    /// Whether the model reads in both directions, and so predicts no next token.
    ///
    /// # Errors
    /// An unsupported architecture.
    pub fn is_encoder(&self) -> Result<bool> {
        Ok(Architecture::of(&self.config)? == Architecture::Bert)
    }

    /// This base with another dropout than its config.json has, wherever its architecture drops.
    ///
    /// # Errors
    /// An unsupported architecture.
    pub fn with_dropout(mut self, share: f64) -> Result<Self> {
        let fields: &[&str] = match Architecture::of(&self.config)? {
            Architecture::Bert => &["hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"],
            Architecture::Llama => &["attention_dropout"],
        };
        fields.iter().for_each(|&field| self.config[field] = share.into());
        Ok(self)
    }

    /// How a ranker on this body scores. A decoder's sequences end in the token that ended its texts in pre-training.
    ///
    /// # Errors
    /// An unsupported architecture; a tokenizer without the tokens that the template adds; an end token that it does not
    /// know; budgets of more tokens than the model has positions.
    pub fn scoring(&self, max_query_tokens: usize, max_document_tokens: usize) -> Result<Scoring> {
        let mut scoring = Scoring::of(Architecture::of(&self.config)?, max_query_tokens, max_document_tokens);
        if let Template::Prompt { end_token } = &mut scoring.template
            && let Some(own) = self.end_token()?
        {
            *end_token = own;
        }
        let size =
            |field: &str| self.config.get(field).and_then(Value::as_u64).map_or(usize::MAX, |size| size as usize);
        let encoder = Encoder::new(&self.tokenizer, &scoring)?;
        check_fit(&encoder, size("vocab_size"), size("max_position_embeddings"))?;
        Ok(scoring)
    }

    /// How a ranker scores whose folder does not say it: as its architecture does, with all the tokens that model and
    /// tokenizer allow, a quarter of them at most for the query.
    pub(crate) fn assumed_scoring(&self) -> Result<Scoring> {
        let positions = match Architecture::of(&self.config)? {
            Architecture::Llama => LlamaConfig::from_json(&self.config)?.max_position_embeddings,
            Architecture::Bert => BertConfig::from_json(&self.config)?.max_position_embeddings,
        };
        let most = self.tokenizer.model_max_length().map_or(positions, |most| most.min(positions));
        let template = Encoder::new(&self.tokenizer, &self.scoring(0, 0)?)?.max_tokens();
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
