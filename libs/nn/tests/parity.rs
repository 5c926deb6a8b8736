//! Models against PyTorch transformers: logits, losses and every gradient (`golden/models.py`), and ten steps of training
//! (`golden/training.py`).

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use nn::models::{Bert, Head, Model, read_config};
use nn::ops::{Precision, score_loss};
use nn::text::{Kind, Packed};
use nn::train::{AdamW, AdamWConfig};
use nn::weights::{Mode, Params};
use ranking::loss::{Hinge, Hybrid, Logistic, Loss, LossError, LossValue};
use safetensors::SafeTensors;
use serde_json::Value;

const TRAIN: Mode<'_> = Mode::Train { dropout_seed: 1, tape: None, precision: Precision::F32 };
const LISTS: [usize; 3] = [0, 3, 5];
const GRADES: [f32; 5] = [2.0, 0.0, 1.0, 0.0, 1.0];
const TEACHER: [f32; 5] = [0.7, -1.1, 0.2, 0.4, 2.0];

fn hinge(scores: &[f32]) -> Result<LossValue, LossError> {
    Ok(Loss::Hinge(Hinge { margin: 0.5 }).compute(scores, &GRADES, &LISTS)?.total)
}

fn logistic(scores: &[f32]) -> Result<LossValue, LossError> {
    Ok(Loss::Logistic(Logistic {}).compute(scores, &GRADES, &LISTS)?.total)
}

fn hybrid(scores: &[f32]) -> Result<LossValue, LossError> {
    Ok(Loss::Hybrid(Hybrid { alpha: 0.3, ..Hybrid::default() }).compute(scores, &TEACHER, &LISTS)?.total)
}
const LOSS_START: [usize; 5] = [2, 1, 4, 0, 3];

const ENCODERS: [&str; 12] = [
    "bert",
    "roberta",
    "xlm_roberta",
    "distilbert",
    "electra",
    "modernbert",
    "modernbert_mean",
    "deberta",
    "deberta_split",
    "deberta_c2p",
    "deberta_p2c",
    "deberta_plain",
];
const DECODERS: [&str; 7] = ["llama3", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3"];

fn sequences() -> Vec<Vec<u32>> {
    vec![
        vec![5, 96, 13, 0, 44, 2],
        vec![7, 7, 1],
        vec![90, 31, 8, 60, 2, 17, 55, 41, 3, 3, 29],
        vec![64],
        vec![12, 80, 33, 21],
    ]
}

/// The `LONG` of `golden/models.py`: longer than windows and buckets.
fn long_sequences() -> Vec<Vec<u32>> {
    let sequence = |n: u32| (0..n).map(|i| (7 * i * i + 3 * i + 11 * n + 5) % 96).collect();
    [40, 3, 23, 1, 11].map(sequence).into()
}

/// Token ids and types: the second half of each sequence is the second segment.
type Typed = Vec<(Vec<u32>, Vec<u32>)>;

fn typed() -> Typed {
    typed_of("bert")
}

/// The sequences of the golden file `name`.
fn typed_of(name: &str) -> Typed {
    let by_distance = ["modernbert", "deberta"].iter().any(|family| name.starts_with(family));
    let sequences = if by_distance { long_sequences() } else { sequences() };
    let types = |ids: &Vec<u32>| (0..ids.len()).map(|index| u32::from(2 * index >= ids.len())).collect();
    sequences.into_iter().map(|ids| (ids.clone(), types(&ids))).collect()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    numbers(&tensor.flatten_all().unwrap())
}

/// A golden file: its checkpoint written to a folder of its own, and everything in it.
struct Golden {
    file: HashMap<String, Tensor>,
    config: Value,
    checkpoint: PathBuf,
    _folder: tempfile::TempDir,
}

impl Golden {
    fn open(name: &str) -> Self {
        let path = Path::new("tests/golden").join(name);
        let bytes = std::fs::read(&path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        let config = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["config"]).unwrap();
        let file = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu).unwrap();
        let is_weight = |name: &str| !name.contains("loss") && !name.contains(".grad.") && name != "logits";
        let weights = file.iter().filter(|(name, _)| is_weight(name)).map(|(n, t)| (n.clone(), t.clone()));
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("model.safetensors");
        candle_core::safetensors::save(&weights.collect(), &checkpoint).unwrap();
        Self { file, config, checkpoint, _folder: folder }
    }

    /// The model with exactly the checkpoint's weights.
    fn model(&self, head: Head) -> nn::Result<Model> {
        Model::load(read_config(&self.config)?, head, &[&self.checkpoint], None)
    }

    /// The ranker with exactly the checkpoint's weights.
    fn ranker(&self) -> Model {
        self.model(Head::Score).unwrap()
    }

    /// The ranker with the checkpoint's body.
    fn new_ranker(&self) -> Model {
        Model::load(read_config(&self.config).unwrap(), Head::Score, &[&self.checkpoint], Some(3)).unwrap()
    }

    fn values(&self, name: &str) -> Vec<f32> {
        flat(&self.file[name])
    }

    /// The loss, and the gradient of every weight.
    fn compare(&self, name: &str, params: &Params, loss: &Tensor) {
        close(&format!("{name} loss"), &[loss.to_scalar().unwrap()], &self.values(&format!("{name}.loss")));
        let grads = loss.backward().unwrap();
        let expected = self.file.keys().filter(|key| key.starts_with(&format!("{name}.grad."))).count();
        assert_eq!(params.len(), expected, "weights with a golden gradient");
        for (weight, var) in params.iter() {
            let grad = grads.get(var).unwrap_or_else(|| panic!("no gradient of {weight}"));
            assert_eq!(grad.dtype(), DType::F32);
            let grad: Vec<f32> = grad.flatten_all().unwrap().to_vec1().unwrap();
            assert!(grad.iter().all(|g| g.is_finite()) && grad.iter().any(|&g| g != 0.0), "gradient of {weight}");
            close(weight, &grad, &self.values(&format!("{name}.grad.{weight}")));
        }
    }
}

