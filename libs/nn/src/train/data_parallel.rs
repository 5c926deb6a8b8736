//! Data parallelism: the parts of a step's batch go forward and backward on a thread each, of one process or of several ranks, and
//! their gradients are added in pairs of neighbours. As many threads give the same bits, however they are divided among ranks.

use std::ops::Range;

use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use ranking::loss::LossValue;
use ranking::rng::number;
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::models::Model;
use crate::ops::{Precision, Tape, score_loss};
use crate::parallel::share_in_parallel;
use crate::text::{Packed, Sequence};
use crate::weights::{Mode, Params};

use super::optimizer::with_values;

/// Gradients that are sent to other ranks at a time.
const VALUES_AT_ONCE: usize = 1 << 20;

/// Tokens of a part of a batch that is computed in parts.
const PART_TOKENS: usize = 16_384;

/// A loss and its gradients.
#[derive(Debug)]
pub struct Gradients {
    /// The loss.
    pub loss: f64,
    /// Its gradient for each weight it depends on.
    pub grads: GradStore,
}

impl Gradients {
    /// The sum of two losses.
    pub(crate) fn add(self, other: Gradients, params: &Params) -> Result<Gradients> {
        Ok(Gradients { loss: self.loss + other.loss, grads: add(params, self.grads, other.grads)? })
    }

    /// The loss times a factor.
    pub(crate) fn scale(mut self, factor: f64, params: &Params) -> Result<Gradients> {
        for (_, var) in params.iter() {
            if let Some(grad) = self.grads.get(var) {
                let scaled = (grad * factor)?;
                self.grads.insert(var, scaled);
            }
        }
        Ok(Gradients { loss: self.loss * factor, ..self })
    }
}

/// How the passes of a training step are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Seed of the dropout masks; a function of (run seed, step).
    pub dropout_seed: u64,
    /// Gradient checkpointing: layers are computed again in the backward pass instead of kept.
    pub checkpoint_layers: bool,
    /// Precision of the matrix products that [`Precision`] lists.
    pub precision: Precision,
}

impl Passes {
    /// The pass of a part of the batch. Every part has dropout masks of its own.
    fn mode<'a>(&self, part: usize, tape: &'a Tape) -> Mode<'a> {
        Mode::Train {
            dropout_seed: number(self.dropout_seed, "shard", part as u64),
            tape: self.checkpoint_layers.then_some(tape),
            precision: self.precision,
        }
    }
}

/// The mean of a loss over predictions, and its gradient.
///
/// `lengths` are the tokens of each sequence of the batch and `predictions` the predictions made in it; `mean_loss` is the
/// mean over the predictions of a range of sequences, a scalar.
///
/// # Errors
/// What `mean_loss` returns; a batch without predictions.
pub fn prediction_gradients(
    params: &Params,
    lengths: &[usize],
    predictions: &[usize],
    passes: Passes,
    mean_loss: impl Fn(Range<usize>, Mode<'_>) -> Result<Tensor> + Sync,
) -> Result<Gradients> {
    let total: usize = predictions.iter().sum();
    if total == 0 {
        return Err(Error::Batch("it has nothing to predict".to_owned()));
    }
    let mut parts = cut(lengths);
    parts.retain(|part| predictions[part.clone()].iter().any(|&predictions| predictions > 0));
    let done = share_in_parallel(own_share(0..parts.len()), parts.len(), |index| {
        let part = parts[index].clone();
        let share = predictions[part.clone()].iter().sum::<usize>() as f64 / total as f64;
        let tape = Tape::default();
        let loss = (mean_loss(part, passes.mode(index, &tape))? * share)?;
        Ok((loss.to_scalar::<f32>()?, tape.backward(&loss)?))
    })?;
    let (losses, stores): (Vec<f32>, Vec<GradStore>) = done.into_iter().unzip();
    let loss = group::gather(losses).into_iter().map(f64::from).sum();
    Ok(Gradients { loss, grads: sum(params, stores, parts.len())? })
}

/// The logits of a batch, a loss on all of them together, and its gradient. They are the scores of a model with one logit per
/// sequence; see [`output_gradients`].
///
/// # Errors
/// A sequence the model refuses; a loss that refuses the logits.
pub fn score_gradients<E>(
    model: &Model,
    sequences: &[Sequence],
    passes: Passes,
    loss: impl FnOnce(&[f32]) -> std::result::Result<LossValue, E>,
) -> Result<(Vec<f32>, Gradients)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let logits = |sequences: &[Sequence], mode: Mode<'_>| model.logits(&Packed::of(sequences)?, mode);
    output_gradients(model.params(), sequences, (logits, model.head().outputs()), (passes, loss))
}

