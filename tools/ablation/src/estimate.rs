//! How long what is missing will take.

use std::collections::BTreeMap;

use tables::Manifest;

use crate::plan::{CONFIG, Run};

/// A stage of a run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) run: &'a Run,
    pub(crate) stage: &'static str,
}

/// The steps of all runs, in the order they are made.
pub(crate) fn steps(runs: &[Run]) -> Vec<Step<'_>> {
    runs.iter().flat_map(|run| run.stages().into_iter().map(move |stage| Step { run, stage })).collect()
}

/// Seconds that are taken as measured here at the reference's speed, so that a first stage of a second says little of hours.
const TRUSTED: f64 = 120.0;

/// What finished steps took, and from that what others will take.
#[derive(Debug, Default)]
pub(crate) struct Timings {
    /// Seconds of the finished steps by run and stage, one a seed.
    measured: BTreeMap<(String, &'static str), Vec<f64>>,
    /// Sum of the finished steps' seconds here, and in the reference.
    sums: (f64, f64),
}

impl Timings {
    /// The timings in the manifests of the finished ones of `steps`.
    pub(crate) fn of(steps: &[Step<'_>], reference: &BTreeMap<String, f64>) -> Timings {
        let mut timings = Timings::default();
        for step in steps.iter().filter(|step| step.is_finished()) {
            if let Some(seconds) = step.seconds() {
                timings.measured.entry((step.run.name.clone(), step.stage)).or_default().push(seconds);
                timings.sums.0 += seconds;
                timings.sums.1 += step.reference(reference);
            }
        }
        timings
    }

    /// Seconds that `step` will take: what it took for other seeds, or its reference on a machine of this one's speed.
    fn estimate(&self, step: Step<'_>, reference: &BTreeMap<String, f64>) -> f64 {
        if let Some(measured) = self.measured.get(&(step.run.name.clone(), step.stage)) {
            return measured.iter().sum::<f64>() / measured.len() as f64;
        }
        let (here, there) = self.sums;
        step.reference(reference) * (here + TRUSTED) / (there + TRUSTED)
    }

    /// Seconds that `missing` will take.
    pub(crate) fn left(&self, missing: &[Step<'_>], reference: &BTreeMap<String, f64>) -> f64 {
        missing.iter().fold(0.0, |left, &step| left + self.estimate(step, reference))
    }

    /// Seconds that the finished steps took.
    pub(crate) fn spent(&self) -> f64 {
        self.sums.0
    }
}

impl Step<'_> {
    /// True if the step has an output that was made under the configuration that the run has now. Its stage decides for
    /// itself whether that is up to date.
    pub(crate) fn is_finished(self) -> bool {
        let configured = std::fs::read_to_string(self.run.dir.join(CONFIG)).is_ok_and(|text| text == self.run.config);
        configured && self.seconds().is_some()
    }

    /// True if the step trains a model.
    pub(crate) fn is_training(self) -> bool {
        ["teacher", "distill"].contains(&self.stage)
    }

    fn seconds(self) -> Option<f64> {
        Manifest::read(&self.run.dir.join(self.stage), self.stage).ok().map(|manifest| manifest.wall_seconds)
    }

    fn reference(self, reference: &BTreeMap<String, f64>) -> f64 {
        let cost = if self.is_training() { self.run.cost } else { 1.0 };
        reference.get(self.stage).copied().unwrap_or(0.0) * cost
    }
}

/// Seconds as a person says them.
pub(crate) fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round() as u64;
    match minutes {
        0 => format!("{seconds:.0} s"),
        1..120 => format!("{minutes} min"),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::study::Trains;
    use std::path::Path;

    fn run(dir: &Path, name: &str, cost: f64) -> Run {
        let config = "config".to_string();
        Run {
            seed: 1,
            name: name.into(),
            trains: Trains::Student,
            cost,
            config,
            embeds: false,
            simulates: true,
            dir: dir.join(name),
        }
    }

    fn finish(run: &Run, stage: &str, wall_seconds: f64) {
        let manifest = Manifest { stage: stage.into(), wall_seconds, ..Manifest::default() };
        std::fs::create_dir_all(run.dir.join(stage)).unwrap();
        std::fs::write(run.dir.join(CONFIG), &run.config).unwrap();
        std::fs::write(run.dir.join(stage).join("manifest.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    #[test]
    fn missing_steps_take_what_finished_ones_say() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other, wide) =
            (run(dir.path(), "one", 1.0), run(dir.path(), "other", 1.0), run(dir.path(), "wide", 3.0));
        let reference = BTreeMap::from([("distill".to_string(), 1e4), ("evaluate".to_string(), 1.0)]);
        let runs = [one.clone(), other.clone(), wide.clone()];
        let step = |run| Step { run, stage: "distill" };

        let before = Timings::of(&steps(&runs), &reference);
        assert_eq!((before.spent(), before.estimate(step(&wide), &reference)), (0.0, 3e4));
        finish(&one, "distill", 2e4);
        let after = Timings::of(&steps(&runs), &reference);
        assert_eq!((after.spent(), after.estimate(step(&one), &reference)), (2e4, 2e4));
        let (same, of_wide) = (after.estimate(step(&other), &reference), after.estimate(step(&wide), &reference));
        assert!((same - 19_881.423).abs() < 1e-3, "a machine of nearly half the speed: {same}");
        assert!((of_wide - 59_644.269).abs() < 1e-3, "{of_wide}");
        assert!(step(&one).is_finished() && !step(&other).is_finished());
        let changed = Run { config: "changed".into(), ..one.clone() };
        assert!(!step(&changed).is_finished());
    }

    #[test]
    fn a_short_first_stage_says_little() {
        let dir = tempfile::tempdir().unwrap();
        let reference = BTreeMap::from([("ingest".to_string(), 2.0), ("distill".to_string(), 1000.0)]);
        let runs = [Run { trains: Trains::Shared, ..run(dir.path(), "one", 1.0) }];
        finish(&runs[0], "ingest", 0.2);
        let left =
            Timings::of(&steps(&runs), &reference).estimate(Step { run: &runs[0], stage: "distill" }, &reference);
        assert!((left - 985.246).abs() < 1e-3, "{left}");
    }

    #[test]
    fn durations_are_rounded() {
        assert_eq!([20.4, 90.0, 7000.0, 9000.0].map(duration), ["20 s", "2 min", "117 min", "2.5 h"]);
    }
}
