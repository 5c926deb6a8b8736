//! How long a run takes and what it needs, roughly.
//!
//! The time of a model is that of its matrix products, at the speed that a short product of its own width has on this machine, and
//! of what lies between them, at a fixed rate that was measured with the default pipeline. All other rates are fixed too.

mod size;
mod speed;
mod work;

use std::collections::BTreeMap;
use std::fmt::Write;

use ingest::sample::Input;
use pipeline::Pipeline;

use crate::models::Models;
use crate::numbers;

use self::size::Size;
pub(crate) use self::speed::Speed;

/// Bytes of a trained weight: itself, gradient and two moments.
const TRAINED: f64 = 16.0;
/// Bytes of a weight on disk.
const STORED: f64 = 4.0;
/// Memory of a process that has read a collection and does nothing yet, in bytes.
const BASE: f64 = 60e6;
/// Memory of `ingest` for a row of the log, up to `ingest.memory_limit`, in bytes.
const ROW: f64 = 350.0;
/// What a run keeps on disk of a row of the log, in bytes: the cache of what was read, and tables.
const KEPT_ROW: f64 = 100.0;

/// What a run costs.
#[derive(Debug)]
pub(crate) struct Estimate {
    size: Size,
    /// Seconds by stage and phase.
    seconds: Vec<(String, f64)>,
    /// Bytes of memory of the stage that needs most.
    memory: f64,
    /// Bytes that are kept.
    disk: f64,
    /// Bytes of the checkpoints that are there at once, until their stage ends.
    checkpoints: f64,
    /// Operations a second of a matrix product, by its widths.
    speeds: Vec<((usize, usize), f64)>,
    /// As [`work::cut`].
    cut: Option<(f64, Vec<(&'static str, f64)>)>,
    /// What is left out.
    unknown: Vec<String>,
}

impl Estimate {
    /// Estimates from what is known of the inputs and the models.
    ///
    /// # Errors
    /// Only where threads or tensors cannot be made.
    pub(crate) fn new(
        pipeline: &Pipeline,
        inputs: &[Input],
        models: &Models,
        mut speed: Speed,
    ) -> anyhow::Result<Estimate> {
        let size = Size::of(pipeline, inputs);
        let mut estimate = Estimate {
            seconds: Vec::new(),
            memory: BASE + size.documents * 20.0 + (size.rows * ROW).min(size::memory_limit(pipeline)),
            disk: size.rows * KEPT_ROW + size.documents * (size.document_chars + 200.0),
            checkpoints: 0.0,
            speeds: Vec::new(),
            cut: work::cut(pipeline, &size),
            unknown: Vec::new(),
            size,
        };
        estimate.tables(pipeline, speed.threads());
        let mut checkpoints: BTreeMap<String, [f64; 2]> = BTreeMap::new();
        for (work, shape) in work::all(pipeline, &estimate.size, models) {
            let Some(shape) = shape else {
                estimate.unknown.push(work.name);
                continue;
            };
            let seconds = speed.seconds(&work, shape)?;
            let trained = if work.trains { TRAINED } else { STORED };
            estimate.memory = estimate.memory.max(BASE + shape.weights * trained + work.activations(shape));
            estimate.disk += if work.trains { shape.weights * STORED } else { 0.0 };
            if work.stage() == work::EMBED {
                estimate.disk += work.steps * work.tokens / work.length * shape.hidden as f64 * STORED;
            }
            // Those of all phases of a stage stay until it ends, and one is replaced by another that is written beside it.
            let [all, largest] = checkpoints.entry(work.stage().to_string()).or_default();
            let bytes = shape.weights * work.checkpoint * STORED;
            (*all, *largest) = (*all + bytes, largest.max(bytes));
            estimate.seconds.push((work.name, seconds));
        }
        estimate.checkpoints = checkpoints.values().map(|[all, largest]| all + largest).fold(0.0, f64::max);
        estimate.speeds = speed.measured();
        Ok(estimate)
    }

    /// The stages whose time depends on the tables alone.
    fn tables(&mut self, pipeline: &Pipeline, threads: usize) {
        let Size { rows, documents, queries, .. } = self.size;
        let share = 1.0 / threads as f64;
        if let Some(simulate) = &pipeline.simulate {
            self.seconds.push(("simulate".into(), 0.3 + simulate.searches as f64 * 60e-6));
        }
        self.seconds.push(("ingest".into(), 0.1 + (rows * 5e-6 + documents * 50e-6) * share));
        self.seconds.push(("cpt".into(), 0.1 + (documents + queries).min(200e3) * 190e-6 * share));
        let draws = pipeline.evaluate.permutations as f64 * self.size.test_queries(pipeline);
        self.seconds.push(("evaluate".into(), 0.1 + draws * 1e-6 * share));
    }

    /// The estimate in lines.
    pub(crate) fn text(&self) -> String {
        let mut text =
            "\nestimate for a machine that does nothing else; it may be off by a factor of two\n".to_string();
        let all: f64 = self.seconds.iter().map(|(_, seconds)| seconds).sum();
        let mut stages: Vec<(&str, f64)> = Vec::new();
        for (name, seconds) in &self.seconds {
            match stages.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += seconds,
                None => stages.push((name, *seconds)),
            }
        }
        stages.sort_by_key(|(name, _)| pipeline::stages().position(|stage| name.starts_with(stage)));
        let parts: Vec<String> =
            stages.iter().map(|(name, seconds)| format!("{name} {}", numbers::duration(*seconds))).collect();
        let _ = writeln!(text, "  time: {}: {}", numbers::duration(all), parts.join(", "));
        let memory = numbers::bytes(self.memory);
        let [kept, checkpoints] = [self.disk, self.checkpoints].map(numbers::bytes);
        let checkpoints = match self.checkpoints {
            0.0 => String::new(),
            _ => format!(", and {checkpoints} of checkpoints while models are trained"),
        };
        let _ = writeln!(text, "  memory: {memory}; disk: {kept}{checkpoints}");
        let _ = writeln!(text, "  counted for: {}", self.size.text());
        let speeds = self
            .speeds
            .iter()
            .map(|((hidden, inner), speed)| format!("{:.0} GFLOP/s for {hidden} x {inner}", speed / 1e9));
        let speeds: Vec<String> = speeds.collect();
        if !speeds.is_empty() {
            let _ = writeln!(text, "  matrix products, measured just now: {}", speeds.join(", "));
        }
        if let Some((whole, read)) = &self.cut {
            let read: Vec<String> = read.iter().map(|(table, tokens)| format!("{table} reads {tokens:.0}")).collect();
            let _ = writeln!(
                text,
                "  documents are cut: with its query, one has about {whole:.0} tokens, of which {}; a larger max_length, or passages, \
                 read more and take longer",
                read.join(" and ")
            );
        }
        if !self.unknown.is_empty() {
            let _ = writeln!(text, "  without {}, as the model is not here", self.unknown.join(", "));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use ingest::Ingest;
    use pipeline::Stage;

    /// Two cores with AVX-512, whose products were measured beside the runs.
    const THREADS: usize = 2;
    const PRODUCTS: f64 = 140e9;

    fn estimated(config: &str) -> Estimate {
        let pipeline = pipeline::config::load(&Path::new("../..").join(config), &[]).unwrap();
        let settings = Ingest::default().configure(&pipeline).unwrap();
        // Without outputs of `simulate`, which may lie there.
        let simulated = pipeline.simulate.is_some();
        let inputs = if simulated { Vec::new() } else { ingest::sample::inputs(&settings, &pipeline.paths()) };
        let models = Models::of(&pipeline);
        let shapes = [models.teacher.unwrap(), models.student.unwrap()];
        let speed = Speed::known(THREADS, PRODUCTS, &shapes).unwrap();
        Estimate::new(&pipeline, &inputs, &models, speed).unwrap()
    }

    #[test]
    fn checkpoints_of_a_stage_are_there_at_once() {
        let pipeline = pipeline::config::load(Path::new("../../pipeline.toml"), &[]).unwrap();
        // The student's pre-training, its training and that on labels alone have the weights and two moments each; one is replaced.
        let student = 4.0 * 3.0 * STORED * Models::of(&pipeline).student.unwrap().weights;
        let found = estimated("pipeline.toml").checkpoints;
        assert!((found - student).abs() < 1.0, "{found} bytes, expected {student}");
    }

    #[test]
    fn estimates_are_within_a_factor_of_two_of_what_was_measured() {
        // Seconds of all stages and the largest peak of memory, as the manifests of idle runs have them.
        for (config, seconds, memory) in [("pipeline.toml", 240.0, 283e6), ("configs/sample.toml", 4.4, 90e6)] {
            let estimate = estimated(config);
            let all: f64 = estimate.seconds.iter().map(|(_, seconds)| seconds).sum();
            assert!((0.5..2.0).contains(&(all / seconds)), "{config}: {all} s, {:?}", estimate.seconds);
            assert!((0.5..2.0).contains(&(estimate.memory / memory)), "{config}: {} bytes", estimate.memory);
        }
    }
}
