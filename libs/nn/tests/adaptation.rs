//! Training with less memory: layers computed again, and updates of low rank beside frozen weights.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::Tensor;
use nn::models::{
    Backbone, Bert, ClassifierPooling, DebertaV2, DistilBert, Electra, Head, LayerType, Llama, Model, ModernBert,
    PositionTerm, RelativeNorm, Roberta,
};
use nn::ops::Precision;
use nn::text::{Packed, Sequence};
use nn::train::{AdamW, AdamWConfig, Passes, prediction_gradients, score_gradients};
use nn::weights::{LoraConfig, Mode, Params};
use ranking::loss::{Logistic, Loss, LossError};

const GRADES: [f32; 5] = [2.0, 0.0, 1.0, 0.0, 1.0];
const LISTS: [usize; 3] = [0, 3, 5];

fn sequences() -> Vec<Sequence> {
    let ids = [&[5, 61, 13, 0, 44, 2][..], &[7, 7, 1], &[30, 31, 8, 60, 2, 17, 55, 41], &[64], &[12, 50, 33, 21]];
    ids.iter()
        .map(|ids| Sequence { ids: ids.to_vec(), type_ids: vec![0; ids.len()], query: 0..0, document: 0..0 })
        .collect()
}

fn ranker(config: impl Backbone + 'static) -> Model {
    Model::new(Arc::new(config), Head::Score, 3).unwrap()
}

fn bert() -> Model {
    let config = Bert {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        ..Bert::default()
    };
    ranker(config)
}

fn roberta() -> Model {
    let config = Roberta {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        ..Roberta::default()
    };
    ranker(config)
}

fn distilbert() -> Model {
    let config = DistilBert {
        vocab_size: 67,
        dim: 24,
        hidden_dim: 40,
        n_layers: 3,
        n_heads: 3,
        max_position_embeddings: 16,
        ..DistilBert::default()
    };
    ranker(config)
}

fn electra() -> Model {
    let config = Electra {
        vocab_size: 67,
        embedding_size: 14,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        ..Electra::default()
    };
    ranker(config)
}

fn modernbert() -> Model {
    let config = ModernBert {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        layer_types: vec![LayerType::Sliding, LayerType::Full, LayerType::Sliding],
        local_attention: 4,
        classifier_pooling: ClassifierPooling::Mean,
        norm_bias: true,
        embedding_dropout: 0.1,
        attention_dropout: 0.1,
        mlp_dropout: 0.1,
        classifier_dropout: 0.1,
        ..ModernBert::default()
    };
    ranker(config)
}

fn deberta() -> Model {
    let config = DebertaV2 {
        vocab_size: 67,
        embedding_size: Some(14),
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        relative_attention: true,
        pos_att_type: vec![PositionTerm::C2p, PositionTerm::P2c],
        position_buckets: 4,
        max_relative_positions: 8,
        norm_rel_ebd: RelativeNorm::LayerNorm,
        pooler_dropout: 0.1,
        ..DebertaV2::default()
    };
    ranker(config)
}

fn encoders() -> Vec<Model> {
    vec![bert(), roberta(), distilbert(), electra(), modernbert(), deberta()]
}

fn llama_config() -> Llama {
    Llama {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        max_position_embeddings: 16,
        attention_dropout: 0.1,
        ..Llama::default()
    }
}

fn llama() -> Model {
    ranker(llama_config())
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 3, alpha: 6.0, dropout: 0.2, targets: vec!["all-linear".to_owned()] }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The loss and the gradient of every weight that has one.
fn gradients(ranker: &Model, checkpoint_layers: bool) -> (f64, BTreeMap<String, Vec<f32>>) {
    let passes = Passes { dropout_seed: 5, checkpoint_layers, precision: Precision::F32 };
    let loss = |scores: &[f32]| Ok::<_, LossError>(Loss::Logistic(Logistic {}).compute(scores, &GRADES, &LISTS)?.total);
    let (_, found) = score_gradients(ranker, &sequences(), passes, loss).unwrap();
    let grads = ranker.params().iter().filter_map(|(name, var)| Some((name.to_owned(), flat(found.grads.get(var)?))));
    (found.loss, grads.collect())
}

fn assert_close(found: &BTreeMap<String, Vec<f32>>, expected: &BTreeMap<String, Vec<f32>>) {
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (name, values) in found {
        let largest = expected[name].iter().fold(0f32, |most, value| most.max(value.abs()));
        for (found, expected) in values.iter().zip(&expected[name]) {
            assert!((found - expected).abs() <= 1e-6 * largest.max(1e-3), "{name}: {found} {expected}");
        }
    }
}

#[test]
fn layers_computed_again_give_the_same_gradients() {
    for ranker in encoders().into_iter().chain([llama()]) {
        for ranker in [ranker.with_lora(&lora(), 1).unwrap(), ranker] {
            let (kept, again) = (gradients(&ranker, false), gradients(&ranker, true));
            assert_eq!(kept.0, again.0, "dropout drops the same values");
            assert_close(&again.1, &kept.1);
            assert_eq!(again.1.len(), ranker.params().trained().len());
        }
    }
}

