//! How fast this machine computes models: matrix products as measured, the rest by rates.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use models::{scoring_precision, training_precision};
use nn::ops::{Precision, linear};
use pipeline::Pipeline;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::work::{EMBED, Work};
use crate::models::Shape;

/// Rows of the product that is measured, the tokens of a step of one thread, and how few they may be where it is wide.
const ROWS: (usize, usize) = (64, 512);
/// Operations of such a product, which take it a few milliseconds: other programs then leave many undisturbed.
const OPERATIONS: f64 = 150e6;
/// Share of the threads' speeds that is left of them together.
const TOGETHER: f64 = 0.9;
/// How often and how long it is measured, and the pause before each time, after which a thread is served first.
const TIMES: usize = 12;
const BURST: Duration = Duration::from_millis(15);
const PAUSE: Duration = Duration::from_millis(30);
/// Seconds of a thread for a number of the layers' values, of which a layer has a few for each token beside its products.
const VALUE: f64 = 0.35e-9;
/// Share of the last layer that is left out where one token gives the score.
const NOT_NEEDED: f64 = 0.7;
/// The stages that score in int8 where `run.precision` says so; those that train validate and mine as they train.
const IN_INT8: [&str; 3] = [EMBED, "score", "evaluate"];
/// How many times as fast products are in int8 as in the precision of trainings.
const INT8: f64 = 1.8;
/// Seconds of a step, whatever its size.
const STEP: f64 = 2e-3;

/// Speeds by width.
pub(crate) struct Speed {
    pool: ThreadPool,
    threads: usize,
    precision: Precision,
    scores_in_int8: bool,
    measured: Vec<((usize, usize), f64)>,
}

impl Speed {
    /// # Errors
    /// Where threads cannot be started.
    pub(crate) fn new(pipeline: &Pipeline) -> anyhow::Result<Speed> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let threads = if pipeline.run.threads == 0 { cores } else { pipeline.run.threads.min(cores) };
        // Alone, a thread is hardly disturbed by other programs, as threads that wait for one another are.
        let pool = ThreadPoolBuilder::new().num_threads(1).build()?;
        let precision = training_precision(pipeline.run.precision);
        let scores_in_int8 = scoring_precision(pipeline.run.precision) == Precision::Int8;
        Ok(Speed { pool, threads, precision, scores_in_int8, measured: Vec::new() })
    }

    /// Products of `speed` operations a second, whatever their widths.
    #[cfg(test)]
    pub(super) fn known(threads: usize, speed: f64, shapes: &[Shape]) -> anyhow::Result<Speed> {
        let pool = ThreadPoolBuilder::new().num_threads(1).build()?;
        let measured = shapes.iter().map(|shape| ((shape.hidden, shape.intermediate), speed)).collect();
        Ok(Speed { pool, threads, precision: Precision::F32, scores_in_int8: false, measured })
    }

    /// Threads that compute.
    pub(super) fn threads(&self) -> usize {
        self.threads
    }

    /// Seconds of a training or scoring of a model.
    ///
    /// # Errors
    /// Where tensors cannot be made.
    pub(crate) fn seconds(&mut self, work: &Work, shape: &Shape) -> anyhow::Result<f64> {
        let tokens = work.steps * work.tokens;
        // Where one token gives the score, the last layer computes little for the others.
        let reads_all = work.predicted > 0.0 || work.stage() == EMBED;
        let layers = shape.layers as f64 - if reads_all { 0.0 } else { NOT_NEEDED };
        let of_attention = 2.0 * work.length * shape.hidden as f64 * layers;
        let of_vocabulary = work.predicted * (shape.vocabulary * shape.hidden) as f64;
        let of_layers = shape.linear * layers / shape.layers as f64;
        let operations = work.operations * tokens * (of_layers + of_attention + of_vocabulary);
        let values = (8 * shape.hidden + 3 * shape.intermediate) as f64 * layers
            + 2.0 * work.predicted * shape.vocabulary as f64;
        let between = work.operations * tokens * values * VALUE / self.threads as f64;
        let updates = if work.trains { work.steps * shape.weights * 8.0 * VALUE } else { 0.0 };
        let faster = if self.scores_in_int8 && IN_INT8.contains(&work.stage()) { INT8 } else { 1.0 };
        let speed = faster * self.of(shape.hidden, shape.intermediate)?;
        Ok(operations / speed + between + updates + work.steps * STEP)
    }

    /// Operations a second of all threads in a product of these widths; measured once.
    fn of(&mut self, hidden: usize, intermediate: usize) -> anyhow::Result<f64> {
        if let Some((_, speed)) = self.measured.iter().find(|(shape, _)| *shape == (hidden, intermediate)) {
            return Ok(*speed);
        }
        let precision = self.precision;
        let of_thread = self.pool.install(|| measure(hidden, intermediate, precision))?;
        let together = if self.threads > 1 { TOGETHER } else { 1.0 };
        let speed = of_thread * self.threads as f64 * together;
        self.measured.push(((hidden, intermediate), speed));
        Ok(speed)
    }

    /// Operations a second, by the widths of the model.
    pub(crate) fn measured(self) -> Vec<((usize, usize), f64)> {
        self.measured
    }
}

/// Operations a second of a thread in the product of a feed-forward layer: those of the fastest of many short ones, which other
/// programs disturbed least.
fn measure(hidden: usize, intermediate: usize, precision: Precision) -> anyhow::Result<f64> {
    let tensor = |rows: usize| Tensor::rand(-1.0f32, 1.0, (rows, hidden), &Device::Cpu);
    let of_row = 2.0 * (hidden * intermediate) as f64;
    let rows = ((OPERATIONS / of_row) as usize).clamp(ROWS.0, ROWS.1);
    let (x, weight) = (tensor(rows)?, tensor(intermediate)?);
    let mut shortest = f64::INFINITY;
    for _ in 0..TIMES {
        std::thread::sleep(PAUSE);
        let begun = Instant::now();
        while begun.elapsed() < BURST {
            let started = Instant::now();
            linear(&x, &weight, None, precision)?;
            shortest = shortest.min(started.elapsed().as_secs_f64());
        }
    }
    Ok(of_row * rows as f64 / shortest)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::size::Size;
    use super::super::work;
    use super::*;
    use crate::models::Models;

    #[test]
    fn int8_shortens_what_scores_and_nothing_else() {
        let pipeline = {
            let dense = ["retrieval.dense=\"bi-encoder\"".to_owned()];
            pipeline::config::load(Path::new("../../pipeline.toml"), &dense).unwrap()
        };
        let mut models = Models::of(&pipeline);
        models.bi_encoder = models.student;
        let shapes = [models.teacher.unwrap(), models.student.unwrap()];
        let size = Size::of(&pipeline, &[]);
        let seconds = |scores_in_int8: bool| {
            let mut speed = Speed { scores_in_int8, ..Speed::known(2, 1e11, &shapes).unwrap() };
            let works = work::all(&pipeline, &size, &models);
            works
                .iter()
                .map(|(work, shape)| (work.stage().to_owned(), speed.seconds(work, shape.unwrap()).unwrap()))
                .collect::<Vec<_>>()
        };
        for ((stage, exact), (_, rounded)) in seconds(false).into_iter().zip(seconds(true)) {
            assert_eq!(
                rounded < exact,
                ["embed", "score", "evaluate"].contains(&&*stage),
                "{stage}: {exact} s, {rounded} s"
            );
        }
    }
}