fn close(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let error = (found - expected).abs();
        assert!(error <= 1e-4 * expected.abs().max(1.0), "{what}[{index}]: {found}, PyTorch {expected}");
    }
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.to_vec1().unwrap()
}

#[test]
fn llama_scores_and_rank_losses() {
    let golden = Golden::open("llama_score.safetensors");
    let model = golden.ranker();
    assert_eq!(model.backbone().kind(), Kind::Decoder);
    let packed = Packed::from_sequences(&sequences()).unwrap();
    close("logits", &numbers(&model.score(&packed, Mode::Eval(Precision::F32)).unwrap()), &golden.values("logits"));

    let scores = model.score(&packed, TRAIN).unwrap();
    let loss = score_loss(&scores, hinge).unwrap();
    golden.compare("hinge", model.params(), &loss);
    let scores = model.score(&packed, TRAIN).unwrap();
    let loss = score_loss(&scores, logistic).unwrap();
    golden.compare("logistic", model.params(), &loss);
}

#[test]
fn llama_continued_pre_training() {
    for file in ["llama_lm.safetensors", "llama_lm_tied.safetensors"] {
        let golden = Golden::open(file);
        let model = golden.model(Head::LanguageModel).unwrap();
        let packed = Packed::from_sequences(&sequences()).unwrap();
        golden.compare("cpt", model.params(), &model.next_token_loss(&packed, &LOSS_START, TRAIN).unwrap());
    }
}

#[test]
fn decoders_continue_their_pre_training() {
    for family in &DECODERS[1..] {
        let body = Golden::open(&format!("{family}.safetensors"));
        let golden = Golden::open(&format!("{family}_lm.safetensors"));
        let backbone = read_config(&golden.config).unwrap();
        let model = Model::load(backbone, Head::LanguageModel, &[&body.checkpoint], Some(0)).unwrap();
        let packed = Packed::from_sequences(&sequences()).unwrap();
        golden.compare("cpt", model.params(), &model.next_token_loss(&packed, &LOSS_START, TRAIN).unwrap());
    }
}