/// What `forward` makes of a batch, `outputs` numbers per sequence, a loss on all of them together, and its gradient for
/// `params`.
///
/// A batch of more than [`tokens_at_once`] is computed in parts, each twice: for its scores, and, when the loss has the gradient of
/// every score, for the gradients of the weights (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited
/// Setup", RepL4NLP 2021). What the backward pass reads is then kept of a few parts at a time, so that lists of any length fit.
///
/// # Errors
/// What `forward` returns; a loss that refuses the outputs.
pub fn output_gradients<E>(
    params: &Params,
    sequences: &[Sequence],
    forward: (impl Fn(&[Sequence], Mode<'_>) -> Result<Tensor> + Sync, usize),
    objective: (Passes, impl FnOnce(&[f32]) -> std::result::Result<LossValue, E>),
) -> Result<(Vec<f32>, Gradients)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let tokens: usize = lengths.iter().sum();
    let count = if tokens > tokens_at_once() { tokens.div_ceil(PART_TOKENS) } else { parts_at_once() };
    gradients_of_parts(params, (sequences, &cut_into(&lengths, count)), forward, objective)
}

/// Most tokens whose forward pass is kept for the backward pass of a step, by all ranks together.
pub fn tokens_at_once() -> usize {
    PART_TOKENS * parts_at_once()
}

/// Parts that are computed at the same time: one for each thread of each rank. The order of sums, and so the last bits of a training,
/// depend on their number.
pub fn parts_at_once() -> usize {
    group::size() * rayon::current_num_threads()
}

/// Of parts that are computed at the same time, those of this rank.
fn own_share(parts: Range<usize>) -> Range<usize> {
    let threads = rayon::current_num_threads();
    let at = |rank: usize| (parts.start + rank * threads).min(parts.end);
    at(group::rank())..at(group::rank() + 1)
}

fn gradients_of_parts<E>(
    params: &Params,
    (sequences, parts): (&[Sequence], &[Range<usize>]),
    (outputs_of, outputs): (impl Fn(&[Sequence], Mode<'_>) -> Result<Tensor> + Sync, usize),
    (passes, loss): (Passes, impl FnOnce(&[f32]) -> std::result::Result<LossValue, E>),
) -> Result<(Vec<f32>, Gradients)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let forward = |index: usize| -> Result<(Tensor, Tape)> {
        let tape = Tape::default();
        Ok((outputs_of(&sequences[parts[index].clone()], passes.mode(index, &tape))?, tape))
    };
    let (mut scores, mut kept) = (Vec::new(), Vec::new());
    for round in rounds(parts.len()) {
        let done = share_in_parallel(own_share(round.clone()), round.len(), |index| {
            let (logits, tape) = forward(index)?;
            let scores = logits.to_vec1::<f32>()?;
            Ok((scores, (round.len() == parts.len()).then_some((logits, tape))))
        })?;
        let (own, passes): (Vec<Vec<f32>>, Vec<_>) = done.into_iter().unzip();
        scores.extend(group::gather(own.concat()));
        kept.extend(passes.into_iter().flatten());
    }
    let LossValue { value, grad } = loss(&scores).map_err(|error| Error::Loss(Box::new(error)))?;
    let backward = |index: usize, kept: Option<&(Tensor, Tape)>| -> Result<GradStore> {
        let Range { start, end } = parts[index].clone();
        let grad = grad[start * outputs..end * outputs].to_vec();
        let again;
        let (logits, tape) = match kept {
            Some(kept) => kept,
            None => {
                again = forward(index)?;
                &again
            }
        };
        let own = score_loss(logits, |_| Ok::<_, std::io::Error>(LossValue { value, grad }))?;
        Ok(tape.backward(&own)?)
    };
    let mut total: Option<GradStore> = None;
    for round in rounds(parts.len()) {
        let (count, own) = (round.len(), own_share(round));
        let first = own.start;
        let stores = share_in_parallel(own, count, |index| backward(index, kept.get(index - first)))?;
        let grads = sum(params, stores, count)?;
        total = Some(match total {
            Some(total) => add(params, total, grads)?,
            None => grads,
        });
    }
    let grads = total.ok_or_else(|| Error::Batch("it has no sequence".to_owned()))?;
    Ok((scores, Gradients { loss: value, grads }))
}

/// The parts that are computed at the same time, round by round.
fn rounds(parts: usize) -> impl Iterator<Item = Range<usize>> {
    let at_once = parts_at_once();
    (0..parts).step_by(at_once).map(move |begin| begin..(begin + at_once).min(parts))
}

/// Consecutive ranges of sequences with about equally many tokens, at most one for each thread and none empty.
fn cut(lengths: &[usize]) -> Vec<Range<usize>> {
    cut_into(lengths, parts_at_once())
}

fn cut_into(lengths: &[usize], parts: usize) -> Vec<Range<usize>> {
    let total = lengths.iter().sum::<usize>().max(1);
    let (mut ranges, mut start, mut before) = (Vec::new(), 0, 0);
    for (index, length) in lengths.iter().enumerate() {
        before += length;
        if before * parts >= total * (ranges.len() + 1) {
            ranges.push(start..index + 1);
            start = index + 1;
        }
    }
    if start < lengths.len() {
        ranges.push(start..lengths.len());
    }
    ranges
}

/// The gradients of `count` parts together, those of this rank and of the others, see [`group::pairwise`].
fn sum(params: &Params, own: Vec<GradStore>, count: usize) -> Result<GradStore> {
    let own = group::pairwise(own, |a, b| add(params, a, b))?;
    if group::size() > 1 {
        return sum_of_ranks(params, own, count.div_ceil(rayon::current_num_threads()));
    }
    own.ok_or_else(|| Error::Batch("it has no sequence".to_owned()))
}

/// The gradients of both; one that either lacks is the other's.
fn add(params: &Params, mut total: GradStore, other: GradStore) -> Result<GradStore> {
    let vars: Vec<&Var> = params.iter().map(|(_, var)| var).collect();
    let add = |var: &&Var| match (total.get(var), other.get(var)) {
        (Some(own), Some(other)) => (own + other).map(Some),
        (None, Some(other)) => Ok(Some(other.clone())),
        (_, None) => Ok(None),
    };
    let sums = vars.par_iter().map(add).collect::<candle_core::Result<Vec<_>>>()?;
    for (var, sum) in vars.into_iter().zip(sums) {
        if let Some(sum) = sum {
            total.insert(var, sum);
        }
    }
    Ok(total)
}

/// The gradients of all ranks together, of which the first `contributing` have some.
fn sum_of_ranks(params: &Params, own: Option<GradStore>, contributing: usize) -> Result<GradStore> {
    // candle makes a store by a backward pass alone.
    let mut store = own.map_or_else(|| Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?.backward(), Ok)?;
    let vars: Vec<&Var> = params.iter().map(|(_, var)| var).collect();
    let has = group::gather(vars.iter().map(|var| f32::from(u8::from(store.get(var).is_some()))).collect());
    let with_gradient =
        (0..vars.len()).filter(|place| has.iter().skip(*place).step_by(vars.len()).any(|&has| has > 0.0));
    let vars: Vec<&Var> = with_gradient.map(|place| vars[place]).collect();
    let mut rest = &vars[..];
    while !rest.is_empty() {
        let mut values = 0;
        let fitting = rest.iter().take_while(|var| {
            values += var.elem_count();
            values <= VALUES_AT_ONCE
        });
        let (bucket, later) = rest.split_at(fitting.count().max(1));
        rest = later;
        sum_bucket(&mut store, bucket, contributing)?;
    }
    Ok(store)
}

fn sum_bucket(store: &mut GradStore, vars: &[&Var], contributing: usize) -> Result<()> {
    let mut values = Vec::with_capacity(vars.iter().map(|var| var.elem_count()).sum());
    for var in vars {
        match store.get(var) {
            Some(grad) => with_values(&grad.contiguous()?, |own| values.extend_from_slice(own))?,
            None => values.resize(values.len() + var.elem_count(), 0.0),
        }
    }
    group::sum(&mut values, contributing);
    let mut rest = &values[..];
    for var in vars {
        let (own, later) = rest.split_at(var.elem_count());
        rest = later;
        store.insert(var, Tensor::from_slice(own, var.shape(), &Device::Cpu)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use std::sync::Arc;

    use ranking::loss::{ListNet, Loss, LossError};

    use super::*;
    use crate::models::{Bert, Head};
    use crate::weights::{Init, ParamSpec};

    const PASSES: Passes = Passes { dropout_seed: 0, checkpoint_layers: false, precision: Precision::F32 };

    #[test]
    fn parts_hold_every_sequence_once_and_equally_many_tokens() {
        assert_eq!(cut_into(&[5, 5, 5, 5], 2), [0..2, 2..4]);
        assert_eq!(cut_into(&[1, 1, 9, 1], 2), [0..3, 3..4]);
        assert_eq!(cut_into(&[9, 1, 1, 1], 2), [0..1, 1..4]);
        assert_eq!(cut_into(&[3, 1], 4), [0..1, 1..2]);
        assert_eq!(cut_into(&[], 4), Vec::<Range<usize>>::new());
        let lengths: Vec<usize> = (0..50).map(|i| 1 + i * 7 % 13).collect();
        for parts in 1..=9 {
            let ranges = cut_into(&lengths, parts);
            assert!(ranges.len() <= parts);
            assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        }
    }

    /// The mean over sequences of `weight * length`, one prediction each.
    fn gradient(lengths: &[usize]) -> (f64, f32) {
        let params = Params::init(&[ParamSpec::new("w", &[1], Init::Ones)], 0).unwrap();
        let var = params.get("w").unwrap().clone();
        let mean = |range: Range<usize>, _: Mode<'_>| {
            let count = range.len();
            let values: Vec<f32> = lengths[range].iter().map(|&length| length as f32).collect();
            let lengths = Tensor::from_vec(values, count, &Device::Cpu)?;
            Ok(lengths.broadcast_mul(var.as_tensor())?.mean_all()?)
        };
        let result = prediction_gradients(&params, lengths, &vec![1; lengths.len()], PASSES, mean).unwrap();
        (result.loss, result.grads.get(&var).unwrap().to_vec1::<f32>().unwrap()[0])
    }

    #[test]
    fn a_mean_is_over_the_whole_batch() {
        assert_eq!(gradient(&[4]), (4.0, 4.0));
        let (loss, grad) = gradient(&[1, 1, 1, 2, 7, 1, 1]);
        assert!((loss - 2.0).abs() < 1e-6 && (grad - 2.0).abs() < 1e-6, "{loss} {grad}");
    }

    #[test]
    fn parts_that_are_computed_twice_have_the_gradients_of_the_whole() {
        let config = Bert {
            vocab_size: 50,
            hidden_size: 8,
            intermediate_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            ..Bert::default()
        };
        let model = Model::new(Arc::new(config), Head::Score, 1).unwrap();
        let sequence = |length: u32| Sequence {
            ids: (0..length).map(|i| 1 + (7 * i + length) % 49).collect(),
            type_ids: vec![0; length as usize],
            query: 0..1,
            document: 1..length as usize,
        };
        let sequences: Vec<Sequence> = (3..23).map(sequence).collect();
        let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
        let labels: Vec<f32> = (0..20).map(|i| (i % 5) as f32).collect();
        let computed = |parts: usize| {
            let loss = |scores: &[f32]| {
                Ok::<_, LossError>(Loss::ListNet(ListNet {}).compute(scores, &labels, &[0, 20])?.total)
            };
            let logits = |sequences: &[Sequence], mode: Mode<'_>| model.logits(&Packed::of(sequences)?, mode);
            let parts = cut_into(&lengths, parts);
            gradients_of_parts(model.params(), (&sequences, &parts), (logits, 1), (PASSES, loss)).unwrap()
        };
        let ((scores, whole), (again, parted)) = (computed(1), computed(2 * rayon::current_num_threads() + 3));
        assert!(scores.iter().zip(&again).all(|(a, b)| (a - b).abs() < 1e-6));
        assert!((whole.loss - parted.loss).abs() < 1e-6);
        for (name, var) in model.params().iter() {
            let gradient = |gradients: &Gradients| {
                gradients.grads.get(var).map(|grad| grad.flatten_all().unwrap().to_vec1::<f32>().unwrap())
            };
            let (Some(a), Some(b)) = (gradient(&whole), gradient(&parted)) else { panic!("{name} has no gradient") };
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
        }
    }

    /// A batch of one sequence is computed by all threads of one process, or by those of one rank.
    #[test]
    fn one_sequence_has_the_same_gradients_with_any_number_of_threads() {
        let config = Bert {
            vocab_size: 200,
            hidden_size: 64,
            intermediate_size: 256,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            ..Bert::default()
        };
        let model = Model::new(Arc::new(config), Head::Score, 1).unwrap();
        let ids: Vec<u32> = (0..300).map(|i| 1 + i * 7 % 199).collect();
        let sequence = Sequence { type_ids: vec![0; 300], query: 0..1, document: 1..300, ids };
        let bits = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let loss = |scores: &[f32]| Ok::<_, LossError>(LossValue { value: scores[0].into(), grad: vec![1.0] });
            let (_, found) =
                pool.install(|| score_gradients(&model, std::slice::from_ref(&sequence), PASSES, loss)).unwrap();
            let of = |var: &Var| found.grads.get(var).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            model.params().iter().flat_map(|(_, var)| of(var)).map(f32::to_bits).collect::<Vec<u32>>()
        };
        assert_eq!(bits(1), bits(2));
        assert_eq!(bits(1), bits(4));
    }

    #[test]
    fn a_batch_without_predictions_is_refused() {
        let params = Params::init(&[ParamSpec::new("w", &[1], Init::Ones)], 0).unwrap();
        let never = |_: Range<usize>, _: Mode<'_>| -> Result<Tensor> { Err(Error::Batch("asked".into())) };
        let error = prediction_gradients(&params, &[3], &[0], PASSES, never).unwrap_err();
        assert_eq!(error.to_string(), "batch: it has nothing to predict");
    }
}
