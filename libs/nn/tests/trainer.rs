//! The training loop: resuming to the same bits, keeping the best weights, stopping, and refusing to go on.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use candle_core::{Device, Tensor};
use nn::train::checkpoint::snapshot;
use nn::train::{Checkpointing, Decay, Gradients, StepLoss, Task, TrainConfig, TrainSummary, spread, train};
use nn::weights::{Init, ParamSpec, Params};
use nn::{Error, Result};

/// Least squares towards targets that depend on the step alone.
struct Quadratic {
    params: Params,
    /// Validation values in the order they are asked for by step.
    validations: fn(usize) -> f64,
    /// The spread of the scores at each look.
    spreads: Option<fn(usize) -> f64>,
    looks: usize,
    poisoned_step: Option<usize>,
    steps_run: usize,
    last_step: usize,
}

impl Quadratic {
    fn new() -> Self {
        let specs =
            [ParamSpec::new("a.bias", &[3], Init::Normal(1.0)), ParamSpec::new("b.weight", &[4, 3], Init::Normal(1.0))];
        Self {
            params: Params::init(&specs, 5).unwrap(),
            validations: |step| -((step as f64) - 6.0).abs(),
            spreads: None,
            looks: 0,
            poisoned_step: None,
            steps_run: 0,
            last_step: 0,
        }
    }
}

impl Task for Quadratic {
    fn params(&self) -> Params {
        self.params.clone()
    }

    fn step(&mut self, step: usize) -> Result<StepLoss> {
        self.steps_run += 1;
        self.last_step = step + 1;
        let target = (step as f64 * 0.7).sin();
        let mut loss = Tensor::zeros((), candle_core::DType::F32, &Device::Cpu)?;
        for (_, var) in self.params.iter() {
            loss = (loss + (var.as_tensor() - target)?.sqr()?.sum_all()?)?;
        }
        if self.poisoned_step == Some(step) {
            loss = (loss * f64::NAN)?;
        }
        let gradients = Gradients { loss: f64::from(loss.to_scalar::<f32>()?), grads: loss.backward()? };
        Ok(StepLoss { gradients, components: vec![("squares", 1.0)], examples: 2, tokens: 10 })
    }

    fn validate(&mut self) -> Result<Option<f64>> {
        Ok(Some((self.validations)(self.last_step)))
    }

    fn spread(&mut self) -> Result<Option<f64>> {
        self.looks += 1;
        Ok(self.spreads.map(|spreads| spreads(self.looks - 1)))
    }
}

fn config() -> TrainConfig {
    TrainConfig {
        steps: 12,
        accumulation_steps: 1,
        learning_rate: 0.1,
        warmup_fraction: 0.25,
        decay: Decay::Cosine,
        weight_decay: 0.01,
        max_grad_norm: Some(1.0),
        validate_every: None,
        patience: None,
        start_validation: None,
        average_last: 0.0,
        accept_collapse: false,
    }
}

fn keep(path: &Path) -> Checkpointing<'_> {
    Checkpointing { path, fingerprint: "data and config", every: 3 }
}

fn undisturbed(config: &TrainConfig) -> (TrainSummary, Quadratic) {
    let mut task = Quadratic::new();
    let summary = train(config, &mut task, None, &mut |_| Ok(())).unwrap();
    (summary, task)
}

#[test]
fn an_interrupted_run_ends_in_the_same_bits() {
    let validated = TrainConfig { validate_every: Some(2), ..config() };
    let averaged = TrainConfig { average_last: 0.6, ..config() };
    let both = TrainConfig { average_last: 0.6, ..validated };
    for config in [config(), validated, averaged, both] {
        let (expected, reference) = undisturbed(&config);
        for interrupted_at in [1, 3, 4, 8, 11, 12] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("state.safetensors");
            let mut first = Quadratic::new();
            let error = train(&config, &mut first, Some(&keep(&path)), &mut |report| match report.step {
                step if step == interrupted_at => Err(Error::Caller("enough".into())),
                _ => Ok(()),
            });
            assert_eq!(error.unwrap_err().to_string(), "enough");
            let mut second = Quadratic::new();
            let mut steps = Vec::new();
            let mut observer = |report: &nn::train::StepReport| {
                steps.push(report.step);
                Ok(())
            };
            let summary = train(&config, &mut second, Some(&keep(&path)), &mut observer).unwrap();
            let resumed_from = (interrupted_at - 1) / 3 * 3;
            assert_eq!(summary, TrainSummary { resumed_from, ..expected.clone() });
            assert_eq!(steps, (resumed_from + 1..=12).collect::<Vec<_>>());
            assert_eq!(snapshot(&second.params).unwrap(), snapshot(&reference.params).unwrap());
        }
    }
}

/// Every weight after each step of an undisturbed run.
fn weights_by_step(config: &TrainConfig) -> Vec<Vec<f32>> {
    let mut task = Quadratic::new();
    let params = task.params.clone();
    let mut steps = Vec::new();
    let mut observer = |_: &nn::train::StepReport| {
        steps.push(snapshot(&params)?.into_values().flatten().collect());
        Ok(())
    };
    train(config, &mut task, None, &mut observer).unwrap();
    steps
}