/// Biases and scaled positions, sliding windows, head norms, bounded scores: each with odd sizes, against a padded batch.
#[test]
fn decoders_score_and_rank() {
    for family in DECODERS {
        let golden = Golden::open(&format!("{family}.safetensors"));
        let model = golden.ranker();
        assert_eq!(model.backbone().kind(), Kind::Decoder);
        let packed = Packed::from_sequences(&sequences()).unwrap();
        let logits = numbers(&model.score(&packed, Mode::Eval(Precision::F32)).unwrap());
        for (found, expected) in logits.iter().zip(golden.values("logits")) {
            assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{family}: {found}, PyTorch {expected}");
        }
        let scores = model.score(&packed, TRAIN).unwrap();
        let loss = score_loss(&scores, hinge).unwrap();
        golden.compare("hinge", model.params(), &loss);
    }
}

#[test]
fn what_is_written_reads_back_to_the_same_scores() {
    for (family, class) in [
        ("llama3", "Llama"),
        ("mistral", "Mistral"),
        ("qwen2", "Qwen2"),
        ("qwen3", "Qwen3"),
        ("gemma", "Gemma"),
        ("gemma2", "Gemma2"),
        ("gemma3", "Gemma3Text"),
        ("bert", "Bert"),
        ("roberta", "Roberta"),
        ("xlm_roberta", "XLMRoberta"),
        ("distilbert", "DistilBert"),
        ("electra", "Electra"),
        ("modernbert", "ModernBert"),
        ("modernbert_mean", "ModernBert"),
        ("deberta", "DebertaV2"),
        ("deberta_split", "DebertaV2"),
    ] {
        let golden = Golden::open(&format!("{family}.safetensors"));
        let model = golden.ranker();
        let config = model.config_json().unwrap();
        assert_eq!(config["architectures"][0], format!("{class}ForSequenceClassification"));
        assert_eq!(config["model_type"], golden.config["model_type"]);
        model.params().save(&golden.checkpoint).unwrap();
        let again = Model::load(read_config(&config).unwrap(), Head::Score, &[&golden.checkpoint], None).unwrap();
        assert_eq!(again.config_json().unwrap(), config);
        let packed = Packed::from_sequences(&sequences()).unwrap();
        let scores = |model: &Model| numbers(&model.score(&packed, Mode::Eval(Precision::F32)).unwrap());
        assert_eq!(scores(&again), scores(&model));
    }
}

/// Odd sizes, positions that count from the padding token, a body without token types: also against a padded batch.
#[test]
fn encoders_score_and_distil() {
    for name in ENCODERS {
        let golden = Golden::open(&format!("{name}.safetensors"));
        let model = golden.ranker();
        assert_eq!(model.backbone().kind(), Kind::Encoder);
        let packed = Packed::from_typed(&typed_of(name)).unwrap();
        let logits = numbers(&model.score(&packed, Mode::Eval(Precision::F32)).unwrap());
        close(&format!("{name} logits"), &logits, &golden.values("logits"));

        let scores = model.score(&packed, TRAIN).unwrap();
        let loss = score_loss(&scores, hybrid).unwrap();
        golden.compare("hybrid", model.params(), &loss);
    }
}

