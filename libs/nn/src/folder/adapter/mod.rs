//! LoRA adapters as PEFT saves them: adapter_config.json and adapter_model.safetensors, beside them the tokenizer, a card
//! and how the ranker scores. The base model stays in its own folder, or on the Hugging Face Hub.

mod config;
mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::json;

use super::layout::{format_error, write_json};
use crate::error::{Error, Result};
use crate::files;
use crate::models::{Backbone, Model};
use crate::weights::{LORA_A, PICKLE, ParamSpec, WeightFile};
use config::AdapterConfig;
use weights::Weights;

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";
/// The same as a pickle file.
const PICKLE_FILE: &str = "adapter_model.bin";
/// The files that decide what an adapter adds.
pub(super) const FILES: [&str; 2] = [CONFIG_FILE, WEIGHTS_FILE];
/// What PEFT's wrappers put before the names of the weights.
const PREFIX: &str = "base_model.model.";
/// Adapters of adapters that are followed; more can only be a circle.
const MOST_ADAPTERS: usize = 8;

/// What an adapter adapts, as its adapter_config.json names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdapterBase {
    /// The folder of a model: as seen from the adapter's folder or, if there is none, from the working folder.
    Folder(PathBuf),
    /// A model of the Hugging Face Hub.
    Hub {
        /// `name` or `organisation/name`.
        repository: String,
        /// A branch, a tag or a commit.
        revision: String,
    },
}

/// What the adapter in a folder adapts; `None` where the folder holds no adapter. If it adapts another adapter, what that
/// one does, and so on.
///
/// # Errors
/// A missing or broken adapter_config.json; adapters that adapt each other in a circle.
pub fn adapter_base(folder: &Path) -> Result<Option<AdapterBase>> {
    let mut base = AdapterBase::Folder(folder.to_owned());
    for adapters in 0..=MOST_ADAPTERS {
        let path = match &base {
            AdapterBase::Folder(path) if is_adapter(path) => path,
            _ => return Ok(Some(base).filter(|_| adapters > 0)),
        };
        base = config::read_base(path)?;
    }
    let expected = format!("at most {MOST_ADAPTERS} adapters from here to the model that they adapt");
    Err(format_error(&folder.join(CONFIG_FILE), &expected, "more, or a circle of them".to_owned()))
}

/// True if the folder holds an adapter.
pub(super) fn is_adapter(folder: &Path) -> bool {
    folder.join(CONFIG_FILE).exists()
}

/// The folders of the adapters that start with this one, each with one of the next, and the folder of the whole model that
/// the last adapts: `hub`, where that model is one of the Hub.
///
/// # Errors
/// As [`adapter_base`]; a model of the Hub without a folder.
pub(super) fn chain(folder: &Path, hub: Option<&Path>) -> Result<(Vec<PathBuf>, PathBuf)> {
    let whole = match (adapter_base(folder)?, hub) {
        (None, _) => folder.to_owned(),
        (Some(AdapterBase::Folder(whole)), _) => whole,
        (Some(AdapterBase::Hub { .. }), Some(fetched)) => fetched.to_owned(),
        (Some(AdapterBase::Hub { repository, .. }), None) => {
            let expected = "base_model_name_or_path of a model's folder";
            let found = format!("{repository}, which is none: fetch that model and write its folder there");
            return Err(format_error(&folder.join(CONFIG_FILE), expected, found));
        }
    };
    let (mut adapters, mut next) = (Vec::new(), folder.to_owned());
    while is_adapter(&next) {
        adapters.push(next.clone());
        match config::read_base(&next)? {
            AdapterBase::Folder(path) => next = path,
            AdapterBase::Hub { .. } => break,
        }
    }
    Ok((adapters, whole))
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
    ranker
        .params()
        .trained()
        .renamed(|name| Some(format!("{PREFIX}{}", ranker.stored_name(name))))
        .save(&folder.join(WEIGHTS_FILE))
}

/// An adapter: its configuration, and which weights its file holds.
#[derive(Debug)]
pub(super) struct Adapter {
    config: AdapterConfig,
    weights: Weights,
}

impl Adapter {
    /// Reads everything but the values of the weights.
    ///
    /// # Errors
    /// A missing or broken file; an adapter of a kind that this crate does not compute.
    pub(super) fn open(folder: &Path, backbone: &dyn Backbone) -> Result<Self> {
        let config = AdapterConfig::read(&folder.join(CONFIG_FILE))?;
        let path = folder.join(WEIGHTS_FILE);
        if !path.exists() && folder.join(PICKLE_FILE).exists() {
            let found = format!("{PICKLE_FILE}, {}", PICKLE);
            return Err(format_error(folder, WEIGHTS_FILE, found));
        }
        let weights = Weights::open(path, |stored| backbone.weight_name(stored))?;
        weights.check(&config)?;
        Ok(Self { config, weights })
    }

    /// Replaces the weights of `model` that the adapter holds whole, and adds its updates to the others.
    ///
    /// # Errors
    /// A weight that the model does not have, or of another shape.
    pub(super) fn merge_into(&self, model: &Model) -> Result<()> {
        self.weights.merge_into(model, &self.config)
    }
}

/// Refuses the adapters of a folder if they would leave a ranker a weight that neither they have nor the files of the model
/// that they adapt, here with the folder of that: the head would be random. `specs` are the ranker's weights, `weight_name` is as
/// [`Backbone::weight_name`].
///
/// # Errors
/// The weight.
pub(super) fn check_head(
    (folder, adapters): (&Path, &[Adapter]),
    (adapted, weights): (&Path, &[PathBuf]),
    (specs, weight_name): (&[ParamSpec], impl Fn(&str) -> Option<String>),
) -> Result<()> {
    let mut stored = BTreeMap::new();
    for path in weights {
        let file = WeightFile::open(path)?;
        for name in file.names() {
            let shape = file.shape(&name).map(<[usize]>::to_vec);
            stored.extend(weight_name(&name).map(|weight| (weight, shape)));
        }
    }
    let has = |spec: &&ParamSpec| stored.get(&spec.name).is_some_and(|shape| shape.as_ref() == Some(&spec.shape));
    let replaces = |spec: &&ParamSpec| adapters.iter().any(|adapter| adapter.weights.replaces(&spec.name));
    let Some(spec) = specs.iter().find(|spec| !has(spec) && !replaces(spec)) else { return Ok(()) };
    let expected =
        format!("the weight `{}` {:?}, as its base model {} has none", spec.name, spec.shape, adapted.display());
    let found = "none: save the head with the adapter (PEFT: modules_to_save), or train a ranker that starts from it";
    Err(format_error(&folder.join(WEIGHTS_FILE), &expected, found.to_owned()))
}
