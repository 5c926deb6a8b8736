//! Folders to start a training from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;

use super::adapter::{self, Adapter};
use super::layout::{CONFIG_FILE, SETTINGS_FILE, format_error, read_json, weight_files};
use super::sentence_transformers::Words;
use crate::models::{Backbone, Head, Model, is_head, keeping, read_config};
use crate::ops::Precision;
use crate::text::Tokenizer;
use crate::weights::LoraConfig;
use crate::{Error, Result};

/// How the class of a model that gives one score ends, in `architectures` of config.json.
const RANKER_CLASS: &str = "ForSequenceClassification";
/// How the class of a language model ends.
const LANGUAGE_MODEL_CLASS: &str = "ForCausalLM";
/// The words whose logits are a language model's score, where its folder does not say others.
const WORDS: [&str; 2] = ["yes", "no"];

/// A Hugging Face folder to start a training from: all but the values of the weights. It may hold an adapter, which is merged
/// into the model that it adapts.
#[derive(Debug)]
pub struct Base {
    /// The folder.
    pub(super) folder: PathBuf,
    /// config.json.
    pub config: Value,
    /// The architecture and its sizes, as config.json gives them.
    pub backbone: Arc<dyn Backbone>,
    /// The weights' files.
    pub weights: Vec<PathBuf>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
    /// What is merged into the weights, the last first.
    pub(super) adapters: Vec<Adapter>,
    /// The folder of what this folder's adapter adapts, where it holds one.
    pub(super) adapted: Option<PathBuf>,
}

