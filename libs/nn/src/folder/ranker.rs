//! Rankers and language models as folders, written and read.

use std::path::Path;

use serde_json::Value;

use super::base::Base;
use super::identity::identity;
use super::input::InputChoice;
use super::layout::{CARD_FILE, CONFIG_FILE, SETTINGS_FILE, WEIGHTS_FILE, format_error, write_json};
use super::sentence_transformers::SentenceTransformers;
use super::settings::{self, Settings};
use super::{adapter, export};
use crate::error::{Error, Result};
use crate::files;
use crate::models::Model;
use crate::ops::Precision;
use crate::text::{Kind, PairTokenizer, Pooling, Scoring, Tokenizer, check_fit};
use crate::weights::Params;

/// A ranker with its tokenizer and how it scores.
#[derive(Debug)]
pub struct SavedRanker {
    /// The model.
    pub ranker: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it scores.
    pub settings: Settings,
    /// True if another library saved it: its texts are read as that library would, or as the user says.
    pub is_foreign: bool,
}

/// Writes a ranker into a folder, which is made where missing, so that transformers and sentence-transformers read texts as it
/// does: they cut a pair by its window, unless that is [`Window::Fields`], and render a prompt as a chat template. They would read
/// a decoder's last token where its score is read from the mean of all; the head of such a ranker has a name that they do not
/// know, so that they report it as missing.
/// Equal models give equal bytes.
///
/// # Errors
/// A scoring or tokenizer that does not fit the model; a folder that cannot be written.
///
/// [`Window::Fields`]: crate::text::Window::Fields
pub fn save_ranker(
    folder: &Path,
    ranker: &Model,
    tokenizer: &Tokenizer,
    settings: &Settings,
    card: &str,
) -> Result<()> {
    let path = folder.join(SETTINGS_FILE);
    let pairs = check_ranker(&path, ranker, tokenizer, settings)?;
    let mut config = ranker.config_json()?;
    let mut exported = export::tokenizer(tokenizer, &settings.scoring, pairs.max_tokens())?;
    if ranker.backbone().kind() == Kind::Decoder {
        let padding = ranker.backbone().pad_id().unwrap_or_else(|| pairs.padding());
        config["pad_token_id"] = padding.into();
        if exported.pad_id() != Some(padding) {
            exported = exported.with_pad_id(padding)?;
        }
    }
    let stored = ranker.params().renamed(|name| Some(ranker.stored_name(name).to_owned()));
    save_parts(folder, &config, &stored, &exported, card)?;
    export::modules(folder, &settings.scoring)?;
    settings::save(&path, &exported, (settings, ranker.head()), None)
}

/// Writes a ranker made by [`Model::with_lora`] as a PEFT adapter of the model in folder `base`, which may be relative to
/// `folder`. Equal models give equal bytes.
///
/// # Errors
/// As [`save_ranker`]; a ranker without updates of low rank.
pub fn save_adapter(
    folder: &Path,
    ranker: &Model,
    base: &Path,
    tokenizer: &Tokenizer,
    settings: &Settings,
    card: &str,
) -> Result<()> {
    let path = folder.join(SETTINGS_FILE);
    check_ranker(&path, ranker, tokenizer, settings)?;
    adapter::save(folder, ranker, base)?;
    tokenizer.save(folder)?;
    files::write_atomically(&folder.join(CARD_FILE), card.as_bytes())?;
    settings::save(&path, tokenizer, (settings, ranker.head()), Some(identity(&folder.join(base))?))
}

/// Reads a ranker that [`save_ranker`] or [`save_adapter`] wrote, which merges an adapter into its base, or another library:
/// any `*ForSequenceClassification` with one label or two, and any `*ForCausalLM` that is scored by two words. Of those,
/// `choice` says how texts are read where the folder does not.
///
/// # Errors
/// A missing or broken file; a model of another kind; a tokenizer or scoring that is not the model's own; a choice beside
/// `disranker.json`; a decoder whose template nobody says.
pub fn load_ranker(folder: &Path, choice: &InputChoice) -> Result<SavedRanker> {
    load_ranker_on(folder, None, choice)
}

/// As [`load_ranker`] of an adapter whose base model is on the Hub, and was fetched into the folder `hub`.
///
/// # Errors
/// As [`load_ranker`].
pub fn load_ranker_on(folder: &Path, hub: Option<&Path>, choice: &InputChoice) -> Result<SavedRanker> {
    read_ranker(folder, hub, choice, Precision::F32)
}

