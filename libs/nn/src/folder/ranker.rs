//! Rankers and language models as folders, written and read.

use std::path::Path;

use serde_json::Value;

use super::adapter;
use super::base::Base;
use super::identity::identity;
use super::layout::{CARD_FILE, CONFIG_FILE, SETTINGS_FILE, WEIGHTS_FILE, format_error, write_json};
use super::settings::{self, Settings};
use crate::error::Result;
use crate::files;
use crate::models::Model;
use crate::text::{PairTokenizer, Scoring, Template, Tokenizer, check_fit};
use crate::weights::Params;

/// How the class of a model that gives one score ends, in `architectures` of config.json.
const RANKER_CLASS: &str = "ForSequenceClassification";

/// A ranker with its tokenizer and how it scores.
#[derive(Debug)]
pub struct SavedRanker {
    /// The model.
    pub ranker: Model,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it scores.
    pub settings: Settings,
    /// True if another library saved it: its folder does not say how it scores, so the default of its architecture is used.
    pub is_foreign: bool,
}

/// Writes a ranker into a folder, which is made where missing. Equal models give equal bytes.
///
/// # Errors
/// A scoring or tokenizer that does not fit the model; a folder that cannot be written.
pub fn save_ranker(
    folder: &Path,
    ranker: &Model,
    tokenizer: &Tokenizer,
    settings: &Settings,
    card: &str,
) -> Result<()> {
    let path = folder.join(SETTINGS_FILE);
    check_ranker(&path, ranker, tokenizer, settings)?;
    let mut config = ranker.config_json()?;
    let padding = distinct_padding(tokenizer, &settings.scoring)?;
    let saved_tokenizer = match padding {
        Some(id) if tokenizer.pad_id() != padding => &tokenizer.with_pad_id(id)?,
        _ => tokenizer,
    };
    if let Some(id) = padding {
        config["pad_token_id"] = id.into();
    }
    save_parts(folder, &config, ranker.params(), saved_tokenizer, card)?;
    settings::save(&path, tokenizer, settings, None)
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
    settings::save(&path, tokenizer, settings, Some(identity(&folder.join(base))?))
}

/// Reads a ranker that [`save_ranker`] or [`save_adapter`] wrote, which merges an adapter into its base, or another
/// library: any `*ForSequenceClassification` with one label.
///
/// # Errors
/// A missing or broken file; a model of another kind; a tokenizer or scoring that is not the model's own.
pub fn load_ranker(folder: &Path) -> Result<SavedRanker> {
    if adapter::is_adapter(folder) {
        let (ranker, base) = adapter::load(folder)?;
        return Base { tokenizer: Tokenizer::load(folder)?, ..base }.saved(folder, ranker);
    }
    let base = Base::open(folder)?;
    check_class(&folder.join(CONFIG_FILE), &base.config)?;
    let ranker = base.whole_ranker()?;
    base.saved(folder, ranker)
}

impl Base {
    /// The ranker of a folder with the tokenizer and the scoring that the folder gives it.
    fn saved(self, folder: &Path, ranker: Model) -> Result<SavedRanker> {
        let path = folder.join(SETTINGS_FILE);
        let is_foreign = !path.exists();
        let settings = if is_foreign {
            Settings { scoring: self.assumed_scoring()?, standardisation: None }
        } else {
            settings::read(&path, folder, &self.tokenizer)?
        };
        check_ranker(&path, &ranker, &self.tokenizer, &settings)?;
        Ok(SavedRanker { ranker, tokenizer: self.tokenizer, settings, is_foreign })
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
fn check_ranker(path: &Path, ranker: &Model, tokenizer: &Tokenizer, settings: &Settings) -> Result<()> {
    let misfit = |found: String| format_error(path, "a scoring that fits the model", found);
    let backbone = ranker.backbone();
    settings.scoring.check(backbone.kind(), backbone.name()).map_err(misfit)?;
    let pairs = PairTokenizer::new(tokenizer, &settings.scoring)?;
    check_fit(&pairs, backbone.vocab_size(), backbone.max_tokens())
}

/// The padding token of a ranker that reads a prompt. transformers reads the score at the last token that is not padding,
/// so a tokenizer that pads with the end token, or has no padding token, gets another one; which one does not matter.
fn distinct_padding(tokenizer: &Tokenizer, scoring: &Scoring) -> Result<Option<u32>> {
    let Template::Prompt { end_token } = &scoring.template else { return Ok(None) };
    let end = tokenizer.id(end_token)?;
    Ok(Some(tokenizer.pad_id().filter(|&id| id != end).unwrap_or(u32::from(end == 0))))
}

/// Refuses a model without a head that gives one score.
fn check_class(path: &Path, config: &Value) -> Result<()> {
    let class = &config["architectures"][0];
    if class.as_str().is_none_or(|class| !class.ends_with(RANKER_CLASS)) {
        let expected = format!("architectures [\"...{RANKER_CLASS}\"]: a model that scores");
        return Err(format_error(path, &expected, class.to_string()));
    }
    match config["id2label"].as_object().map(serde_json::Map::len) {
        None | Some(1) => Ok(()),
        Some(labels) => {
            Err(format_error(path, "id2label of one label: a model that scores", format!("{labels} labels")))
        }
    }
}
