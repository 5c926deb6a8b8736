//! Low-rank adaptation (LoRA, Hu et al., arXiv 2106.09685): the weights stay as they are, and each chosen linear layer
//! `w` learns an update `alpha / rank * b a` of low rank. Frozen weights get no gradient and no moments.

use std::collections::BTreeSet;

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
    /// Dropout of the updates' input while training: a share of at least 0 and below 1.
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
    pub(super) fn chosen<'a>(&self, layers: &[&'a str]) -> Result<Vec<&'a str>> {
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

    pub(super) fn check(&self) -> Result<()> {
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
