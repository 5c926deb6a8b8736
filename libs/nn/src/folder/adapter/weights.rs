//! adapter_model.safetensors: updates of low rank, and weights that are trained whole.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{Tensor, Var};

use super::super::layout::format_error;
use super::PREFIX;
use super::config::{AdapterConfig, PLAIN};
use crate::models::Model;
use crate::weights::{Init, ParamSpec, WeightFile};
use crate::{Error, Result};

/// A wrapper of a weight that is trained whole, and what it keeps of the base's.
const TRAINED_COPY: &str = "modules_to_save";
const ORIGINAL: &str = "original_module";
/// The wrapper of a layer with an update.
const WRAPPED: &str = "base_layer";

/// A tensor of an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    /// `[rank, in]` of a linear layer.
    A,
    /// `[out, rank]`.
    B,
    /// `[out]`: what the update adds to the bias.
    Bias,
    /// `[rank, rows]` of an embedding.
    EmbeddingA,
    /// `[width, rank]`.
    EmbeddingB,
}

/// What a tensor of the file is.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Update {
        module: String,
        part: Part,
    },
    Whole(String),
    /// The base's own.
    Untrained,
}

/// What a file holds.
#[derive(Debug)]
pub(super) struct Weights {
    path: PathBuf,
    /// The tensors of each update by the name that PEFT gives the module.
    updates: BTreeMap<String, Update>,
    /// The weights that are replaced: the model's name, and the file's.
    whole: BTreeMap<String, String>,
}

/// The update of a weight.
#[derive(Debug, Default)]
struct Update {
    /// The name of the module's weight and of its bias in the model.
    weight: Option<String>,
    bias: Option<String>,
    /// The file's names.
    parts: BTreeMap<Part, String>,
}

impl Weights {
    /// Reads the names. `weight_name` is as [`Backbone::weight_name`](crate::models::Backbone::weight_name).
    pub(super) fn open(path: PathBuf, weight_name: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let (mut updates, mut whole) = (BTreeMap::<String, Update>::new(), BTreeMap::new());
        for stored in WeightFile::open(&path)?.names() {
            let repeated = match kind(&stored) {
                None => return Err(Error::ExtraWeight { path, name: stored }),
                Some(Kind::Untrained) => false,
                Some(Kind::Whole(name)) => {
                    let earlier = weight_name(&name).and_then(|name| whole.insert(name, stored.clone()));
                    // With bias = "all", PEFT saves that of a module that is trained whole under two names.
                    earlier.is_some_and(|earlier| ![&earlier, &stored].iter().any(|name| name.contains(TRAINED_COPY)))
                }
                Some(Kind::Update { module, part }) => {
                    let names = ["weight", "bias"].map(|own| weight_name(&format!("{module}.{own}")));
                    let update = updates.entry(module).or_default();
                    [update.weight, update.bias] = names;
                    update.parts.insert(part, stored.clone()).is_some()
                }
            };
            if repeated {
                return Err(format_error(&path, "each weight once", format!("`{stored}` again")));
            }
        }
        if updates.is_empty() && whole.is_empty() {
            return Err(format_error(&path, "the weights of an adapter", "none".to_owned()));
        }
        Ok(Self { path, updates, whole })
    }

    /// Refuses an update that PEFT would not read.
    pub(super) fn check(&self, config: &AdapterConfig) -> Result<()> {
        for module in self.updates.keys() {
            if !config.targets(module)? {
                let found = format!("others, though {} has an update of `{module}`", self.path.display());
                return Err(config.refusal("target_modules with every layer that has an update", found));
            }
        }
        Ok(())
    }

    pub(super) fn replaces(&self, weight: &str) -> bool {
        self.whole.contains_key(weight)
    }

    pub(super) fn merge_into(&self, model: &Model, config: &AdapterConfig) -> Result<()> {
        let mut file = WeightFile::open(&self.path)?;
        for (name, stored) in &self.whole {
            let Some(var) = self.weight(model, name, stored)? else { continue };
            let value = file.read(stored, &ParamSpec::new(name, var.dims(), Init::Zeros))?;
            var.set(&value.as_detached_tensor())?;
        }
        for (module, update) in &self.updates {
            self.add(&mut file, model, config, (module, update))?;
        }
        Ok(())
    }