#[test]
fn bert_matches_the_stock_encoder() {
    let golden = Golden::open("bert.safetensors");
    let model = golden.ranker();
    let stock_config = serde_json::from_value(golden.config.clone()).unwrap();
    let weights = candle_nn::VarBuilder::from_tensors(golden.file.clone(), DType::F32, &Device::Cpu);
    let stock = candle_transformers::models::bert::BertModel::load(weights.pp("bert"), &stock_config).unwrap();
    for (ids, types) in typed() {
        let packed = Packed::from_typed(&[(&ids, &types)]).unwrap();
        let row = |values: &[u32]| Tensor::new(values, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let expected = stock.forward(&row(&ids), &row(&types), None).unwrap().flatten_all().unwrap();
        let found = model.hidden(&packed, None, Mode::Eval(Precision::F32)).unwrap().flatten_all().unwrap();
        close("hidden", &numbers(&found), &numbers(&expected));

        let rows: Vec<u32> = (0..ids.len() as u32).step_by(2).collect();
        let some = model.hidden(&packed, Some(&rows), Mode::Eval(Precision::F32)).unwrap().flatten_all().unwrap();
        let expected = numbers(&expected);
        let read: Vec<f32> = expected.chunks(expected.len() / ids.len()).step_by(2).flatten().copied().collect();
        close("hidden of some", &numbers(&some), &read);
    }
}

#[test]
fn what_the_last_layer_makes_of_a_read_token_stays_f32() {
    let config = Bert { hidden_size: 48, num_attention_heads: 3, num_hidden_layers: 1, ..small_bert() };
    let model = bert(config);
    let score = |precision| {
        let packed = Packed::from_typed(&typed()).unwrap();
        numbers(&model.score(&packed, Mode::Eval(precision)).unwrap())
    };
    assert_ne!(score(Precision::F32), score(Precision::Bf16), "keys and values are rounded");
    // With values of zero, only the read token's own way to the score is left.
    let values = model.params().get("bert.encoder.layer.0.attention.self.value.weight").unwrap();
    values.set(&values.zeros_like().unwrap()).unwrap();
    assert_eq!(score(Precision::F32), score(Precision::Bf16));
}

#[test]
fn a_packed_sequence_scores_as_it_does_alone() {
    for file in ["llama_score"].into_iter().chain(DECODERS).chain(ENCODERS) {
        let golden = Golden::open(&format!("{file}.safetensors"));
        let model = golden.ranker();
        let sequences = typed_of(file);
        let together =
            numbers(&model.score(&Packed::from_typed(&sequences).unwrap(), Mode::Eval(Precision::F32)).unwrap());
        for (sequence, score) in sequences.into_iter().zip(together) {
            let alone =
                numbers(&model.score(&Packed::from_typed(&[sequence]).unwrap(), Mode::Eval(Precision::F32)).unwrap());
            assert!((alone[0] - score).abs() < 1e-5, "{alone:?} {score}");
        }
    }
}

#[test]
fn bf16_scores_are_the_same_from_weights_that_are_packed_once() {
    if !Precision::Bf16.rounds_once() {
        println!("skipped: this processor has no instructions for bf16");
        return;
    }
    for file in ["llama_score"].into_iter().chain(DECODERS).chain(ENCODERS) {
        let golden = Golden::open(&format!("{file}.safetensors"));
        let sequences = Packed::from_typed(&typed_of(file)).unwrap();
        let score = |model: &Model| numbers(&model.score(&sequences, Mode::Eval(Precision::Bf16)).unwrap());
        let expected = score(&golden.ranker());
        let backbone = read_config(&golden.config).unwrap();
        let stored = Model::load_to_round(backbone, Head::Score, &[&golden.checkpoint]).unwrap();
        let packed = stored.rounded(Precision::Bf16).unwrap();
        // Nothing is read any more.
        std::fs::write(&golden.checkpoint, []).unwrap();
        assert_eq!(score(&packed), expected, "{file}");
    }
}

#[test]
fn int8_scores_are_near_and_the_same_alone_and_from_kept_weights() {
    for file in ["llama_score"].into_iter().chain(DECODERS).chain(ENCODERS) {
        let golden = Golden::open(&format!("{file}.safetensors"));
        let model = golden.ranker();
        let sequences = typed_of(file);
        let score = |model: &Model, sequences: &[_], precision| {
            numbers(&model.score(&Packed::from_typed(sequences).unwrap(), Mode::Eval(precision)).unwrap())
        };
        let (exact, rounded) = (score(&model, &sequences, Precision::F32), score(&model, &sequences, Precision::Int8));
        let near = |(a, b): (&f32, &f32)| (a - b).abs() < 0.1 * a.abs().max(1.0);
        assert!(exact.iter().zip(&rounded).all(near), "{file}: {exact:?} {rounded:?}");
        assert_ne!(exact, rounded, "{file}");
        let backbone = read_config(&golden.config).unwrap();
        let stored = Model::load_to_round(backbone, Head::Score, &[&golden.checkpoint]).unwrap();
        assert_eq!(stored.params().count(), model.params().count(), "{file}");
        assert_eq!(stored.params().to_bytes().unwrap(), model.params().to_bytes().unwrap(), "{file}");
        let read_at_once = stored.rounded(Precision::Int8).unwrap();
        // Nothing is read any more.
        std::fs::write(&golden.checkpoint, []).unwrap();
        for kept in [model.for_scoring(), read_at_once] {
            let together = kept.score(&Packed::from_typed(&sequences).unwrap(), Mode::Eval(Precision::Int8)).unwrap();
            assert!(!together.track_op(), "{file}: a graph");
            for (sequence, &score_in_batch) in sequences.iter().zip(&rounded) {
                assert_eq!(score(&kept, std::slice::from_ref(sequence), Precision::Int8), [score_in_batch], "{file}");
            }
        }
    }
}

#[test]
fn two_runs_give_the_same_bytes() {
    let config = Bert { hidden_size: 48, num_attention_heads: 3, num_hidden_layers: 2, ..small_bert() };
    let run = || {
        let model = bert(config.clone());
        let scores = model.score(&Packed::from_typed(&typed()).unwrap(), TRAIN).unwrap();
        let grads = scores.sum_all().unwrap().backward().unwrap();
        let grads: Vec<Vec<f32>> = model.params().iter().map(|(_, var)| flat(grads.get(var).unwrap())).collect();
        (model.params().to_bytes().unwrap(), numbers(&scores), grads)
    };
    assert!(run() == run());
}

fn bert(config: Bert) -> Model {
    Model::new(Arc::new(config), Head::Score, 7).unwrap()
}

fn small_bert() -> Bert {
    Bert { vocab_size: 97, intermediate_size: 40, max_position_embeddings: 32, ..Bert::default() }
}

#[test]
fn dropout_is_for_training_alone() {
    let config = Bert { hidden_size: 48, num_attention_heads: 3, num_hidden_layers: 1, ..small_bert() };
    let model = bert(config);
    let packed = Packed::from_typed(&typed()).unwrap();
    let score = |mode| numbers(&model.score(&packed, mode).unwrap());
    let train = |dropout_seed| score(Mode::Train { dropout_seed, tape: None, precision: Precision::F32 });
    assert_eq!(score(Mode::Eval(Precision::F32)), score(Mode::Eval(Precision::F32)));
    assert_eq!(train(1), train(1));
    assert_ne!(train(1), train(2));
    assert_ne!(train(1), score(Mode::Eval(Precision::F32)));
    let untracked = model.score(&packed, Mode::Eval(Precision::F32)).unwrap();
    assert!(!untracked.track_op(), "scoring keeps no graph");
}

#[test]
fn a_language_model_becomes_a_ranker() {
    let golden = Golden::open("llama_lm.safetensors");
    let language = golden.model(Head::LanguageModel).unwrap();
    let packed = Packed::from_sequences(&sequences()).unwrap();
    assert_eq!(
        language.score(&packed, Mode::Eval(Precision::F32)).unwrap_err().to_string(),
        "the model has a LanguageModel head, but a Score head is needed"
    );

    let ranker = golden.new_ranker();
    for (name, var) in language.params().iter().filter(|(name, _)| *name != "lm_head.weight") {
        let kept = ranker.params().get(name).unwrap();
        assert_eq!(numbers(&kept.flatten_all().unwrap()), numbers(&var.flatten_all().unwrap()), "{name}");
    }
    assert!(ranker.params().get("lm_head.weight").is_err());
    assert_eq!(ranker.score(&packed, Mode::Eval(Precision::F32)).unwrap().dims(), [5]);

    let error = golden.model(Head::Score).unwrap_err().to_string();
    assert!(error.contains("weight `score.weight` [1, "), "{error}");
}

#[test]
fn an_encoder_with_another_head_becomes_a_ranker() {
    let golden = Golden::open("bert.safetensors");
    let mut weights = candle_core::safetensors::load(&golden.checkpoint, &Device::Cpu).unwrap();
    weights.retain(|name, _| !name.starts_with("classifier.") && !name.starts_with("bert.pooler."));
    weights.insert("cls.predictions.bias".into(), Tensor::zeros(97, DType::F32, &Device::Cpu).unwrap());
    candle_core::safetensors::save(&weights, &golden.checkpoint).unwrap();

    let ranker = golden.new_ranker();
    assert_eq!(ranker.params().get("classifier.weight").unwrap().dims(), [1, 48]);
    assert!(ranker.params().get("cls.predictions.bias").is_err());
    let error = golden.model(Head::Score).unwrap_err().to_string();
    assert!(error.contains("weight `cls.predictions.bias`"), "{error}");
}

/// What `golden/training.py` trains on: the distillation's loss for an encoder, the rank loss for a decoder.
fn training_loss(ranker: &Model, batch: &Packed) -> Tensor {
    let scores = ranker.score(batch, TRAIN).unwrap();
    let loss = match ranker.backbone().kind() {
        Kind::Encoder => score_loss(&scores, hybrid),
        Kind::Decoder => score_loss(&scores, hinge),
    };
    loss.unwrap()
}

#[track_caller]
fn near(what: &str, found: f64, expected: f32) {
    let expected = f64::from(expected);
    assert!((found - expected).abs() <= 1e-4 * expected.abs(), "{what}: {found}, PyTorch {expected}");
}

#[test]
fn ten_steps_of_every_architecture_equal_pytorch() {
    let trained = candle_core::safetensors::load("tests/golden/training.safetensors", &Device::Cpu).unwrap();
    let adamw = AdamWConfig { weight_decay: 0.1, max_grad_norm: Some(6.0), epsilon: 1e-5, ..AdamWConfig::default() };
    for name in ENCODERS.into_iter().chain(["llama_score"]).chain(DECODERS) {
        let golden = Golden::open(&format!("{name}.safetensors"));
        let ranker = golden.ranker();
        let mut optimizer = AdamW::new(adamw, ranker.params());
        let values = |key: &str| flat(&trained[&format!("{name}.{key}")]);
        let (losses, norms) = (values("losses"), values("norms"));
        assert_eq!(losses.len(), 10);
        for (step, (expected_loss, expected_norm)) in losses.into_iter().zip(norms).enumerate() {
            let mut batch = typed_of(name);
            let first = step % batch.len();
            batch.rotate_left(first);
            let loss = training_loss(&ranker, &Packed::from_typed(&batch).unwrap());
            near(&format!("{name}: loss of step {step}"), loss.to_scalar::<f32>().unwrap().into(), expected_loss);
            let stats = optimizer.step(ranker.params(), &loss.backward().unwrap(), 1e-3, &|_| 1.0).unwrap();
            near(&format!("{name}: gradient norm of step {step}"), stats.grad_norm, expected_norm);
        }
        // The softmax ignores the biases of an encoder's keys: their gradients are rounding errors, whose signs Adam follows.
        // Where distances ask for tokens, they ask for these biases too.
        let alone = ["deberta_c2p", "deberta_plain"].contains(&name).then_some(".key_proj.bias");
        let keys = ["key.bias", "k_lin.bias", "pos_key_proj.bias"].into_iter().chain(alone);
        let is_key = |name: &str| keys.clone().any(|key| name.ends_with(key));
        for (weight, var) in ranker.params().iter().filter(|(name, _)| !is_key(name)) {
            let moved = values(&format!("moved.{weight}"))[0];
            compare_weight(
                &format!("{name}: {weight}"),
                var,
                golden.values(weight),
                moved,
                values(&format!("sample.{weight}")),
            );
        }
    }
}

/// How far a trained weight has come from where it was, and its values at equal distances.
fn compare_weight(what: &str, weight: &Tensor, before: Vec<f32>, moved: f32, sample: Vec<f32>) {
    let after = flat(weight);
    let squares = after.iter().zip(before).map(|(after, before)| f64::from(after - before).powi(2));
    near(&format!("distance of {what}"), squares.sum::<f64>().sqrt(), moved);
    let values = after.iter().step_by(after.len().div_ceil(12));
    assert_eq!(values.len(), sample.len(), "{what}");
    for (found, expected) in values.zip(sample) {
        let error = (found - expected).abs();
        assert!(error <= 1e-4 * expected.abs() + 1e-7, "{what}: {found}, PyTorch {expected}");
    }
}

/// A checkpoint's weights under other names.
fn renamed(golden: &Golden, name: impl Fn(&str) -> String, others: &[&str]) -> Model {
    let weights = candle_core::safetensors::load(&golden.checkpoint, &Device::Cpu).unwrap();
    let mut weights: HashMap<String, Tensor> = weights.into_iter().map(|(n, tensor)| (name(&n), tensor)).collect();
    let buffer = Tensor::zeros((1, 32), DType::I64, &Device::Cpu).unwrap();
    weights.extend(others.iter().map(|&name| (name.to_owned(), buffer.clone())));
    candle_core::safetensors::save(&weights, &golden.checkpoint).unwrap();
    golden.new_ranker()
}

#[test]
fn bare_and_old_names_are_read() {
    let golden = Golden::open("bert.safetensors");
    let old = |name: &str| {
        let name = name.trim_start_matches("bert.").to_owned();
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
    };
    let model = renamed(&golden, old, &["embeddings.position_ids"]);
    let scores = model.score(&Packed::from_typed(&typed()).unwrap(), Mode::Eval(Precision::F32)).unwrap();
    close("BERT", &numbers(&scores), &golden.values("logits"));

    for (file, prefix, others) in [
        ("roberta", "roberta.", &["embeddings.position_ids", "pooler.dense.weight", "lm_head.bias"][..]),
        ("distilbert", "distilbert.", &["vocab_projector.bias", "vocab_layer_norm.weight"]),
        ("electra", "electra.", &["embeddings.position_ids", "discriminator_predictions.dense.weight"]),
        ("modernbert", "model.", &["decoder.bias"]),
        ("deberta", "deberta.", &["lm_predictions.lm_head.bias", "embeddings.position_embeddings.weight"]),
    ] {
        let golden = Golden::open(&format!("{file}.safetensors"));
        let model = renamed(&golden, |name| name.trim_start_matches(prefix).to_owned(), others);
        let packed = Packed::from_typed(&typed_of(file)).unwrap();
        let scores = model.score(&packed, Mode::Eval(Precision::F32)).unwrap();
        close(file, &numbers(&scores), &golden.values("logits"));
    }

    let golden = Golden::open("qwen3.safetensors");
    let bare = |name: &str| name.trim_start_matches("model.").to_owned();
    let model = renamed(&golden, bare, &["layers.0.self_attn.rotary_emb.inv_freq"]);
    let scores = model.score(&Packed::from_sequences(&sequences()).unwrap(), Mode::Eval(Precision::F32)).unwrap();
    close("Qwen3", &numbers(&scores), &golden.values("logits"));
}

#[test]
fn half_precision_is_widened() {
    for dtype in [DType::F16, DType::BF16] {
        let golden = Golden::open("mistral.safetensors");
        let weights = candle_core::safetensors::load(&golden.checkpoint, &Device::Cpu).unwrap();
        let half = weights.iter().map(|(name, tensor)| (name.clone(), tensor.to_dtype(dtype).unwrap()));
        candle_core::safetensors::save(&half.collect(), &golden.checkpoint).unwrap();
        let model = golden.ranker();
        for (name, var) in model.params().iter() {
            let rounded = weights[name].to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
            assert_eq!(flat(var), flat(&rounded), "{name}");
        }
    }
}

#[test]
fn sequences_a_model_cannot_take_are_refused() {
    let model = bert(Bert { hidden_size: 48, num_attention_heads: 3, ..small_bert() });
    let message = |ids: Vec<u32>| {
        let packed = Packed::from_sequences(&[ids]).unwrap();
        model.score(&packed, Mode::Eval(Precision::F32)).unwrap_err().to_string()
    };
    assert_eq!(message(vec![1; 33]), "batch: a sequence has 33 tokens, the model takes 32");
    assert_eq!(message(vec![97]), "batch: token id 97 is outside the vocabulary of 97");

    // 32 positions, of which the first is behind padding token 4.
    let roberta = Golden::open("roberta.safetensors").ranker();
    let score =
        |length| roberta.score(&Packed::from_sequences(&[vec![1; length]]).unwrap(), Mode::Eval(Precision::F32));
    assert!(score(27).is_ok());
    assert_eq!(score(28).unwrap_err().to_string(), "batch: a sequence has 28 tokens, the model takes 27");
}
