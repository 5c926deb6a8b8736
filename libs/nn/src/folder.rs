//! Models as Hugging Face folders: config.json, model.safetensors, tokenizer.json, a card, and for rankers how they score.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter;
use crate::config::{self, Architecture, Head, LlamaConfig};
use crate::error::{Error, Result};
use crate::files;
use crate::llama::Llama;
use crate::model::Ranker;
use crate::params::Params;
use crate::text::{self, Encoder, Scoring, Template};
use crate::tokenizer::Tokenizer;
use crate::weights::PICKLE;

const CONFIG_FILE: &str = "config.json";
const WEIGHTS_FILE: &str = "model.safetensors";
const INDEX_FILE: &str = "model.safetensors.index.json";
/// Weights as they were saved before safetensors.
const PICKLE_FILES: [&str; 2] = ["pytorch_model.bin", "pytorch_model.bin.index.json"];
const CARD_FILE: &str = "README.md";
const SETTINGS_FILE: &str = "disranker.json";
/// The layout of `disranker.json` written by this version; another one is refused.
const FORMAT: u32 = 1;
/// How the class of a model that gives one score ends, in `architectures` of config.json.
const RANKER_CLASS: &str = "ForSequenceClassification";

/// Constants that a teacher's scores were standardised with: `(score - mean) / std` is what a student learnt.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standardisation {
    /// Mean of the teacher's raw logits over the training table.
    pub mean: f64,
    /// Standard deviation of the same.
    pub std: f64,
}

/// What this project knows about a ranker beyond config.json.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// How the model scores.
    pub scoring: Scoring,
    /// What a student's targets were standardised with.
    pub standardisation: Option<Standardisation>,
}

/// `disranker.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SettingsFile {
    format: u32,
    /// Identity of the tokenizer the model was trained with.
    tokenizer: String,
    scoring: Scoring,
    standardisation: Option<Standardisation>,
    /// Identity of the base model, where the folder holds an adapter of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    base: Option<String>,
}

/// A ranker with all it takes to score texts.
#[derive(Debug)]
pub struct SavedRanker {
    /// The model.
    pub ranker: Ranker,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// How it scores.
    pub settings: Settings,
    /// Whether another library saved it, so that the folder does not say how it scores and its architecture decides.
    pub is_foreign: bool,
}

/// Writes a ranker into a folder, which is made where missing. Equal models give equal bytes.
///
/// # Errors
/// A scoring or tokenizer that does not fit the model; a folder that cannot be written.
pub fn save_ranker(
    folder: &Path,
    ranker: &Ranker,
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
    save_settings(&path, tokenizer, settings, None)
}

fn save_settings(path: &Path, tokenizer: &Tokenizer, settings: &Settings, base: Option<String>) -> Result<()> {
    let settings = SettingsFile {
        format: FORMAT,
        tokenizer: tokenizer.identity(),
        scoring: settings.scoring.clone(),
        standardisation: settings.standardisation,
        base,
    };
    write_json(path, &serde_json::to_value(settings)?)
}

/// Writes a ranker made by [`Ranker::with_lora`] as a PEFT adapter of the model in folder `base`, which may be relative to
/// `folder`. Equal models give equal bytes.
///
/// # Errors
/// As [`save_ranker`]; a ranker without updates of low rank.
pub fn save_adapter(
    folder: &Path,
    ranker: &Ranker,
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
    save_settings(&path, tokenizer, settings, Some(identity(&folder.join(base))?))
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
    let ranker = Ranker::load(&base.config, &base.weights)?;
    base.saved(folder, ranker)
}

impl Base {
    /// The ranker of a folder whose tokenizer and scoring are told there.
    fn saved(self, folder: &Path, ranker: Ranker) -> Result<SavedRanker> {
        let path = folder.join(SETTINGS_FILE);
        let is_foreign = !path.exists();
        let settings = if is_foreign {
            Settings { scoring: self.assumed_scoring()?, standardisation: None }
        } else {
            read_settings(&path, folder, &self.tokenizer)?
        };
        check_ranker(&path, &ranker, &self.tokenizer, &settings)?;
        Ok(SavedRanker { ranker, tokenizer: self.tokenizer, settings, is_foreign })
    }
}

