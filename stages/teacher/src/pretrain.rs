//! Phase `cpt`: next-token loss on clicked titles and summaries.

use std::ops::Range;

use candle_core::Tensor;
use nn::models::Model;
use nn::ops::Precision;
use nn::text::Packed;
use nn::train::{StepLoss, Task, prediction_gradients, step_bytes};
use nn::weights::{Mode, Params};
use pipeline::BadInput;
use pipeline::config::CptPhaseConfig;
use ranking::sample::lists_at_step;
use tables::StageDir;
use training::passes;

/// The examples of the table `cpt_examples`, grouped by pack.
#[derive(Debug)]
pub(crate) struct Packs(Vec<Vec<Example>>);

#[derive(Debug)]
struct Example {
    ids: Vec<u32>,
    loss_start: usize,
}

impl Packs {
    /// Reads the examples of a split; they must have been made with this tokenizer.
    pub(crate) fn read(cpt: &StageDir, tokenizer: &str, split: &str) -> anyhow::Result<Packs> {
        let made_with = cpt.table_metadata("cpt_examples", "disranker.tokenizer")?;
        if made_with.as_deref() != Some(tokenizer) {
            Err(BadInput(format!(
                "{}: expected examples of tokenizer {tokenizer}, found {}; re-run cpt with --force",
                cpt.path().join("cpt_examples").display(),
                made_with.unwrap_or_default()
            )))?;
        }
        let table = cpt.table("cpt_examples")?;
        let (packs, starts) = (table.int64s("pack")?, table.int32s("loss_start")?);
        let splits = table.strings("split")?;
        let mut grouped: Vec<Vec<Example>> = Vec::new();
        for row in (0..table.rows()).filter(|&row| splits.value(row) == split) {
            let ids = table.int32_list("input_ids", row)?.into_iter().map(|id| id as u32).collect();
            let example = Example { ids, loss_start: starts.value(row) as usize };
            // A pack holds examples of one split, so rows of one pack stand together.
            match grouped.last_mut().filter(|_| row > 0 && packs.value(row) == packs.value(row - 1)) {
                Some(pack) => pack.push(example),
                None => grouped.push(vec![example]),
            }
        }
        Ok(Packs(grouped))
    }
}

/// Trains the language model on packs.
#[derive(Debug)]
pub(crate) struct PretrainTask<'a> {
    pub(crate) model: &'a Model,
    pub(crate) train: &'a Packs,
    pub(crate) validation: &'a Packs,
    pub(crate) config: &'a CptPhaseConfig,
    pub(crate) seed: u64,
    pub(crate) precision: Precision,
}

impl PretrainTask<'_> {
    /// The mean loss over the predicted tokens of `examples`.
    fn loss(&self, examples: &[&Example], mode: Mode<'_>) -> nn::Result<Tensor> {
        let ids: Vec<&[u32]> = examples.iter().map(|example| &example.ids[..]).collect();
        let starts: Vec<usize> = examples.iter().map(|example| example.loss_start).collect();
        self.model.next_token_loss(&Packed::from_sequences(&ids)?, &starts, mode)
    }
}

/// Tokens that each example predicts: its first has none before it.
fn predictions(examples: &[&Example]) -> Vec<usize> {
    examples.iter().map(|example| example.ids.len().saturating_sub(example.loss_start.max(1))).collect()
}

impl Task for PretrainTask<'_> {
    fn params(&self) -> Params {
        self.model.params().trained()
    }

    fn step(&mut self, step: usize) -> nn::Result<StepLoss> {
        let Packs(packs) = self.train;
        let chosen = lists_at_step(self.seed, "cpt", packs.len(), self.config.packs_per_step, step as u64);
        let examples: Vec<&Example> = chosen.into_iter().flat_map(|pack| &packs[pack]).collect();
        let lengths: Vec<usize> = examples.iter().map(|example| example.ids.len()).collect();
        let passes = passes(self.seed, step, &self.config.training(), self.precision);
        let loss = |range: Range<usize>, mode: Mode<'_>| self.loss(&examples[range], mode);
        let gradients = prediction_gradients(self.model.params(), &lengths, &predictions(&examples), passes, loss)?;
        let (examples, tokens) = (examples.len(), lengths.iter().sum());
        Ok(StepLoss { gradients, components: Vec::new(), examples, tokens })
    }

    fn rate_share(&self, weight: &str) -> f64 {
        self.model.rate_share(weight, self.config.layer_decay)
    }

    fn memory(&mut self) -> nn::Result<Option<u64>> {
        let Packs(packs) = self.train;
        let lengths = packs.iter().map(|pack| pack.iter().map(|example| example.ids.len()).sum::<usize>());
        let tokens = (lengths.max().unwrap_or_default() * self.config.packs_per_step).div_ceil(group::size());
        Ok(Some(step_bytes(self.model, tokens, self.config.gradient_checkpointing)))
    }

    /// The mean log-likelihood of a token of the validation split: higher is better.
    fn validate(&mut self) -> nn::Result<Option<f64>> {
        let (mut sum, mut predicted) = (0.0, 0);
        for pack in &self.validation.0 {
            let examples: Vec<&Example> = pack.iter().collect();
            let tokens: usize = predictions(&examples).iter().sum();
            let loss = self.loss(&examples, Mode::Eval(self.precision))?;
            sum += f64::from(loss.to_scalar::<f32>()?) * tokens as f64;
            predicted += tokens;
        }
        Ok((predicted > 0).then(|| -sum / predicted as f64))
    }
}
