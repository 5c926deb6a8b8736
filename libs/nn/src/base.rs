//! What a training asks of a base model before it loads the weights: its kind, its files, how it is to score.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::config::Architecture;
use crate::folder::Base;
use crate::text::{Encoder, Scoring, Template, check_fit};
use crate::tokenizer::{COMPANION_FILES, TOKENIZER_FILE};

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

    /// How a ranker on this body scores. A decoder's sequences end in the token that ended its texts in pre-training.
    ///
    /// # Errors
    /// An unsupported architecture; a tokenizer without the tokens that the template adds; budgets of more tokens than the
    /// model has positions.
    pub fn scoring(&self, max_query_tokens: usize, max_document_tokens: usize) -> Result<Scoring> {
        let mut scoring = Scoring::of(Architecture::of(&self.config)?, max_query_tokens, max_document_tokens);
        if let (Template::Prompt { end_token }, Some(own)) = (&mut scoring.template, self.end_token()) {
            *end_token = own;
        }
        let size =
            |field: &str| self.config.get(field).and_then(Value::as_u64).map_or(usize::MAX, |size| size as usize);
        let encoder = Encoder::new(&self.tokenizer, &scoring)?;
        check_fit(&encoder, size("vocab_size"), size("max_position_embeddings"))?;
        Ok(scoring)
    }

    /// The first of the end tokens that config.json names.
    fn end_token(&self) -> Option<String> {
        let id = match self.config.get("eos_token_id")? {
            Value::Array(ids) => ids.first()?,
            id => id,
        };
        self.tokenizer.token(u32::try_from(id.as_u64()?).ok()?)
    }
}