fn read_settings(path: &Path, folder: &Path, tokenizer: &Tokenizer) -> Result<Settings> {
    let file: SettingsFile = serde_json::from_value(read_json(path)?)
        .map_err(|error| format_error(path, "how a ranker of this project scores", error.to_string()))?;
    if file.format != FORMAT {
        return Err(format_error(path, &format!("format {FORMAT}"), format!("format {}", file.format)));
    }
    if file.tokenizer != tokenizer.identity() {
        let expected = format!("the tokenizer.json it was trained with, sha256 {}", file.tokenizer);
        return Err(format_error(folder, &expected, format!("sha256 {}", tokenizer.identity())));
    }
    if let Some(expected) = file.base {
        let base = adapter::base_folder(folder)?;
        let found = identity(&base)?;
        if found != expected {
            let expected = format!("the base model that the adapter {} was trained on, {expected}", folder.display());
            return Err(format_error(&base, &expected, found));
        }
    }
    Ok(Settings { scoring: file.scoring, standardisation: file.standardisation })
}

/// Writes a language model into a folder, which is made where missing.
///
/// # Errors
/// A folder that cannot be written.
pub fn save_language_model(folder: &Path, model: &Llama, tokenizer: &Tokenizer, card: &str) -> Result<()> {
    save_parts(folder, &model.config_json()?, model.params(), tokenizer, card)
}

/// The SHA-256 of all that decides a model's scores: configuration, weights, tokenizer and scoring. Two folders with the
/// same identity give the same scores.
///
/// # Errors
/// A missing file.
pub fn identity(folder: &Path) -> Result<String> {
    let is_adapter = adapter::is_adapter(folder);
    let mut paths = if is_adapter {
        adapter::FILES.map(|name| folder.join(name)).to_vec()
    } else {
        [vec![folder.join(CONFIG_FILE)], weight_files(folder)?].concat()
    };
    paths.push(folder.join("tokenizer.json"));
    paths.extend(Some(folder.join(SETTINGS_FILE)).filter(|path| path.exists()));
    let mut digests = paths.iter().map(|path| files::sha256_file(path)).collect::<Result<Vec<String>>>()?;
    if is_adapter {
        digests.push(identity(&adapter::base_folder(folder)?)?);
    }
    Ok(files::sha256(&[digests.concat().as_bytes()]))
}

/// The parts of any Hugging Face folder, to start a training from.
#[derive(Debug)]
pub struct Base {
    /// config.json.
    pub config: Value,
    /// The weights' files.
    pub weights: Vec<PathBuf>,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
}

impl Base {
    /// Looks into a folder; reads everything but the weights.
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
        config::check(&config).map_err(|source| Error::ConfigFile { path: path.clone(), source: Box::new(source) })?;
        let weights = weight_files(folder)?;
        let tokenizer = Tokenizer::load(folder)?;
        let rows = config.get("vocab_size").and_then(Value::as_u64).unwrap_or(0) as usize;
        if tokenizer.vocabulary_size() > rows {
            let expected = format!("vocab_size of at least {} for its tokenizer.json", tokenizer.vocabulary_size());
            return Err(format_error(&path, &expected, format!("vocab_size {rows}")));
        }
        Ok(Self { config, weights, tokenizer })
    }

    /// A ranker on this body; the scoring head starts from the seed where the folder has none.
    ///
    /// # Errors
    /// An unsupported architecture; weights that are not its own.
    pub fn ranker(&self, seed: u64) -> Result<Ranker> {
        Ranker::load_base(&self.config, &self.weights, seed)
    }

    /// A language model on this body; its head starts from the seed where the folder has none.
    ///
    /// # Errors
    /// An architecture that is not a decoder; weights that are not its own.
    pub fn language_model(&self, seed: u64) -> Result<Llama> {
        match Architecture::of(&self.config)? {
            Architecture::Llama => {
                Llama::load_base(LlamaConfig::from_json(&self.config)?, Head::LanguageModel, &self.weights, seed)
            }
            Architecture::Bert => Err(Error::Config {
                field: "model_type",
                found: "bert".to_owned(),
                expected: "llama, mistral, qwen2 or qwen3, for only a decoder is a language model".to_owned(),
            }),
        }
    }
}