#[test]
fn a_language_model_computes_its_layers_again() {
    let config = Llama { tie_word_embeddings: true, ..llama_config() };
    let model = Model::new(Arc::new(config), Head::LanguageModel, 3).unwrap();
    let gradients = |checkpoint_layers| {
        let (lengths, predictions): (Vec<usize>, Vec<usize>) =
            sequences().iter().map(|sequence| (sequence.ids.len(), sequence.ids.len() - 1)).unzip();
        let passes = Passes { dropout_seed: 5, checkpoint_layers, precision: Precision::F32 };
        let loss = |range: std::ops::Range<usize>, mode: Mode<'_>| {
            let starts = vec![1; range.len()];
            model.next_token_loss(&Packed::of(&sequences()[range])?, &starts, mode)
        };
        let found = prediction_gradients(model.params(), &lengths, &predictions, passes, loss).unwrap();
        model.params().iter().map(|(name, var)| (name.to_owned(), flat(found.grads.get(var).unwrap()))).collect()
    };
    assert_close(&gradients(true), &gradients(false));
}

#[test]
fn masked_words_train_the_body_of_every_encoder() {
    let packed = Packed::of(&sequences()).unwrap();
    let mode = Mode::Train { dropout_seed: 5, tape: None, precision: Precision::F32 };
    for model in encoders() {
        let loss = model.masked_token_loss(&packed, &[1, 3, 8, 17], &[30, 2, 7, 61], mode).unwrap();
        let grads = loss.backward().unwrap();
        let body = model.body_params();
        assert!(body.len() < model.params().len(), "the head is no part of it");
        for (name, var) in body.iter() {
            let grad = flat(grads.get(var).unwrap_or_else(|| panic!("no gradient of {name}")));
            assert!(grad.iter().all(|g| g.is_finite()) && grad.iter().any(|&g| g != 0.0), "{name}");
        }
    }
    let error = llama().masked_token_loss(&packed, &[1], &[30], mode).unwrap_err().to_string();
    assert_eq!(error, "training: masked words are predicted by encoders, found the architecture Llama");
}

#[test]
fn masked_words_of_narrow_embeddings_are_predicted_by_the_way_back() {
    let packed = Packed::of(&sequences()).unwrap();
    let mode = Mode::Eval(Precision::F32);
    for (model, words, projection) in [
        (electra(), "electra.embeddings.word_embeddings.weight", "electra.embeddings_project.weight"),
        (deberta(), "deberta.embeddings.word_embeddings.weight", "deberta.embeddings.embed_proj.weight"),
    ] {
        let (rows, targets) = ([1, 3, 8], [30, 2, 7]);
        let loss = model.masked_token_loss(&packed, &rows, &targets, mode).unwrap().to_scalar::<f32>().unwrap();
        let weight = |name: &str| model.params().get(name).unwrap().as_detached_tensor();
        let hidden = model.hidden(&packed, Some(&rows), mode).unwrap();
        let narrow = hidden.matmul(&weight(projection)).unwrap();
        let logits = narrow.matmul(&weight(words).t().unwrap()).unwrap();
        let targets = Tensor::new(&targets, &candle_core::Device::Cpu).unwrap();
        let expected = candle_nn::loss::cross_entropy(&logits, &targets).unwrap().to_scalar::<f32>().unwrap();
        assert!((loss - expected).abs() < 1e-5, "{loss} {expected}");
    }
}

#[test]
fn shallower_encoders_keep_the_weights_of_their_layers() {
    let packed = Packed::of(&sequences()).unwrap();
    let scores = |model: &Model| flat(&model.score(&packed, Mode::Eval(Precision::F32)).unwrap());
    for model in encoders() {
        let kept = |keep: &[usize]| model.keeping(keep).unwrap().unwrap();
        assert_eq!(scores(&kept(&[0, 1, 2])), scores(&model));
        assert_ne!(scores(&kept(&[0, 2])), scores(&model));
        let (layers, fresh) = (kept(&[0, 2]), model.backbone().with_layers(&[0, 2]).unwrap().unwrap());
        let fresh = Model::new(fresh, Head::Score, 3).unwrap();
        let names = |model: &Model| model.params().iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&layers), names(&fresh));
    }
}

/// The values of all weights but the updates of low rank.
#[test]
fn each_layer_has_a_share_of_the_rate_of_the_layer_above() {
    for ranker in encoders().into_iter().chain([llama(), llama().with_lora(&lora(), 1).unwrap()]) {
        let name = ranker.backbone().name();
        let (prefix, layers) = ranker.backbone().layers();
        let mut of_embeddings = 0;
        for (weight, _) in ranker.params().iter() {
            let share = ranker.rate_share(weight, 0.5);
            let layer = (0..layers).find(|layer| weight.starts_with(&format!("{prefix}{layer}.")));
            let expected = match layer {
                Some(layer) => 0.5f64.powi((layers - layer) as i32),
                None if weight.contains("word_embeddings") || weight.contains("tok") => 0.5f64.powi(layers as i32 + 1),
                None if weight.starts_with("classifier") || weight.starts_with("score") => 1.0,
                None => share,
            };
            assert_eq!(share, expected, "{name}: {weight}");
            of_embeddings += usize::from(share == 0.5f64.powi(layers as i32 + 1));
            assert_eq!(ranker.rate_share(weight, 1.0), 1.0);
        }
        assert!(of_embeddings > 0, "{name}");
    }
}

