//! What sentence-transformers keeps beside a cross-encoder: which modules it has, and how its texts are read.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::input::Truncation;
use super::layout::{format_error, read_json};
use crate::error::Result;
use crate::text::Template;

/// The modules in their order.
pub(crate) const MODULES_FILE: &str = "modules.json";
/// How the first module reads texts.
pub(crate) const LENGTH_FILE: &str = "sentence_bert_config.json";
/// Prompts, and the one in use.
pub(crate) const PROMPTS_FILE: &str = "config_sentence_transformers.json";

/// Two words of a language model: the score is the logit of the first less that of the second, the module `LogitScore`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) yes: u32,
    /// Without it, the score is the logit of the first.
    pub(super) no: Option<u32>,
}

/// What the files say; nothing where there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SentenceTransformers {
    /// If texts are read by the chat template, where the folder says how they are read.
    pub(super) chats: Option<bool>,
    pub(super) max_length: Option<usize>,
    pub(super) truncation: Truncation,
    /// What stands before every query.
    pub(super) query_prompt: String,
    pub(super) words: Option<Words>,
    /// What the chat template is told of a prompt for an answer.
    pub(super) adds_generation_prompt: bool,
}

impl SentenceTransformers {
    /// Reads the files in the folder of a ranker.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(MODULES_FILE);
        if !path.exists() {
            return Ok(Self::default());
        }
        let modules = read_json(&path)?;
        let mut read = Self { chats: Some(false), ..Self::default() };
        for module in modules.as_array().into_iter().flatten() {
            let kind = module["type"].as_str().unwrap_or_default();
            let own = folder.join(module["path"].as_str().unwrap_or_default());
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => read.read_transformer(&own.join(LENGTH_FILE))?,
                "LogitScore" => read.words = Some(read_words(&own.join("config.json"))?),
                _ => return Err(format_error(&path, "the modules Transformer and LogitScore alone", kind.to_owned())),
            }
        }
        read.read_prompt(&folder.join(PROMPTS_FILE))?;
        Ok(read)
    }

    /// What is cut from texts that are too long for a template. A rendered text loses its last tokens but those of the
    /// template, which are the document's.
    pub(super) fn truncation_of(&self, template: &Template) -> Truncation {
        if matches!(template, Template::Prompt { .. }) { Truncation::OnlySecond } else { self.truncation }
    }

    fn read_transformer(&mut self, path: &Path) -> Result<()> {
        let config = optional(path)?;
        self.max_length = config["max_seq_length"].as_u64().map(|length| length as usize);
        self.chats = Some(config["modality_config"]["message"].is_object());
        if config["do_lower_case"] == true {
            return Err(format_error(path, "do_lower_case = false, the only value supported", "true".to_owned()));
        }
        for (modality, options) in config["processing_kwargs"].as_object().into_iter().flatten() {
            for (option, value) in options.as_object().into_iter().flatten() {
                match (modality.as_str(), option.as_str(), value) {
                    ("text", "padding", _) | ("text", "truncation", Value::Bool(true)) => {}
                    ("text", "truncation", value) if value == "longest_first" => {}
                    ("text", "truncation", value) if value == "only_second" => self.truncation = Truncation::OnlySecond,
                    ("chat_template", "add_generation_prompt", Value::Bool(adds)) => {
                        self.adds_generation_prompt = *adds
                    }
                    ("text", "max_length", value) if value.is_u64() => {
                        self.max_length = value.as_u64().map(|length| length as usize);
                    }
                    _ => {
                        let expected = "processing_kwargs of text alone: max_length, and truncation by longest_first or \
                                        only_second";
                        return Err(format_error(path, expected, format!("{modality}.{option} = {value}")));
                    }
                }
            }
        }
        Ok(())
    }

    fn read_prompt(&mut self, path: &Path) -> Result<()> {
        let config = optional(path)?;
        let Some(name) = config["default_prompt_name"].as_str() else { return Ok(()) };
        let prompt = config["prompts"][name].as_str();
        let refusal = || format_error(path, "prompts with its default_prompt_name", format!("no prompt {name:?}"));
        self.query_prompt = prompt.ok_or_else(refusal)?.to_owned();
        Ok(())
    }
}

fn read_words(path: &Path) -> Result<Words> {
    let config = read_json(path)?;
    let id = |name: &str| config[name].as_u64().and_then(|id| u32::try_from(id).ok());
    let refusal = || format_error(path, "true_token_id, the id of a token", config["true_token_id"].to_string());
    Ok(Words { yes: id("true_token_id").ok_or_else(refusal)?, no: id("false_token_id") })
}

/// The JSON of a file, null where there is none.
pub(crate) fn optional(path: &Path) -> Result<Value> {
    if path.exists() { read_json(path) } else { Ok(Value::Null) }
}

/// The files that are read, where they exist.
pub(crate) fn module_files(folder: &Path) -> Vec<PathBuf> {
    let modules = optional(&folder.join(MODULES_FILE)).unwrap_or_default();
    let paths = modules.as_array().into_iter().flatten().filter_map(|module| module["path"].as_str());
    let configs = paths.filter(|path| !path.is_empty()).map(|path| format!("{path}/config.json"));
    let names = [MODULES_FILE, LENGTH_FILE, PROMPTS_FILE].map(String::from).into_iter().chain(configs);
    names.map(|name| folder.join(name)).filter(|path| path.exists()).collect()
}
