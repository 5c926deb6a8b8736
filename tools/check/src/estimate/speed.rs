//! How fast this machine computes models: matrix products as measured, the rest by rates.

use std::time::{Duration, Instant};

use candle_core::{Device, Tensor};
use models::arithmetic;
use nn::ops::{Precision, linear};
use pipeline::Pipeline;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::work::Work;
use crate::models::Shape;

/// Rows of the product that is measured: tokens of a step.
const ROWS: usize = 1024;
/// How long it is measured.
const LONG_ENOUGH: Duration = Duration::from_millis(150);
/// Seconds of a thread for a number of the layers' values, of which a layer has a few for each token beside its products.
const VALUE: f64 = 0.35e-9;
/// Share of the last layer that is left out where one token gives the score.
const NOT_NEEDED: f64 = 0.7;
/// Seconds of a step, whatever its size.
const STEP: f64 = 2e-3;

/// Speeds by width.
pub(crate) struct Speed {
    pool: ThreadPool,
    threads: usize,
    precision: Precision,
    measured: Vec<((usize, usize), f64)>,
}

impl Speed {
    /// # Errors
    /// Where threads cannot be started.
    pub(crate) fn new(pipeline: &Pipeline, threads: usize) -> anyhow::Result<Speed> {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build()?;
        Ok(Speed { pool, threads, precision: arithmetic(pipeline.run.precision), measured: Vec::new() })
    }

    /// Seconds of a training or scoring of a model.
    ///
    /// # Errors
    /// Where tensors cannot be made.
    pub(crate) fn seconds(&mut self, work: &Work, shape: &Shape) -> anyhow::Result<f64> {
        let tokens = work.steps * work.tokens;
        // Where one token gives the score, the last layer computes little for the others.
        let layers = shape.layers as f64 - if work.predicted > 0.0 { 0.0 } else { NOT_NEEDED };
        let of_attention = 2.0 * work.length * shape.hidden as f64 * layers;
        let of_vocabulary = work.predicted * (shape.vocabulary * shape.hidden) as f64;
        let of_layers = shape.linear * layers / shape.layers as f64;
        let operations = work.operations * tokens * (of_layers + of_attention + of_vocabulary);
        let values = (8 * shape.hidden + 3 * shape.intermediate) as f64 * layers
            + 2.0 * work.predicted * shape.vocabulary as f64;
        let between = work.operations * tokens * values * VALUE / self.threads as f64;
        let updates = if work.trains { work.steps * shape.weights * 8.0 * VALUE } else { 0.0 };
        let speed = self.of(shape.hidden, shape.intermediate)?;
        Ok(operations / speed + between + updates + work.steps * STEP)
    }

    /// Operations a second of a product of so many rows and columns; measured once.
    fn of(&mut self, hidden: usize, intermediate: usize) -> anyhow::Result<f64> {
        if let Some((_, speed)) = self.measured.iter().find(|(shape, _)| *shape == (hidden, intermediate)) {
            return Ok(*speed);
        }
        let precision = self.precision;
        let speed = self.pool.install(|| measure(hidden, intermediate, precision))?;
        self.measured.push(((hidden, intermediate), speed));
        Ok(speed)
    }

    /// Operations a second, by the widths of the model.
    pub(crate) fn measured(self) -> Vec<((usize, usize), f64)> {
        self.measured
    }
}

/// Operations a second of the product of a feed-forward layer.
fn measure(hidden: usize, intermediate: usize, precision: Precision) -> anyhow::Result<f64> {
    let tensor = |rows: usize| Tensor::rand(-1.0f32, 1.0, (rows, hidden), &Device::Cpu);
    let (x, weight) = (tensor(ROWS)?, tensor(intermediate)?);
    let operations = 2.0 * (ROWS * hidden * intermediate) as f64;
    linear(&x, &weight, None, precision)?;
    let (started, mut done) = (Instant::now(), 0.0);
    while started.elapsed() < LONG_ENOUGH {
        linear(&x, &weight, None, precision)?;
        done += operations;
    }
    Ok(done / started.elapsed().as_secs_f64())
}