fn body(params: &Params) -> BTreeMap<String, Vec<f32>> {
    let body = params.iter().filter(|(name, _)| !name.contains("lora_"));
    body.map(|(name, var)| (name.to_owned(), flat(var))).collect()
}

#[test]
fn a_frozen_model_learns_by_its_updates_alone() {
    for ranker in encoders().into_iter().chain([llama()]) {
        let adapted = ranker.with_lora(&lora(), 1).unwrap();
        let packed = Packed::of(&sequences()).unwrap();
        let scores = |ranker: &Model| flat(&ranker.score(&packed, Mode::Eval(Precision::F32)).unwrap());
        assert_eq!(scores(&adapted), scores(&ranker), "updates start as nothing");

        let trained = adapted.params().trained();
        let before = body(ranker.params());
        let mut optimizer = AdamW::new(AdamWConfig::default(), &trained);
        let mut losses = Vec::new();
        for _ in 0..20 {
            let passes = Passes { dropout_seed: 5, checkpoint_layers: false, precision: Precision::F32 };
            let loss = |scores: &[f32]| {
                Ok::<_, LossError>(Loss::Logistic(Logistic {}).compute(scores, &GRADES, &LISTS)?.total)
            };
            let (_, found) = score_gradients(&adapted, &sequences(), passes, loss).unwrap();
            optimizer.step(&trained, &found.grads, 0.01, &|_| 1.0).unwrap();
            losses.push(found.loss);
        }
        assert!(losses[19] < 0.5 * losses[0], "{losses:?}");
        for (name, values) in body(adapted.params()) {
            let is_head = trained.get(&name).is_ok();
            assert_eq!(values != before[&name], is_head, "{name}");
        }

        let merged = adapted.merged().unwrap();
        assert_eq!(merged.params().trained().len(), ranker.params().len());
        for (merged, adapted) in scores(&merged).into_iter().zip(scores(&adapted)) {
            assert!((merged - adapted).abs() < 1e-5, "{merged} {adapted}");
        }
    }
}

fn small() -> Model {
    let config = Bert {
        vocab_size: 30,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        max_position_embeddings: 16,
        ..Bert::default()
    };
    ranker(config)
}

fn of_targets(targets: &[&str]) -> LoraConfig {
    let targets = targets.iter().map(|&target| target.to_owned()).collect();
    LoraConfig { rank: 2, alpha: 4.0, dropout: 0.0, targets }
}

#[test]
fn targets_are_ends_of_names() {
    let trained = |targets: &[&str]| {
        let adapted = small().with_lora(&of_targets(targets), 1).unwrap();
        let trained = adapted.params().trained();
        trained
            .iter()
            .filter(|(name, _)| name.ends_with(".lora_A.weight"))
            .map(|(name, _)| name.to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        trained(&["query"]),
        [0, 1].map(|layer| format!("bert.encoder.layer.{layer}.attention.self.query.lora_A.weight"))
    );
    assert_eq!(trained(&["layer.1.output.dense"]), ["bert.encoder.layer.1.output.dense.lora_A.weight"]);
    assert_eq!(trained(&["dense"]).len(), 6);
    assert_eq!(trained(&["all-linear"]).len(), 12);
}

#[test]
fn only_updates_and_head_are_trained() {
    let adapted = small().with_lora(&of_targets(&["value"]), 1).unwrap();
    let trained = adapted.params().trained();
    let names: Vec<_> = trained.iter().map(|(name, _)| name.rsplit("layer.").next().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        [
            "0.attention.self.value.lora_A.weight",
            "0.attention.self.value.lora_B.weight",
            "1.attention.self.value.lora_A.weight",
            "1.attention.self.value.lora_B.weight",
            "bert.pooler.dense.bias",
            "bert.pooler.dense.weight",
            "classifier.bias",
            "classifier.weight"
        ]
    );
}

#[test]
fn what_is_out_of_range_is_named() {
    let refusal = |config: LoraConfig| small().with_lora(&config, 1).unwrap_err().to_string();
    assert_eq!(
        refusal(of_targets(&["q_proj"])),
        "lora.targets = q_proj: expected all-linear, or linear layers of the model: dense, key, query, value"
    );
    assert_eq!(refusal(LoraConfig { rank: 0, ..of_targets(&["key"]) }), "lora.rank = 0: expected at least 1");
    assert_eq!(
        refusal(LoraConfig { alpha: 0.0, ..of_targets(&["key"]) }),
        "lora.alpha = 0: expected a positive number"
    );
    let dropout = LoraConfig { dropout: 1.0, ..of_targets(&["key"]) };
    assert_eq!(refusal(dropout), "lora.dropout = 1: expected a number from 0 to below 1");
    assert_eq!(refusal(of_targets(&[])), "lora.targets = []: expected at least one linear layer");
}
