//! LoRA adapters as PEFT saves them: adapter_config.json and adapter_model.safetensors, beside them the tokenizer, a card
//! and how the ranker scores. The base model stays in its own folder.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Value, json};

use super::base::Base;
use super::layout::{read_json, write_json};
use crate::error::{Error, Result};
use crate::files;
use crate::models::{Head, Model};
use crate::weights::{Init, LORA_A, LoraConfig, ParamSpec, Params};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// The files that decide what an adapter adds.
pub(super) const FILES: [&str; 2] = [CONFIG_FILE, WEIGHTS_FILE];
/// What PEFT's wrappers put before the names of the weights.
const PREFIX: &str = "base_model.model.";

/// The fields of adapter_config.json that are read; others that would change the result are refused.
#[derive(Deserialize)]
struct AdapterConfig {
    peft_type: String,
    task_type: String,
    base_model_name_or_path: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Vec<String>,
    #[serde(flatten)]
    others: serde_json::Map<String, Value>,
}

/// True if the folder holds an adapter.
pub(super) fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).exists()
}

/// Writes the adapter of a ranker that was made by [`Model::with_lora`] on the model in folder `base`, which may be
/// relative to `folder`.
///
/// # Errors
/// A ranker without an adapter; a folder that cannot be written.
pub(super) fn save(folder: &Path, ranker: &Model, base: &Path) -> Result<()> {
    let Some(lora) = &ranker.params().lora else {
        return Err(Error::Training("an adapter was to be saved, but the model has none".to_owned()));
    };
    let layers: Vec<&str> = lora.trained.iter().filter_map(|name| name.strip_suffix(&format!(".{LORA_A}"))).collect();
    let config = json!({
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "lora_alpha": lora.config.alpha,
        "lora_dropout": lora.config.dropout,
        "modules_to_save": ranker.trained_heads(),
        "peft_type": "LORA",
        "r": lora.config.rank,
        "target_modules": layers,
        "task_type": "SEQ_CLS",
    });
    files::create_folder(folder)?;
    write_json(&folder.join(CONFIG_FILE), &config)?;
    ranker.params().trained().renamed(|name| Some(format!("{PREFIX}{name}"))).save(&folder.join(WEIGHTS_FILE))
}

/// The folder of the model that an adapter adapts.
///
/// # Errors
/// A missing or broken adapter_config.json.
pub(super) fn base_folder(folder: &Path) -> Result<PathBuf> {
    Ok(folder.join(read_config(folder)?.base_model_name_or_path))
}

/// The base model with an adapter merged into its weights, and what else it is made of.
///
/// # Errors
/// A missing or broken file; an adapter of a kind that this crate does not compute; weights that do not fit the base.
pub(super) fn load(folder: &Path) -> Result<(Model, Base)> {
    let config = read_config(folder)?;
    let base = Base::open(&folder.join(&config.base_model_name_or_path))?;
    let lora = LoraConfig { rank: config.r, alpha: config.lora_alpha, dropout: 0.0, targets: config.target_modules };
    let adapted = base.model(Head::Score, 0)?.with_lora(&lora, 0)?;
    let trained = adapted.params().trained();
    let specs: Vec<ParamSpec> =
        trained.iter().map(|(name, var)| ParamSpec::new(name, var.dims(), Init::Zeros)).collect();
    let saved =
        Params::load(&[folder.join(WEIGHTS_FILE)], &specs, |name| name.strip_prefix(PREFIX).map(str::to_owned))?;
    for (name, var) in trained.iter() {
        var.set(&saved.get(name)?.as_detached_tensor())?;
    }
    Ok((adapted.merged()?, base))
}

fn read_config(folder: &Path) -> Result<AdapterConfig> {
    let path = folder.join(CONFIG_FILE);
    let refusal =
        |expected: &str, found: String| Error::Format { path: path.clone(), expected: expected.to_owned(), found };
    let config: AdapterConfig = serde_json::from_value(read_json(&path)?)
        .map_err(|error| refusal("the configuration of a PEFT adapter", error.to_string()))?;
    if config.peft_type != "LORA" || config.task_type != "SEQ_CLS" {
        let found = format!("{} for {}", config.peft_type, config.task_type);
        return Err(refusal("peft_type LORA for task_type SEQ_CLS", found));
    }
    let is_off = |value: &Value| match value {
        Value::Null | Value::Bool(false) => true,
        Value::Object(map) => map.is_empty(),
        value => value == "none",
    };
    // Each of these changes what the adapter computes.
    let kinds = [
        "alpha_pattern",
        "bias",
        "exclude_modules",
        "fan_in_fan_out",
        "layer_replication",
        "layers_to_transform",
        "lora_bias",
        "rank_pattern",
        "target_parameters",
        "trainable_token_indices",
        "use_bdlora",
        "use_dora",
        "use_qalora",
        "use_rslora",
    ];
    // Other starts change the base's weights too.
    let start = config.others.get("init_lora_weights").filter(|start| start.is_string() && *start != "gaussian");
    if let Some(start) = start {
        return Err(refusal("a plain LoRA adapter", format!("init_lora_weights = {start}")));
    }
    match kinds.iter().find_map(|kind| Some((kind, config.others.get(*kind)?)).filter(|(_, value)| !is_off(value))) {
        Some((kind, value)) => Err(refusal("a plain LoRA adapter", format!("{kind} = {value}"))),
        None => Ok(config),
    }
}
