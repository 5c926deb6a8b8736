//! Low-rank adaptation (LoRA, Hu et al., arXiv 2106.09685): the weights stay as they are, and each chosen linear layer
//! `w` learns an update `alpha / rank * b a` of low rank. Frozen weights get no gradient and no moments.

use std::collections::BTreeSet;

use candle_core::Var;

use crate::params::{Init, ParamSpec, Params};
use crate::{Error, Result};

/// `a` below its layer's name, `[rank, in]`, as PEFT names it.
pub(crate) const LORA_A: &str = "lora_A.weight";
/// `b` below its layer's name, `[out, rank]`.
pub(crate) const LORA_B: &str = "lora_B.weight";
/// The target that stands for every linear layer but the head, as in PEFT.
const ALL_LINEAR: &str = "all-linear";

/// Which layers get an update, and of what kind.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the updates, at least 1.
    pub rank: usize,
    /// The updates are multiplied by `alpha / rank`.
    pub alpha: f64,
    /// Share of its input that an update does not see while training, from 0 to below 1.
    pub dropout: f64,
    /// Names of linear layers, or the ends of their names: `q_proj` is that of every block; `all-linear` is all of them.
    pub targets: Vec<String>,
}

impl LoraConfig {
    /// What the product of `b` and `a` is multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        (self.alpha / self.rank as f64) as f32
    }

    /// The layers among `layers` that get an update.
    fn chosen<'a>(&self, layers: &[&'a str]) -> Result<Vec<&'a str>> {
        let is_of = |layer: &str, target: &str| {
            target == ALL_LINEAR
                || layer.strip_suffix(target).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        if let Some(unknown) = self.targets.iter().find(|target| !layers.iter().any(|layer| is_of(layer, target))) {
            let ends: BTreeSet<&str> = layers.iter().filter_map(|layer| layer.rsplit('.').next()).collect();
            let ends = ends.into_iter().collect::<Vec<_>>().join(", ");
            return Err(refusal(
                "lora.targets",
                unknown,
                &format!("{ALL_LINEAR}, or linear layers of the model: {ends}"),
            ));
        }
        let chosen = layers.iter().copied().filter(|layer| self.targets.iter().any(|target| is_of(layer, target)));
        Ok(chosen.collect())
    }

    fn check(&self) -> Result<()> {
        if self.rank == 0 {
            return Err(refusal("lora.rank", &self.rank, "at least 1"));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.0) {
            return Err(refusal("lora.alpha", &self.alpha, "a positive number"));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(refusal("lora.dropout", &self.dropout, "a number from 0 to below 1"));
        }
        if self.targets.is_empty() {
            return Err(refusal("lora.targets", &"[]", "at least one linear layer"));
        }
        Ok(())
    }
}

fn refusal(field: &'static str, found: &dyn std::fmt::Display, expected: &str) -> Error {
    Error::Config { field, found: found.to_string(), expected: expected.to_owned() }
}

/// The adaptation of a model's weights.
#[derive(Debug, Clone)]
pub(crate) struct Lora {
    pub(crate) config: LoraConfig,
    /// The weights that are not frozen.
    pub(crate) trained: BTreeSet<String>,
}

