//! Freezing weights and adding updates of low rank, and merging the updates back.

use candle_core::Var;

use super::lora::{LORA_A, LORA_B, Lora, LoraConfig};
use super::params::Params;
use super::spec::{Init, ParamSpec};
use crate::Result;

/// The linear layer that a weight of this name and rank belongs to, unless it is a head.
pub(crate) fn linear_layer<'a>(name: &'a str, rank: usize, is_head: &impl Fn(&str) -> bool) -> Option<&'a str> {
    // A projection of the embeddings is linear, the embeddings are not.
    let is_table = name.contains("embed") && !name.contains("_proj");
    name.strip_suffix(".weight").filter(|_| rank == 2 && !is_head(name) && !is_table)
}

impl LoraConfig {
    /// Refuses updates that a model of these weights cannot have.
    pub(crate) fn check_for(&self, specs: &[ParamSpec], is_head: impl Fn(&str) -> bool) -> Result<()> {
        self.check()?;
        let layers = specs.iter().filter_map(|spec| linear_layer(&spec.name, spec.shape.len(), &is_head));
        self.chosen(&layers.collect::<Vec<_>>()).map(drop)
    }
}

impl Params {
    /// These weights, frozen, with updates that start at 0: `a` is normal with the variance of PEFT's uniform start, `b` is
    /// 0. With `train_head`, the weights of the head are not frozen.
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
        let layers: Vec<(&str, &Var)> =
            self.iter().filter_map(|(name, var)| Some((linear_layer(name, var.rank(), &is_head)?, var))).collect();
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
        Ok(Self { lora: Some(Lora { config: config.clone(), trained }), ..Self::all_trained(weights) })
    }

    /// These weights with the updates added, and nothing frozen. Weights without an update are shared with these.
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