impl Base {
    /// Reads everything of a folder but the weights.
    ///
    /// # Errors
    /// A missing or broken file; an unsupported architecture; a tokenizer with more ids than the embedding has rows.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_on(folder, None)
    }

    /// As [`Base::open`] of an adapter whose base model is on the Hub, and was fetched into the folder `hub`.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn open_on(folder: &Path, hub: Option<&Path>) -> Result<Self> {
        let (folders, whole) = adapter::chain(folder, hub)?;
        let path = whole.join(CONFIG_FILE);
        if !path.exists() {
            let found = if whole.is_dir() { format!("no {CONFIG_FILE}") } else { "no folder".to_owned() };
            return Err(format_error(&whole, "the folder of a Hugging Face model", found));
        }
        let config = read_json(&path)?;
        let backbone = read_config(&config)
            .map_err(|source| Error::ConfigFile { path: path.clone(), source: Box::new(source) })?;
        let weights = weight_files(&whole)?;
        let tokenizer = Tokenizer::load(tokenizer_folder(&folders, &whole))?;
        let rows = backbone.vocab_size();
        if tokenizer.vocabulary_size() > rows {
            let expected = format!("vocab_size of at least {} for its tokenizer.json", tokenizer.vocabulary_size());
            return Err(format_error(&path, &expected, format!("vocab_size {rows}")));
        }
        let adapters = folders.iter().map(|folder| Adapter::open(folder, backbone.as_ref())).collect::<Result<_>>()?;
        let adapted = folders.first().map(|_| folders.get(1).unwrap_or(&whole).clone());
        Ok(Self { folder: folder.to_owned(), config, backbone, weights, tokenizer, adapters, adapted })
    }

    /// A model with this body; its head starts from the seed where the folder has none.
    ///
    /// # Errors
    /// A language model head on an encoder; weights that are not of this architecture.
    pub fn model(&self, head: Head, seed: u64) -> Result<Model> {
        let model = Model::load(self.backbone.clone(), head, &self.weights, Some(seed))?;
        self.adapters.iter().rev().try_for_each(|adapter| adapter.merge_into(&model))?;
        Ok(model)
    }

    /// The architecture of a shallower model of these layers, see [`Model::keeping`].
    ///
    /// # Errors
    /// As there.
    pub fn keeping(&self, keep: &[usize]) -> Result<Option<Arc<dyn Backbone>>> {
        keeping(self.backbone.as_ref(), keep)
    }

    /// Refuses updates of low rank that a ranker with this body cannot have.
    ///
    /// # Errors
    /// As [`Model::with_lora`].
    pub fn check_lora(&self, lora: &LoraConfig) -> Result<()> {
        lora.check_for(&self.backbone.weights(Head::Score), |name| is_head(self.backbone.as_ref(), name))
    }

    /// The numbers in all weights of a ranker with this body.
    pub fn weight_count(&self) -> u64 {
        let counts =
            self.backbone.weights(Head::Score).into_iter().map(|spec| spec.shape.iter().product::<usize>() as u64);
        counts.sum()
    }

    /// True if the folder holds a model that gives one score.
    pub(super) fn is_ranker(&self) -> bool {
        self.class().is_some_and(|class| class.ends_with(RANKER_CLASS))
    }

    fn class(&self) -> Option<&str> {
        self.config["architectures"][0].as_str()
    }

    /// The ranker of this folder with this head: exactly its weights. Of a foreign classifier of two labels, the score is the logit of label 1 less
    /// that of label 0; of a language model, the logit of one word less that of another, `yes` and `no` unless the folder
    /// says other ones. Loaded for a precision that rounds weights once, it can only score, and only in this one.
    ///
    /// # Errors
    /// A model of another kind; weights that are not its own.
    pub(super) fn whole_ranker(&self, head: Head, words: Option<Words>, precision: Precision) -> Result<Model> {
        let path = self.folder.join(CONFIG_FILE);
        let class = self.class().unwrap_or_default();
        let load = |head| match precision.rounds_once() {
            true => Model::load_to_round(self.backbone.clone(), head, &self.weights),
            false => Model::load(self.backbone.clone(), head, &self.weights, None),
        };
        if class.ends_with(LANGUAGE_MODEL_CLASS) {
            let words = words.map_or_else(|| self.default_words(), Ok)?;
            return load(Head::LanguageModel)?.scored_by_words(words.yes, words.no);
        }
        if !self.is_ranker() {
            let expected = format!(
                "architectures [\"...{RANKER_CLASS}\"], or [\"...{LANGUAGE_MODEL_CLASS}\"] scored by two words"
            );
            return Err(format_error(&path, &expected, self.config["architectures"][0].to_string()));
        }
        match (head, self.config["id2label"].as_object().map(serde_json::Map::len)) {
            (Head::Grades(grades), Some(labels)) if labels == grades => load(head),
            (Head::Grades(grades), labels) => {
                let expected = format!("id2label of the {grades} grades that its {SETTINGS_FILE} says");
                Err(format_error(&path, &expected, format!("{} labels", labels.unwrap_or_default())))
            }
            (_, None | Some(1 | 2)) => load(Head::Score),
            (_, Some(labels)) => {
                let expected = "id2label of one label, or of two: not relevant and relevant";
                Err(format_error(&path, expected, format!("{labels} labels")))
            }
        }
    }

    fn default_words(&self) -> Result<Words> {
        let id = |word| {
            self.tokenizer.id(word).map_err(|_| {
                let expected = format!("a model that scores: architectures [\"...{RANKER_CLASS}\"], or a language model whose tokenizer has the tokens {WORDS:?}");
                let class = self.class().unwrap_or_default();
                format_error(&self.folder.join(CONFIG_FILE), &expected, format!("{class} without the token {word:?}"))
            })
        };
        Ok(Words { yes: id(WORDS[0])?, no: Some(id(WORDS[1])?) })
    }

    /// This base with another padding token in its configuration.
    pub(super) fn with_padding(mut self, id: Option<u32>) -> Result<Self> {
        self.config["pad_token_id"] = id.into();
        self.backbone = read_config(&self.config)?;
        Ok(self)
    }

    /// Every file of the folder that decides the result of a training from it.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
        Self::files_on(folder, None)
    }

    /// As [`Base::files`] of an adapter whose base model is on the Hub, and was fetched into the folder `hub`.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn files_on(folder: &Path, hub: Option<&Path>) -> Result<Vec<PathBuf>> {
        let (folders, whole) = adapter::chain(folder, hub)?;
        let tokenizer = tokenizer_folder(&folders, &whole);
        let mut files = vec![whole.join(CONFIG_FILE)];
        files.extend(Tokenizer::files_of(tokenizer).into_iter().filter(|path| *path != whole.join(CONFIG_FILE)));
        files.extend(super::input::files(folder));
        files.extend(Base::open_on(folder, hub)?.weights);
        files.extend(folders.iter().flat_map(|folder| adapter::FILES.map(|name| folder.join(name))));
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
}

/// The folder whose tokenizer is that of the model: an adapter's own, where it has one.
fn tokenizer_folder<'a>(adapters: &'a [PathBuf], whole: &'a Path) -> &'a Path {
    let own = adapters.iter().map(PathBuf::as_path).find(|folder| !Tokenizer::files_of(folder).is_empty());
    own.unwrap_or(whole)
}