    fn add(&self, file: &mut WeightFile, model: &Model, config: &AdapterConfig, update: (&str, &Update)) -> Result<()> {
        let (module, update) = update;
        let some = update.parts.values().next().map_or(module, String::as_str);
        let name = update.weight.as_deref().unwrap_or(module);
        let Some(weight) = self.weight(model, name, some)? else { return Ok(()) };
        let (rows, columns) = weight.dims2()?;
        let rank = config.rank(module)?;
        let scale = config.scale(module)?;
        let read = |part: Part, shape: &[usize]| {
            let Some(stored) = update.parts.get(&part) else {
                let expected = format!("both factors of the update of `{module}`");
                return Err(format_error(&self.path, &expected, format!("no {part:?} of shape {shape:?}")));
            };
            Ok(file.read(stored, &ParamSpec::new(stored, shape, Init::Zeros))?.as_detached_tensor())
        };
        let product = if update.parts.contains_key(&Part::EmbeddingA) || update.parts.contains_key(&Part::EmbeddingB) {
            let (a, b) = (read(Part::EmbeddingA, &[rank, rows])?, read(Part::EmbeddingB, &[columns, rank])?);
            a.t()?.matmul(&b.t()?)?
        } else {
            let (a, b) = (read(Part::A, &[rank, columns])?, read(Part::B, &[rows, rank])?);
            b.matmul(&a)?
        };
        add_to(&weight, &product, scale)?;
        if update.parts.contains_key(&Part::Bias) {
            let added = read(Part::Bias, &[rows])?;
            let bias = update.bias.as_deref().and_then(|name| model.params().get(name).ok());
            let Some(bias) = bias else {
                return Err(config.refusal(PLAIN, format!("lora_bias of `{module}`, which has no bias")));
            };
            add_to(bias, &added, scale)?;
        }
        Ok(())
    }

    /// The model's weight; `None` if it belongs to the head of another task.
    fn weight(&self, model: &Model, name: &str, stored: &str) -> Result<Option<Var>> {
        match model.params().get(name) {
            Ok(var) => Ok(Some(var.clone())),
            Err(_) if model.is_other_head(name) => Ok(None),
            Err(_) => Err(Error::ExtraWeight { path: self.path.clone(), name: stored.to_owned() }),
        }
    }
}

fn add_to(weight: &Var, update: &Tensor, scale: f64) -> Result<()> {
    Ok(weight.set(&(weight.as_detached_tensor() + (update * scale)?)?)?)
}

/// What a stored name says. The name of the adapter may stand behind that of a part; PEFT leaves it out, its state does not.
fn kind(stored: &str) -> Option<Kind> {
    let name = stored.strip_prefix(PREFIX).unwrap_or(stored);
    let mut names: Vec<&str> = name.split('.').collect();
    if let Some(at) = names.iter().position(|name| name.starts_with("lora_")) {
        let part = match (names[at], names.last().copied()?) {
            ("lora_A", "weight") => Part::A,
            ("lora_B", "weight") => Part::B,
            ("lora_B", "bias") => Part::Bias,
            ("lora_embedding_A", _) => Part::EmbeddingA,
            ("lora_embedding_B", _) => Part::EmbeddingB,
            _ => return None,
        };
        return Some(Kind::Update { module: names[..at].join("."), part });
    }
    if names.contains(&ORIGINAL) {
        return Some(Kind::Untrained);
    }
    if let Some(at) = names.iter().position(|&name| name == TRAINED_COPY) {
        // With the name of the adapter, unless only the parameter's own name follows.
        let adapter = usize::from(at + 2 < names.len());
        names.drain(at..=at + adapter);
    }
    names.retain(|&name| name != WRAPPED);
    Some(Kind::Whole(names.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_version_are_read() {
        let update = |module: &str, part| Some(Kind::Update { module: module.to_owned(), part });
        for (stored, expected) in [
            ("base_model.model.model.layers.0.q_proj.lora_A.weight", update("model.layers.0.q_proj", Part::A)),
            ("base_model.model.model.layers.0.q_proj.lora_B.default.weight", update("model.layers.0.q_proj", Part::B)),
            ("base_model.model.x.query.lora_B.bias", update("x.query", Part::Bias)),
            ("base_model.model.model.embed_tokens.lora_embedding_A", update("model.embed_tokens", Part::EmbeddingA)),
            ("model.embed_tokens.lora_embedding_B.default", update("model.embed_tokens", Part::EmbeddingB)),
            ("base_model.model.score.weight", Some(Kind::Whole("score.weight".to_owned()))),
            ("base_model.model.score.modules_to_save.weight", Some(Kind::Whole("score.weight".to_owned()))),
            ("base_model.model.score.modules_to_save.default.weight", Some(Kind::Whole("score.weight".to_owned()))),
            (
                "base_model.model.bert.pooler.modules_to_save.default.dense.bias",
                Some(Kind::Whole("bert.pooler.dense.bias".to_owned())),
            ),
            ("base_model.model.x.q_proj.base_layer.bias", Some(Kind::Whole("x.q_proj.bias".to_owned()))),
            ("base_model.model.score.original_module.weight", Some(Kind::Untrained)),
            ("base_model.model.x.q_proj.lora_magnitude_vector", None),
        ] {
            assert_eq!(kind(stored), expected, "{stored}");
        }
    }
}
