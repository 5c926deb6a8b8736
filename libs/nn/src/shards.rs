//! A step's batch in shards: each goes forward and backward on a thread of its own, and their gradients are added up in
//! the shards' order. Threads that never meet within a pass waste less than threads that share each small operation.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::Tensor;
use candle_core::backprop::GradStore;
use ranking::loss::LossValue;
use ranking::rng::number;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};
use crate::model::{Mode, Ranker};
use crate::ops::{Tape, score_loss};
use crate::packed::Packed;
use crate::params::Params;
use crate::precision::Precision;
use crate::text::Sequence;

/// A loss and what it asks of the weights.
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
        Ok(Gradients { loss: self.loss + other.loss, grads: sum(params, vec![self.grads, other.grads])? })
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

/// What a training decides of each step's passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    /// Decides which values are dropped; a function of (run seed, step).
    pub dropout_seed: u64,
    /// Whether layers are computed again in the backward pass instead of kept (gradient checkpointing).
    pub checkpoint_layers: bool,
    /// Of the products; [`Precision`] says of which.
    pub precision: Precision,
}

impl Passes {
    /// The pass of a shard. No two shards drop the same places.
    fn mode<'a>(&self, shard: usize, tape: &'a Tape) -> Mode<'a> {
        Mode::Train {
            dropout_seed: number(self.dropout_seed, "shard", shard as u64),
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
    let mut shards = cut(lengths);
    shards.retain(|shard| predictions[shard.clone()].iter().any(|&predictions| predictions > 0));
    let done = in_parallel(shards.len(), |index| {
        let shard = shards[index].clone();
        let share = predictions[shard.clone()].iter().sum::<usize>() as f64 / total as f64;
        let tape = Tape::default();
        let loss = (mean_loss(shard, passes.mode(index, &tape))? * share)?;
        Ok((f64::from(loss.to_scalar::<f32>()?), tape.backward(&loss)?))
    })?;
    let (losses, stores): (Vec<f64>, Vec<GradStore>) = done.into_iter().unzip();
    Ok(Gradients { loss: losses.iter().sum(), grads: sum(params, stores)? })
}

/// The scores of a batch, a loss on all of them together, and its gradient.
///
/// # Errors
/// A sequence the model refuses; a loss that refuses the scores.
pub fn score_gradients<E>(
    ranker: &Ranker,
    sequences: &[Sequence],
    passes: Passes,
    loss: impl FnOnce(&[f32]) -> std::result::Result<LossValue, E>,
) -> Result<(Vec<f32>, Gradients)>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let lengths: Vec<usize> = sequences.iter().map(|sequence| sequence.ids.len()).collect();
    let shards = cut(&lengths);
    let forward = in_parallel(shards.len(), |index| {
        let tape = Tape::default();
        let packed = Packed::of(&sequences[shards[index].clone()])?;
        Ok((ranker.score(&packed, passes.mode(index, &tape))?, tape))
    })?;
    let parts = forward.iter().map(|(logits, _)| logits.to_vec1::<f32>()).collect::<candle_core::Result<Vec<_>>>()?;
    let scores = parts.concat();
    let LossValue { value, grad } = loss(&scores).map_err(|error| Error::Loss(Box::new(error)))?;
    let stores = in_parallel(shards.len(), |index| {
        let grad = grad[shards[index].clone()].to_vec();
        let (logits, tape) = &forward[index];
        let own = score_loss(logits, |_| Ok::<_, std::io::Error>(LossValue { value, grad }))?;
        Ok(tape.backward(&own)?)
    })?;
    Ok((scores, Gradients { loss: value, grads: sum(ranker.params(), stores)? }))
}

/// Consecutive ranges of sequences with about equally many tokens, at most one for each thread and none empty.
fn cut(lengths: &[usize]) -> Vec<Range<usize>> {
    cut_into(lengths, rayon::current_num_threads())
}

fn cut_into(lengths: &[usize], shards: usize) -> Vec<Range<usize>> {
    let total = lengths.iter().sum::<usize>().max(1);
    let (mut ranges, mut start, mut before) = (Vec::new(), 0, 0);
    for (index, length) in lengths.iter().enumerate() {
        before += length;
        if before * shards >= total * (ranges.len() + 1) {
            ranges.push(start..index + 1);
            start = index + 1;
        }
    }
    if start < lengths.len() {
        ranges.push(start..lengths.len());
    }
    ranges
}

