//! How a ranker's folder says that its texts are read: in `disranker.json`, or as the Hugging Face libraries would.

use std::path::{Path, PathBuf};

use super::base::Base;
use super::chat::{self, ChatTemplate};
use super::layout::SETTINGS_FILE;
use super::sentence_transformers::{SentenceTransformers, module_files};
use super::settings;
use crate::error::{Error, Result};
use crate::text::{Kind, PairTokenizer, Passages, Scoring, Template, Window, check_fit};

/// Tokens of a sequence that a training reads where nobody says how many, unless the model takes fewer.
const TRAINED_LENGTH: usize = 512;

/// Which tokens are cut from a query and a document that are too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Truncation {
    /// See [`Window::LongestFirst`].
    #[default]
    LongestFirst,
    /// See [`Window::OnlySecond`].
    OnlySecond,
    /// See [`Window::Fields`].
    Fields {
        /// Most tokens of the query.
        max_query_tokens: usize,
        /// Most tokens of title and summary together.
        max_document_tokens: usize,
    },
}

/// What a user says about the input of a model. What is left open, the model's folder says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct InputChoice {
    /// The template, see [`Template::given`].
    pub template: Option<String>,
    /// Most tokens of a sequence; of no meaning with [`Truncation::Fields`].
    pub max_length: Option<usize>,
    /// Which tokens are cut.
    pub truncation: Option<Truncation>,
    /// How documents longer than the window are read, see [`Passages`].
    pub passages: Option<Passages>,
}

impl InputChoice {
    /// The window of a model, where `max_length` and `truncation` are its own.
    pub fn window(&self, max_length: usize, truncation: Truncation) -> Window {
        let max_length = self.max_length.unwrap_or(max_length);
        match self.truncation.unwrap_or(truncation) {
            Truncation::LongestFirst => Window::LongestFirst { max_length },
            Truncation::OnlySecond => Window::OnlySecond { max_length },
            Truncation::Fields { max_query_tokens, max_document_tokens } => {
                Window::Fields { max_query_tokens, max_document_tokens }
            }
        }
    }
}

impl Base {
    /// The scoring of a ranker that is trained from this folder, and the folder as its base: the texts are read as the folder
    /// says, by the template of its architecture where it is no ranker yet; up to 512 tokens of them where the model takes
    /// so many.
    ///
    /// # Errors
    /// A ranker whose folder does not say its template; a template that the tokenizer does not know all tokens of; more
    /// tokens than the model has positions.
    pub fn for_training(self, choice: &InputChoice) -> Result<(Self, Scoring)> {
        let is_ranker = self.is_ranker() || self.folder.join(SETTINGS_FILE).exists();
        let library = if is_ranker { SentenceTransformers::read(&self.folder)? } else { Default::default() };
        let template = match &choice.template {
            Some(given) => Template::given(given),
            None if is_ranker => self.template(&library)?,
            None => self.template_of_kind()?,
        };
        let window = choice.window(self.max_length(&library).min(TRAINED_LENGTH), library.truncation_of(&template));
        let pooling = self.saved_scoring()?.map_or(self.backbone.pooling(), |scoring| scoring.pooling);
        let scoring = Scoring { template, pooling, window, passages: choice.passages };
        self.check_input(&scoring)?;
        let padding = PairTokenizer::new(&self.tokenizer, &scoring)?.padding();
        match self.backbone.kind() {
            Kind::Encoder => Ok((self, scoring)),
            Kind::Decoder => Ok((self.with_padding(Some(padding))?, scoring)),
        }
    }

    /// The scoring of the ranker that this folder holds, which another library saved.
    pub(super) fn foreign_scoring(&self, choice: &InputChoice, library: &SentenceTransformers) -> Result<Scoring> {
        let given = choice.template.as_deref().map(Template::given);
        let template = given.map_or_else(|| self.template(library), Ok)?;
        let window = choice.window(self.max_length(library), library.truncation_of(&template));
        let scoring = Scoring { template, pooling: self.backbone.pooling(), window, passages: choice.passages };
        self.check_input(&scoring)?;
        Ok(scoring)
    }

    /// Refuses an input that the model cannot take.
    fn check_input(&self, scoring: &Scoring) -> Result<()> {
        let pairs = PairTokenizer::new(&self.tokenizer, scoring)?;
        check_fit(&pairs, self.backbone.vocab_size(), self.backbone.max_tokens())
    }

    /// The longest sequence that the libraries would read.
    fn max_length(&self, library: &SentenceTransformers) -> usize {
        let positions = self.backbone.max_tokens();
        library.max_length.or(self.tokenizer.model_max_length()).map_or(positions, |most| most.min(positions))
    }

    /// How the ranker in this folder scores, where this project saved it.
    fn saved_scoring(&self) -> Result<Option<Scoring>> {
        let path = self.folder.join(SETTINGS_FILE);
        if !path.exists() {
            return Ok(None);
        }
        Ok(Some(settings::read(&path, &self.folder, &self.tokenizer, self.adapted.as_deref())?.scoring))
    }

    /// The template of the ranker in this folder.
    fn template(&self, library: &SentenceTransformers) -> Result<Template> {
        if let Some(scoring) = self.saved_scoring()? {
            return Ok(scoring.template);
        }
        let chat = ChatTemplate::of_folder(&self.folder, library.adds_generation_prompt)?;
        let chats = |chat: &ChatTemplate| library.chats.unwrap_or_else(|| chat.names_both_roles());
        if let Some(chat) = chat.filter(chats) {
            return chat.template(&self.tokenizer, &library.query_prompt);
        }
        if library.chats.is_some() || self.backbone.kind() == Kind::Encoder {
            return Ok(Template::Pair { query_prompt: library.query_prompt.clone() });
        }
        let end = self.end_token()?.unwrap_or_default();
        let example = format!("query: {{query}} document: {{document}}{end}");
        Err(Error::UnknownTemplate { path: self.folder.clone(), example })
    }

    /// The template of a model that is no ranker yet. A decoder's sequences end in the token that ended its texts in
    /// pre-training, unless the tokenizer adds it.
    fn template_of_kind(&self) -> Result<Template> {
        let kind = self.backbone.kind();
        let own = Scoring::of(kind, Window::LongestFirst { max_length: 0 }).template;
        let (Kind::Decoder, Some(end)) = (kind, self.end_token()?) else { return Ok(own) };
        let [_, after] = self.tokenizer.added_tokens()?;
        let is_added = after.last() == Some(&self.tokenizer.id(&end)?);
        Ok(Template::of_decoder(if is_added { "" } else { &end }))
    }

    /// The first of the end tokens that config.json names.
    fn end_token(&self) -> Result<Option<String>> {
        let id = match self.config.get("eos_token_id") {
            Some(serde_json::Value::Array(ids)) => ids.first(),
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

/// The files of a folder that say how its texts are read, beside those of the tokenizer.
pub(super) fn files(folder: &Path) -> Vec<PathBuf> {
    let own = Some(folder.join(SETTINGS_FILE)).filter(|path| path.exists());
    own.into_iter().chain(chat::files(folder)).chain(module_files(folder)).collect()
}