/// As [`load_ranker_on`], of a ranker that only scores, in this precision. In int8, its linear layers take a byte a weight, and in
/// bf16 two, on processors that have instructions for it: they are rounded one after the other, and `f32` copies are kept of those
/// alone that are computed in `f32`, in the last layer. Of an adapter, which is merged into its base in `f32`, all copies are kept.
///
/// # Errors
/// As [`load_ranker`].
pub fn load_scorer(
    folder: &Path,
    hub: Option<&Path>,
    choice: &InputChoice,
    precision: Precision,
) -> Result<SavedRanker> {
    let saved = read_ranker(folder, hub, choice, precision)?;
    let ranker = if precision.rounds_once() { saved.ranker.rounded(precision)? } else { saved.ranker };
    Ok(SavedRanker { ranker, ..saved })
}

fn read_ranker(folder: &Path, hub: Option<&Path>, choice: &InputChoice, precision: Precision) -> Result<SavedRanker> {
    let base = Base::open_on(folder, hub)?;
    let library = SentenceTransformers::read(folder)?;
    let head = settings::head(&folder.join(SETTINGS_FILE))?;
    let ranker = match &base.adapted {
        None => base.whole_ranker(head, library.words, precision)?,
        Some(adapted) => {
            let specs = base.backbone.weights(head);
            let names = |stored: &str| base.backbone.weight_name(stored);
            adapter::check_head((folder, &base.adapters), (adapted, &base.weights), (&specs, names))?;
            base.model(head, 0)?
        }
    };
    base.saved(ranker, choice, &library)
}

/// The tokenizer of a ranker and how it scores, without its weights. `hub` is as for [`load_ranker_on`].
///
/// # Errors
/// As [`load_ranker`].
pub fn ranker_scoring(folder: &Path, hub: Option<&Path>, choice: &InputChoice) -> Result<(Tokenizer, Scoring)> {
    let base = Base::open_on(folder, hub)?;
    let scoring = base.settings(choice, &SentenceTransformers::read(folder)?)?.scoring;
    Ok((base.tokenizer, scoring))
}

impl Base {
    /// The ranker of a folder with the tokenizer and the scoring that the folder gives it.
    fn saved(self, ranker: Model, choice: &InputChoice, library: &SentenceTransformers) -> Result<SavedRanker> {
        let settings = self.settings(choice, library)?;
        let path = self.folder.join(SETTINGS_FILE);
        let own = ranker.pooling();
        let ranker = ranker
            .with_pooling(settings.scoring.pooling)
            .map_err(|_| other_pooling(&path, settings.scoring.pooling, own))?;
        check_ranker(&path, &ranker, &self.tokenizer, &settings)?;
        Ok(SavedRanker { ranker, tokenizer: self.tokenizer, settings, is_foreign: !path.exists() })
    }

    /// How the ranker of this folder scores.
    fn settings(&self, choice: &InputChoice, library: &SentenceTransformers) -> Result<Settings> {
        let path = self.folder.join(SETTINGS_FILE);
        if !path.exists() {
            return Ok(Settings { scoring: self.foreign_scoring(choice, library)?, standardisation: None });
        }
        if *choice != InputChoice::default() {
            let expected = "no other template or window beside this file, which says how the model scores";
            return Err(format_error(&path, expected, "one; leave it out".to_owned()));
        }
        settings::read(&path, &self.folder, &self.tokenizer, self.adapted.as_deref())
    }
}

/// Writes a language model into a folder, which is made where missing.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_language_model(folder: &Path, model: &Model, tokenizer: &Tokenizer, card: &str) -> Result<()> {
    save_parts(folder, &model.config_json()?, model.params(), tokenizer, card)
}

fn save_parts(folder: &Path, config: &Value, params: &Params, tokenizer: &Tokenizer, card: &str) -> Result<()> {
    files::create_folder(folder)?;
    write_json(&folder.join(CONFIG_FILE), config)?;
    params.save(&folder.join(WEIGHTS_FILE))?;
    tokenizer.save(folder)?;
    files::write_atomically(&folder.join(CARD_FILE), card.as_bytes())
}

/// Refuses a scoring, a vocabulary or a length that the model was not made for.
fn check_ranker(path: &Path, ranker: &Model, tokenizer: &Tokenizer, settings: &Settings) -> Result<PairTokenizer> {
    let backbone = ranker.backbone();
    let (found, own) = (settings.scoring.pooling, ranker.pooling());
    if found != own {
        return Err(other_pooling(path, found, own));
    }
    let pairs = PairTokenizer::new(tokenizer, &settings.scoring)?;
    check_fit(&pairs, backbone.vocab_size(), backbone.max_tokens())?;
    Ok(pairs)
}

/// A score that is read from other tokens than those of the model.
fn other_pooling(path: &Path, found: Pooling, own: Pooling) -> Error {
    let found = format!("a score read at {found:?}, where config.json says {own:?}");
    format_error(path, "a scoring that fits the model", found)
}
