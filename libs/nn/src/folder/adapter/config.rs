//! adapter_config.json.

use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::super::layout::{format_error, read_json};
use super::{AdapterBase, CONFIG_FILE};
use crate::Result;

/// What is merged here, and the way out for other adapters.
pub(super) const PLAIN: &str =
    "a plain LoRA adapter (PEFT: merge_and_unload, then save_pretrained, makes any other one a whole model)";

/// Tasks whose adapters change the body of a model, and the head alone that the task is named after.
const TASKS: [&str; 3] = ["SEQ_CLS", "CAUSAL_LM", "FEATURE_EXTRACTION"];
/// Starts of the updates that leave the base's weights as they are. The others take from them what they give the updates.
const STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];
/// The target that stands for all linear layers.
const ALL_LINEAR: &str = "all-linear";
/// Fields of which each changes what an adapter computes in a way that is not computed here.
const OTHER_KINDS: [&str; 13] = [
    "alora_invocation_tokens",
    "arrow_config",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
    "megatron_config",
];

/// The fields that are read; others that would change the result are refused.
#[derive(Debug, Deserialize)]
struct Fields {
    task_type: Option<String>,
    r: usize,
    lora_alpha: f64,
    #[serde(default)]
    use_rslora: bool,
    rank_pattern: Option<Map<String, Value>>,
    alpha_pattern: Option<Map<String, Value>>,
    target_modules: Option<Modules>,
    exclude_modules: Option<Modules>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// Modules of a model: their names or the ends of these, or an expression that matches the whole name.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Modules {
    Names(Vec<String>),
    Expression(String),
}

/// What an adapter_config.json says of the updates.
#[derive(Debug)]
pub(super) struct AdapterConfig {
    path: PathBuf,
    fields: Fields,
}

impl AdapterConfig {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let config = read_json(path)?;
        let refusal = |found: String| Err(format_error(path, PLAIN, found));
        if config["peft_type"] != "LORA" {
            return refusal(format!("peft_type = {}", config["peft_type"]));
        }
        let fields: Fields = serde_json::from_value(config)
            .map_err(|error| format_error(path, "the configuration of a LoRA adapter", error.to_string()))?;
        if let Some(task) = fields.task_type.as_deref().filter(|task| !TASKS.contains(task)) {
            let expected = format!("task_type null, {}", TASKS.join(", "));
            return Err(format_error(path, &expected, task.to_owned()));
        }
        let start = fields.others.get("init_lora_weights").and_then(Value::as_str);
        if let Some(start) = start.filter(|start| !STARTS.contains(start)) {
            return refusal(format!(
                "init_lora_weights = {start:?}, which changed the base's weights: save the adapter converted (PEFT: \
                 save_pretrained with path_initial_model_for_weight_conversion)"
            ));
        }
        let is_off = |value: &Value| match value {
            Value::Null | Value::Bool(false) => true,
            Value::Object(map) => map.is_empty(),
            Value::Array(list) => list.is_empty(),
            _ => false,
        };
        let on = |kind: &&str| fields.others.get(*kind).filter(|value| !is_off(value));
        if let Some((kind, value)) = OTHER_KINDS.iter().find_map(|kind| Some((kind, on(kind)?))) {
            return refusal(format!("{kind} = {value}"));
        }
        Ok(Self { path: path.to_owned(), fields })
    }

    /// The rank of a module's update.
    pub(super) fn rank(&self, module: &str) -> Result<usize> {
        let (rank, written) = match self.pattern(self.fields.rank_pattern.as_ref(), module)? {
            None => (Some(self.fields.r), format!("r = {}", self.fields.r)),
            Some((key, value)) => (value.as_u64().map(|rank| rank as usize), format!("rank_pattern {key:?}: {value}")),
        };
        rank.filter(|&rank| rank > 0).ok_or_else(|| self.refusal("ranks of at least 1", written))
    }

    /// What a module's update is multiplied by.
    pub(super) fn scale(&self, module: &str) -> Result<f64> {
        let alpha = match self.pattern(self.fields.alpha_pattern.as_ref(), module)? {
            None => self.fields.lora_alpha,
            Some((key, value)) => {
                value.as_f64().ok_or_else(|| self.refusal("numbers in alpha_pattern", format!("{key:?}: {value}")))?
            }
        };
        let rank = self.rank(module)? as f64;
        Ok(if self.fields.use_rslora { alpha / rank.sqrt() } else { alpha / rank })
    }

    /// True if PEFT would give this module an update; where the configuration leaves it to the model, an update in the file
    /// is reason enough. Layers of `layers_to_transform` are a choice among them that the file shows as well.
    pub(super) fn targets(&self, module: &str) -> Result<bool> {
        if let Some(excluded) = &self.fields.exclude_modules
            && self.matches(excluded, module)?
        {
            return Ok(false);
        }
        match &self.fields.target_modules {
            None => Ok(true),
            Some(Modules::Expression(all)) if all == ALL_LINEAR => Ok(true),
            Some(targets) => self.matches(targets, module),
        }
    }

    fn matches(&self, modules: &Modules, module: &str) -> Result<bool> {
        let ends = |name: &String| {
            module.strip_suffix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        match modules {
            Modules::Names(names) => Ok(names.iter().any(ends)),
            Modules::Expression(expression) => self.is_match(&format!("^(?:{expression})$"), expression, module),
        }
    }

    /// The first entry of a table whose key matches the end of a module's name.
    fn pattern<'a>(
        &self,
        table: Option<&'a Map<String, Value>>,
        module: &str,
    ) -> Result<Option<(&'a String, &'a Value)>> {
        for (key, value) in table.into_iter().flatten() {
            if self.is_match(&format!("^(.*\\.)?({key})$"), key, module)? {
                return Ok(Some((key, value)));
            }
        }
        Ok(None)
    }

    fn is_match(&self, expression: &str, written: &str, module: &str) -> Result<bool> {
        let matched = Regex::new(expression).and_then(|regex| regex.is_match(module));
        matched.map_err(|error| self.refusal("regular expressions of modules", format!("{written:?}: {error}")))
    }

    pub(super) fn refusal(&self, expected: &str, found: String) -> crate::Error {
        format_error(&self.path, expected, found)
    }
}

/// What the adapter in a folder adapts.
pub(super) fn read_base(folder: &Path) -> Result<AdapterBase> {
    let path = folder.join(CONFIG_FILE);
    let config = read_json(&path)?;
    let Some(name) = config["base_model_name_or_path"].as_str().filter(|name| !name.is_empty()) else {
        let found = config["base_model_name_or_path"].to_string();
        return Err(format_error(&path, "base_model_name_or_path: the folder or name of the base model", found));
    };
    let (beside, as_written) = (folder.join(name), PathBuf::from(name));
    if beside.exists() {
        return Ok(AdapterBase::Folder(beside));
    }
    if as_written.exists() {
        return Ok(AdapterBase::Folder(as_written));
    }
    let is_word = |word: &str| {
        let known = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        !word.is_empty() && !word.starts_with('.') && word.chars().all(known)
    };
    if name.split('/').count() > 2 || !name.split('/').all(is_word) {
        return Ok(AdapterBase::Folder(beside));
    }
    let revision = config["revision"].as_str().unwrap_or("main").to_owned();
    Ok(AdapterBase::Hub { repository: name.to_owned(), revision })
}