fn assert_mean_of(steps: &[Vec<f32>], found: &Params) {
    let found: Vec<f32> = snapshot(found).unwrap().into_values().flatten().collect();
    for (index, value) in found.into_iter().enumerate() {
        let mean = steps.iter().map(|weights| f64::from(weights[index])).sum::<f64>() / steps.len() as f64;
        assert!((f64::from(value) - mean).abs() < 1e-6, "value {index}: expected {mean}, found {value}");
    }
}

#[test]
fn the_last_weights_are_averaged() {
    let steps = weights_by_step(&config());
    let config = TrainConfig { average_last: 1.0 / 3.0, ..config() };
    assert_eq!(weights_by_step(&config), steps, "averaging does not change the steps");
    let (_, task) = undisturbed(&config);
    assert_mean_of(&steps[8..], &task.params);
}

#[test]
fn the_average_is_what_is_validated() {
    /// The validation of a step looks at the weights in the model.
    struct Watched(Quadratic, Vec<Vec<f32>>);
    impl Task for Watched {
        fn params(&self) -> Params {
            self.0.params.clone()
        }

        fn step(&mut self, batch: usize) -> Result<StepLoss> {
            self.0.step(batch)
        }

        fn validate(&mut self) -> Result<Option<f64>> {
            self.1.push(snapshot(&self.0.params)?.into_values().flatten().collect());
            self.0.validate()
        }
    }
    let steps = weights_by_step(&config());
    let config = TrainConfig { average_last: 0.75, validate_every: Some(1), ..config() };
    let mut task = Watched(Quadratic::new(), Vec::new());
    train(&config, &mut task, None, &mut |_| Ok(())).unwrap();
    assert_eq!(task.1[..3], steps[..3]);
    // Step 6 is the best: the mean of the steps 4, 5 and 6.
    assert_mean_of(&steps[3..6], &task.0.params);
    let best: Vec<f32> = snapshot(&task.0.params).unwrap().into_values().flatten().collect();
    assert_eq!(task.1[5], best);
}

#[test]
fn accumulated_batches_are_one_batch_of_their_mean() {
    /// Batch `i` of the wrapped task is the mean of its batches `2 i` and `2 i + 1`.
    struct Pairs(Quadratic);
    impl Task for Pairs {
        fn params(&self) -> Params {
            self.0.params.clone()
        }

        fn step(&mut self, batch: usize) -> Result<StepLoss> {
            let loss = |batch: usize| {
                let target = (batch as f64 * 0.7).sin();
                let terms = self.0.params.iter().map(|(_, var)| (var.as_tensor() - target)?.sqr()?.sum_all());
                terms.reduce(|a, b| a? + b?).unwrap()
            };
            let mean = ((loss(2 * batch)? + loss(2 * batch + 1)?)? * 0.5)?;
            let gradients = Gradients { loss: f64::from(mean.to_scalar::<f32>()?), grads: mean.backward()? };
            Ok(StepLoss { gradients, components: Vec::new(), examples: 4, tokens: 20 })
        }

        fn validate(&mut self) -> Result<Option<f64>> {
            Ok(None)
        }
    }
    let (mut pairs, mut accumulated) = (Pairs(Quadratic::new()), Quadratic::new());
    let expected = train(&config(), &mut pairs, None, &mut |_| Ok(())).unwrap();
    let config = TrainConfig { accumulation_steps: 2, ..config() };
    let found = train(&config, &mut accumulated, None, &mut |_| Ok(())).unwrap();
    assert_eq!((found.steps, found.examples, found.tokens), (expected.steps, expected.examples, expected.tokens));
    assert!((found.loss - expected.loss).abs() < 1e-5, "{} {}", found.loss, expected.loss);
    for name in ["a.bias", "b.weight"] {
        let values = |params: &Params| params.get(name).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        for (e, f) in values(&pairs.0.params).iter().zip(values(&accumulated.params)) {
            assert!((e - f).abs() < 1e-5, "{name}: expected {e}, found {f}");
        }
    }
}

#[test]
fn a_finished_run_is_not_run_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let config = TrainConfig { validate_every: Some(2), ..config() };
    let mut first = Quadratic::new();
    train(&config, &mut first, Some(&keep(&path)), &mut |_| Ok(())).unwrap();
    let mut second = Quadratic::new();
    let summary = train(&config, &mut second, Some(&keep(&path)), &mut |_| Ok(())).unwrap();
    assert_eq!((summary.resumed_from, second.steps_run), (12, 0));
    assert_eq!(snapshot(&second.params).unwrap(), snapshot(&first.params).unwrap());
}