impl Params {
    /// These weights, frozen, and beside them updates that start as nothing: `a` is normal with the variance of PEFT's
    /// uniform start, `b` is 0. The head is trained as it is where `train_head`.
    ///
    /// # Errors
    /// A configuration out of range; a target that no linear layer has.
    pub fn with_lora(
        &self,
        config: &LoraConfig,
        seed: u64,
        is_head: impl Fn(&str) -> bool,
        train_head: bool,
    ) -> Result<Self> {
        config.check()?;
        let linear = |(name, var): (&'_ str, &Var)| var.rank() == 2 && !is_head(name) && !name.contains("embed");
        let layers: Vec<(&str, &Var)> = self
            .iter()
            .filter(|&weight| linear(weight))
            .filter_map(|(name, var)| Some((name.strip_suffix(".weight")?, var)))
            .collect();
        let names: Vec<&str> = layers.iter().map(|(name, _)| *name).collect();
        let mut specs = Vec::new();
        let chosen = config.chosen(&names)?;
        for (name, var) in layers.iter().filter(|(name, _)| chosen.contains(name)) {
            let (out, input) = var.dims2()?;
            let std = (1.0 / (3.0 * input as f64)).sqrt() as f32;
            specs.push(ParamSpec::new(format!("{name}.{LORA_A}"), &[config.rank, input], Init::Normal(std)));
            specs.push(ParamSpec::new(format!("{name}.{LORA_B}"), &[out, config.rank], Init::Zeros));
        }
        let mut weights = self.weights.clone();
        weights.extend(Params::init(&specs, seed)?.weights);
        let heads = self.weights.keys().filter(|name| train_head && is_head(name)).cloned();
        let trained = specs.into_iter().map(|spec| spec.name).chain(heads).collect();
        Ok(Self { weights, lora: Some(Lora { config: config.clone(), trained }) })
    }

    /// These weights with the updates added, and nothing frozen. Weights without an update stay the same weights.
    ///
    /// # Errors
    /// A failed tensor operation.
    pub fn merged(&self) -> Result<Self> {
        let Some(lora) = &self.lora else { return Ok(self.clone()) };
        let is_update = |name: &str| name.ends_with(LORA_A) || name.ends_with(LORA_B);
        let mut merged = self.only(|name| !is_update(name));
        for (name, weight) in &mut merged.weights {
            let layer = name.strip_suffix("weight").unwrap_or(name);
            if let (Ok(a), Ok(b)) = (self.get(&format!("{layer}{LORA_A}")), self.get(&format!("{layer}{LORA_B}"))) {
                let update =
                    (b.as_detached_tensor().matmul(&a.as_detached_tensor())? * f64::from(lora.config.scale()))?;
                *weight = Var::from_tensor(&(weight.as_detached_tensor() + update)?)?;
            }
        }
        Ok(merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bert::Bert;
    use crate::config::BertConfig;

    fn bert() -> Bert {
        let config = BertConfig {
            vocab_size: 30,
            hidden_size: 8,
            intermediate_size: 12,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            max_position_embeddings: 16,
            ..BertConfig::default()
        };
        Bert::new(config, 3).unwrap()
    }

    fn lora(targets: &[&str]) -> LoraConfig {
        let targets = targets.iter().map(|&target| target.to_owned()).collect();
        LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, targets }
    }

    #[test]
    fn targets_are_ends_of_names() {
        let trained = |targets: &[&str]| {
            let adapted = bert().with_lora(&lora(targets), 1).unwrap();
            let trained = adapted.params().trained();
            trained
                .iter()
                .filter(|(name, _)| name.ends_with(LORA_A))
                .map(|(name, _)| name.to_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            trained(&["query"]),
            [0, 1].map(|layer| format!("bert.encoder.layer.{layer}.attention.self.query.lora_A.weight"))
        );
        assert_eq!(trained(&["layer.1.output.dense"]), ["bert.encoder.layer.1.output.dense.lora_A.weight"]);
        assert_eq!(trained(&["dense"]).len(), 6);
        assert_eq!(trained(&[ALL_LINEAR]).len(), 12);
    }

    #[test]
    fn only_updates_and_head_are_trained() {
        let adapted = bert().with_lora(&lora(&["value"]), 1).unwrap();
        let trained = adapted.params().trained();
        let names: Vec<_> = trained.iter().map(|(name, _)| name.rsplit("layer.").next().unwrap().to_owned()).collect();
        assert_eq!(
            names,
            [
                "0.attention.self.value.lora_A.weight",
                "0.attention.self.value.lora_B.weight",
                "1.attention.self.value.lora_A.weight",
                "1.attention.self.value.lora_B.weight",
                "bert.pooler.dense.bias",
                "bert.pooler.dense.weight",
                "classifier.bias",
                "classifier.weight"
            ]
        );
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let refusal = |config: LoraConfig| bert().with_lora(&config, 1).unwrap_err().to_string();
        assert_eq!(
            refusal(lora(&["q_proj"])),
            "lora.targets = q_proj: expected all-linear, or linear layers of the model: dense, key, query, value"
        );
        assert_eq!(refusal(LoraConfig { rank: 0, ..lora(&["key"]) }), "lora.rank = 0: expected at least 1");
        assert_eq!(refusal(LoraConfig { alpha: 0.0, ..lora(&["key"]) }), "lora.alpha = 0: expected a positive number");
        let dropout = LoraConfig { dropout: 1.0, ..lora(&["key"]) };
        assert_eq!(refusal(dropout), "lora.dropout = 1: expected a number from 0 to below 1");
        assert_eq!(refusal(lora(&[])), "lora.targets = []: expected at least one linear layer");
    }
}