/// The gradients of all shards together.
fn sum(params: &Params, mut stores: Vec<GradStore>) -> Result<GradStore> {
    let rest = stores.split_off(1.min(stores.len()));
    let Some(mut total) = stores.pop() else {
        return Err(Error::Batch("it has no sequence".to_owned()));
    };
    let vars: Vec<_> = params.iter().map(|(_, var)| var).collect();
    let add = |var: &&candle_core::Var| {
        let mut parts = std::iter::once(&total).chain(&rest).filter_map(|store| store.get(var)).cloned();
        parts.next().map(|first| parts.try_fold(first, |sum, part| sum + part)).transpose()
    };
    let sums = vars.par_iter().map(add).collect::<candle_core::Result<Vec<_>>>()?;
    for (var, sum) in vars.into_iter().zip(sums) {
        if let Some(sum) = sum {
            total.insert(var, sum);
        }
    }
    Ok(total)
}

/// `work` of every number below `count`, in their order; each runs on one thread from its start to its end, unless there
/// is a single one, which has all threads.
pub(crate) fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    let workers = workers()?;
    if count < 2 || workers.len() < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take_turns = || -> Vec<(usize, Result<T>)> {
        let numbers =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < count));
        numbers.map(|number| (number, work(number))).collect()
    };
    let mut done: Vec<(usize, Result<T>)> = std::thread::scope(|scope| {
        let start = |worker: &'static ThreadPool| scope.spawn(move || worker.install(take_turns));
        let started: Vec<_> = workers.iter().take(count).map(start).collect();
        let ended = started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// One pool of a single thread for each thread of the global pool: operations that share their work find nobody to share
/// it with.
fn workers() -> Result<&'static [ThreadPool]> {
    static WORKERS: OnceLock<std::result::Result<Vec<ThreadPool>, String>> = OnceLock::new();
    let start = || {
        let pools = (0..rayon::current_num_threads()).map(|_| ThreadPoolBuilder::new().num_threads(1).build());
        pools.collect::<std::result::Result<_, _>>().map_err(|error| error.to_string())
    };
    WORKERS.get_or_init(start).as_deref().map_err(|error| Error::Training(format!("starting threads: {error}")))
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::params::{Init, ParamSpec};

    const PASSES: Passes = Passes { dropout_seed: 0, checkpoint_layers: false, precision: Precision::F32 };

    #[test]
    fn shards_hold_every_sequence_once_and_equally_many_tokens() {
        assert_eq!(cut_into(&[5, 5, 5, 5], 2), [0..2, 2..4]);
        assert_eq!(cut_into(&[1, 1, 9, 1], 2), [0..3, 3..4]);
        assert_eq!(cut_into(&[9, 1, 1, 1], 2), [0..1, 1..4]);
        assert_eq!(cut_into(&[3, 1], 4), [0..1, 1..2]);
        assert_eq!(cut_into(&[], 4), Vec::<Range<usize>>::new());
        let lengths: Vec<usize> = (0..50).map(|i| 1 + i * 7 % 13).collect();
        for shards in 1..=9 {
            let ranges = cut_into(&lengths, shards);
            assert!(ranges.len() <= shards);
            assert_eq!(ranges.iter().cloned().flatten().collect::<Vec<_>>(), (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn work_keeps_its_order_and_its_first_error() {
        assert_eq!(in_parallel(20, |number| Ok(number * number)).unwrap()[19], 361);
        let refuse = |number| if number % 7 == 3 { Err(Error::Batch(format!("{number}"))) } else { Ok(()) };
        assert_eq!(in_parallel(20, refuse).unwrap_err().to_string(), "batch: 3");
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
    fn a_batch_without_predictions_is_refused() {
        let params = Params::init(&[ParamSpec::new("w", &[1], Init::Ones)], 0).unwrap();
        let never = |_: Range<usize>, _: Mode<'_>| -> Result<Tensor> { Err(Error::Batch("asked".into())) };
        let error = prediction_gradients(&params, &[3], &[0], PASSES, never).unwrap_err();
        assert_eq!(error.to_string(), "batch: it has nothing to predict");
    }
}