#[test]
fn the_best_weights_are_kept_and_a_tie_keeps_the_earlier() {
    let every_two = TrainConfig { validate_every: Some(2), ..config() };
    let (summary, task) = undisturbed(&every_two);
    let best = summary.best.unwrap();
    assert_eq!((best.step, best.value), (6, 0.0));
    // The weights after 6 of the 12 steps, from a run that is cut there.
    let mut cut = Quadratic::new();
    let mut weights = None;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    let _ = train(&config(), &mut cut, Some(&keep(&path)), &mut |report| match report.step {
        7 => Err(Error::Caller("enough".into())),
        _ => Ok(()),
    });
    weights.replace(nn::train::checkpoint::Checkpoint::load(&path, "data and config").unwrap().weights);
    assert_eq!(snapshot(&task.params).unwrap(), weights.unwrap());

    let started = TrainConfig { start_validation: Some(0.1), ..every_two };
    let (summary, task) = undisturbed(&started);
    assert_eq!((summary.best.unwrap().step, summary.best.unwrap().value), (0, 0.1));
    assert_eq!(snapshot(&task.params).unwrap(), snapshot(&Quadratic::new().params).unwrap());

    let mut constant = Quadratic { validations: |_| 0.5, ..Quadratic::new() };
    let summary = train(&every_two, &mut constant, None, &mut |_| Ok(())).unwrap();
    assert_eq!(summary.best.unwrap().step, 2);
}

#[test]
fn patience_ends_the_run() {
    let config = TrainConfig { validate_every: Some(2), patience: Some(2), ..config() };
    let (summary, _) = undisturbed(&config);
    assert_eq!((summary.steps, summary.stopped_early), (10, true));
    assert_eq!(summary.best.unwrap().step, 6);
}

#[test]
fn a_loss_that_is_not_a_number_names_its_step() {
    let mut task = Quadratic { poisoned_step: Some(4), ..Quadratic::new() };
    let error = train(&config(), &mut task, None, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.starts_with("the loss of step 5 is NaN"), "{error}");
}

#[test]
fn a_validation_that_is_not_a_number_is_refused() {
    let mut task = Quadratic { validations: |_| f64::NAN, ..Quadratic::new() };
    let config = TrainConfig { validate_every: Some(3), ..config() };
    let error = train(&config, &mut task, None, &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.starts_with("the validation after step 3 is NaN"), "{error}");
}

#[test]
fn scores_that_stay_equal_end_a_run() {
    let run = |spreads: fn(usize) -> f64, accept_collapse| {
        let mut task = Quadratic { spreads: Some(spreads), ..Quadratic::new() };
        let config = TrainConfig { steps: 20, accept_collapse, ..config() };
        train(&config, &mut task, None, &mut |_| Ok(())).map(|summary| (summary.steps, summary.collapsed))
    };
    // Looked at after every second step and at the end.
    let at_first = |look: usize| if look < 1 { 1e-7 } else { 0.1 };
    assert_eq!(run(at_first, false).unwrap(), (20, false), "one look is no alarm");
    let error = run(|look| if look < 3 { 0.1 } else { 1e-7 }, false).unwrap_err().to_string();
    assert!(error.starts_with("after step 10, all documents of a list have the same score"), "{error}");
    let error = run(|look| if look < 9 { 0.1 } else { f64::NAN }, false).unwrap_err().to_string();
    assert!(error.starts_with("after step 20, all documents of a list"), "the end alone: {error}");
    assert_eq!(run(|_| 0.0, true).unwrap(), (20, true));
}

#[test]
fn the_spread_of_scores_is_that_within_lists() {
    assert_eq!(spread(&[1.0, 1.0, 5.0, 5.0], &[0, 2, 4]), 0.0);
    assert_eq!(spread(&[1.0, 1.0, 4.0, 6.0], &[0, 2, 4]), 1.0 / (1.0 + 3.0));
    assert!(spread(&[1e6, 1e6 + 1.0], &[0, 2]) < 1e-6);
}

#[test]
fn a_checkpoint_of_another_run_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.safetensors");
    train(&config(), &mut Quadratic::new(), Some(&keep(&path)), &mut |_| Ok(())).unwrap();
    let other = Checkpointing { fingerprint: "other data", ..keep(&path) };
    let error = train(&config(), &mut Quadratic::new(), Some(&other), &mut |_| Ok(())).unwrap_err().to_string();
    assert!(error.contains("other data") && error.contains("data and config"), "{error}");
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let cases: [(&str, TrainConfig); 8] = [
        ("average_last", TrainConfig { average_last: 1.5, ..config() }),
        ("steps", TrainConfig { steps: 0, ..config() }),
        ("learning_rate", TrainConfig { learning_rate: f64::NAN, ..config() }),
        ("warmup_fraction", TrainConfig { warmup_fraction: 1.5, ..config() }),
        ("weight_decay", TrainConfig { weight_decay: -0.1, ..config() }),
        ("max_grad_norm", TrainConfig { max_grad_norm: Some(0.0), ..config() }),
        ("validate_every", TrainConfig { validate_every: Some(0), ..config() }),
        ("patience", TrainConfig { patience: Some(3), ..config() }),
    ];
    for (name, config) in cases {
        let error = train(&config, &mut Quadratic::new(), None, &mut |_| Ok(())).unwrap_err().to_string();
        assert!(error.starts_with(&format!("training: {name} = ")), "{error}");
    }
}
