//! Scores that are read in another way than the architecture's own, against PyTorch: the mean over a decoder's tokens, and
//! the expected grade of a classifier of grades (`golden/readings.py`).

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use nn::models::{Backbone, Bert, Head, Model, read_config};
use nn::ops::{Precision, score_loss};
use nn::text::{Packed, Pooling};
use nn::weights::Mode;
use ranking::loss::{GradeCrossEntropy, Logistic, Loss, LossError};
use safetensors::SafeTensors;

const TRAIN: Mode<'_> = Mode::Train { dropout_seed: 1, tape: None, precision: Precision::F32 };
const EVAL: Mode<'_> = Mode::Eval(Precision::F32);

fn sequences() -> Packed {
    let sequences: [&[u32]; 5] =
        [&[5, 96, 13, 0, 44, 2], &[7, 7, 1], &[90, 31, 8, 60, 2, 17, 55, 41, 3, 3, 29], &[64], &[12, 80, 33, 21]];
    Packed::from_sequences(&sequences).unwrap()
}

/// What a golden file holds, and the model of its weights.
fn golden(name: &str, head: Head) -> (HashMap<String, Tensor>, Model) {
    let bytes = std::fs::read(Path::new("tests/golden").join(name)).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let config = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["config"]).unwrap();
    let backbone: Arc<dyn Backbone> = read_config(&config).unwrap();
    let file = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
    let model = Model::new(backbone, head, 0).unwrap();
    model.params().iter().for_each(|(name, var)| var.set(&file[name]).unwrap());
    (file, model)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn close(what: &str, found: &Tensor, expected: &Tensor) {
    let (found, expected) = (numbers(found), numbers(expected));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.into_iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-4 * expected.abs().max(1.0), "{what}: {found}, PyTorch {expected}");
    }
}

/// The loss `name` of the file, and the gradient of every weight.
fn compare((file, model): &(HashMap<String, Tensor>, Model), name: &str, loss: &Tensor) {
    close(name, loss, &file[&format!("{name}.loss")]);
    let grads = loss.backward().unwrap();
    for (weight, var) in model.params().iter() {
        let grad = grads.get(var).unwrap_or_else(|| panic!("no gradient of {weight}"));
        assert!(numbers(grad).iter().any(|&number| number != 0.0), "{weight}");
        close(weight, grad, &file[&format!("{name}.grad.{weight}")]);
    }
}

#[test]
fn a_decoder_is_scored_at_the_mean_of_its_tokens() {
    let (file, model) = golden("llama_mean.safetensors", Head::Score);
    let at_last = model.score(&sequences(), EVAL).unwrap();
    let model = model.with_pooling(Pooling::Mean).unwrap();
    let scores = model.score(&sequences(), EVAL).unwrap();
    close("logits", &scores, &file["logits"]);
    assert_ne!(numbers(&scores), numbers(&at_last));
    let logistic = |scores: &[f32]| {
        let loss = Loss::Logistic(Logistic {});
        Ok::<_, LossError>(loss.compute(scores, &[2.0, 0.0, 1.0, 0.0, 1.0], &[0, 3, 5])?.total)
    };
    let loss = score_loss(&model.score(&sequences(), TRAIN).unwrap(), logistic).unwrap();
    compare(&(file, model), "logistic", &loss);
}

#[test]
fn a_classifier_of_grades_scores_by_the_expected_one() {
    let golden = golden("llama_grades.safetensors", Head::Grades(5));
    let (file, model) = &golden;
    close("logits", &model.logits(&sequences(), EVAL).unwrap(), &file["logits"]);
    close("scores", &model.score(&sequences(), EVAL).unwrap(), &file["scores"]);
    let grades = |logits: &[f32]| {
        let loss = Loss::GradeCrossEntropy(GradeCrossEntropy {});
        Ok::<_, LossError>(loss.compute(logits, &[4.0, 0.0, 3.0, 1.0, 2.0], &[0, 3, 5])?.total)
    };
    let loss = score_loss(&model.logits(&sequences(), TRAIN).unwrap(), grades).unwrap();
    compare(&golden, "grades", &loss);
    let expected = model.score(&sequences(), TRAIN).unwrap().sum_all().unwrap();
    compare(&golden, "expected", &expected);
}

#[test]
fn another_head_keeps_the_body() {
    let (file, model) = golden("llama_grades.safetensors", Head::Grades(5));
    let scored = model.with_head(Head::Score, 3).unwrap();
    assert_eq!(scored.params().get("score.weight").unwrap().dims(), [1, 48]);
    assert_eq!(scored.score(&sequences(), EVAL).unwrap().dims(), [5]);
    close("body", scored.params().get("model.norm.weight").unwrap(), &file["model.norm.weight"]);
    let back = scored.with_head(Head::Grades(5), 3).unwrap();
    assert_ne!(numbers(back.params().get("score.weight").unwrap()), numbers(&file["score.weight"]));
    assert!(model.with_head(Head::LanguageModel, 3).is_ok());
}

#[test]
fn an_encoder_is_scored_at_its_own_token_alone() {
    let config = Bert { hidden_size: 12, num_hidden_layers: 1, num_attention_heads: 2, ..Bert::default() };
    let encoder = Model::new(Arc::new(config), Head::Score, 1).unwrap();
    for other in [Pooling::Mean, Pooling::LastToken] {
        let error = encoder.clone().with_pooling(other).unwrap_err().to_string();
        assert_eq!(error, format!("pooling = {other:?}: expected FirstToken"));
    }
    assert!(encoder.with_pooling(Pooling::FirstToken).is_ok());
}