fn save_parts(folder: &Path, config: &Value, params: &Params, tokenizer: &Tokenizer, card: &str) -> Result<()> {
    files::create_folder(folder)?;
    write_json(&folder.join(CONFIG_FILE), config)?;
    params.save(&folder.join(WEIGHTS_FILE))?;
    tokenizer.save(folder)?;
    files::write_atomically(&folder.join(CARD_FILE), card.as_bytes())
}

/// Refuses a scoring, a vocabulary or a length that the model was not made for.
fn check_ranker(path: &Path, ranker: &Ranker, tokenizer: &Tokenizer, settings: &Settings) -> Result<()> {
    let misfit = |found: String| format_error(path, "a scoring that fits the model", found);
    settings.scoring.check(ranker.architecture()).map_err(misfit)?;
    let encoder = Encoder::new(tokenizer, &settings.scoring)?;
    text::check_fit(&encoder, ranker.vocab_size(), ranker.max_tokens())
}

/// The id that a prompt must be padded with, if there is a prompt. Transformers reads the score at the last token that is
/// not padding, so a tokenizer that pads with the end token, or with none, gets another token: any other one does.
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

/// The file of the weights, or the files that the index names, in the order of their names.
fn weight_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join(WEIGHTS_FILE);
    let index = folder.join(INDEX_FILE);
    if single.exists() {
        return Ok(vec![single]);
    }
    if !index.exists() {
        let pickle = PICKLE_FILES.iter().find(|name| folder.join(name).exists());
        let found = pickle.map_or("neither".to_owned(), |name| format!("{name}, {PICKLE}"));
        return Err(format_error(folder, &format!("{WEIGHTS_FILE} or {INDEX_FILE}"), found));
    }
    let content = read_json(&index)?;
    let names: Option<BTreeSet<&str>> =
        content["weight_map"].as_object().and_then(|map| map.values().map(Value::as_str).collect());
    match names {
        Some(names) if !names.is_empty() => names.into_iter().map(|name| shard(folder, &index, name)).collect(),
        _ => Err(format_error(&index, "a weight_map from weights to files", "none".to_owned())),
    }
}

/// The file that an index names: a safetensors file in the index's own folder, or, as in the cache of the Hugging Face
/// libraries, a link from there to the files its snapshots share.
fn shard(folder: &Path, index: &Path, name: &str) -> Result<PathBuf> {
    let refusal = |why: &str| format_error(index, "safetensors files in its own folder", format!("`{name}`{why}"));
    let path = folder.join(name);
    if !Path::new(name).components().all(|part| matches!(part, Component::Normal(_))) {
        return Err(refusal(", which is outside of it"));
    }
    if path.extension().is_none_or(|extension| extension != "safetensors") {
        return Err(refusal(", which is of another kind"));
    }
    let (Ok(home), Ok(target)) = (folder.canonicalize(), path.canonicalize()) else {
        return Err(refusal(", which is missing"));
    };
    let shared = home.parent().filter(|snapshots| snapshots.ends_with("snapshots")).and_then(Path::parent);
    let is_shared = shared.is_some_and(|cache| target.parent() == Some(&cache.join("blobs")));
    if target.starts_with(&home) || is_shared { Ok(path) } else { Err(refusal(", a link out of it")) }
}

pub(crate) fn read_json(path: &Path) -> Result<Value> {
    serde_json::from_str(&files::read_text(path)?).map_err(|error| format_error(path, "JSON", error.to_string()))
}

pub(crate) fn write_json(path: &Path, value: &Value) -> Result<()> {
    files::write_atomically(path, format!("{value:#}\n").as_bytes())
}

fn format_error(path: &Path, expected: &str, found: String) -> Error {
    Error::Format { path: path.to_path_buf(), expected: expected.to_owned(), found }
}
