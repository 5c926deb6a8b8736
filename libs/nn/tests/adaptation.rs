//! Training with less memory: layers computed again, and updates of low rank beside frozen weights.

// A failed unwrap is a failed test, which is what a test wants.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use candle_core::Tensor;
use nn::bert::Bert;
use nn::config::{BertConfig, Head, LlamaConfig};
use nn::llama::Llama;
use nn::lora::LoraConfig;
use nn::model::{Mode, Ranker};
use nn::optimizer::{AdamW, AdamWConfig};
use nn::packed::Packed;
use nn::params::Params;
use nn::precision::Precision;
use nn::shards::{Passes, prediction_gradients, score_gradients};
use nn::text::Sequence;
use ranking::loss::pairwise_logistic;

const GRADES: [f32; 5] = [2.0, 0.0, 1.0, 0.0, 1.0];
const LISTS: [usize; 3] = [0, 3, 5];

fn sequences() -> Vec<Sequence> {
    let ids = [&[5, 61, 13, 0, 44, 2][..], &[7, 7, 1], &[30, 31, 8, 60, 2, 17, 55, 41], &[64], &[12, 50, 33, 21]];
    ids.iter().map(|ids| Sequence { ids: ids.to_vec(), type_ids: vec![0; ids.len()], document: 0..0 }).collect()
}

fn bert() -> Ranker {
    let config = BertConfig {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 3,
        max_position_embeddings: 16,
        ..BertConfig::default()
    };
    Ranker::Bert(Bert::new(config, 3).unwrap())
}

fn llama_config() -> LlamaConfig {
    LlamaConfig {
        vocab_size: 67,
        hidden_size: 24,
        intermediate_size: 40,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: Some(2),
        max_position_embeddings: 16,
        attention_dropout: 0.1,
        ..LlamaConfig::default()
    }
}

fn llama() -> Ranker {
    Ranker::Llama(Llama::new(llama_config(), Head::Score, 3).unwrap())
}

fn lora() -> LoraConfig {
    LoraConfig { rank: 3, alpha: 6.0, dropout: 0.2, targets: vec!["all-linear".to_owned()] }
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The loss and the gradient of every weight that has one.
fn gradients(ranker: &Ranker, checkpoint_layers: bool) -> (f64, BTreeMap<String, Vec<f32>>) {
    let passes = Passes { dropout_seed: 5, checkpoint_layers, precision: Precision::F32 };
    let loss = |scores: &[f32]| pairwise_logistic(scores, &GRADES, &LISTS);
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
    for ranker in [bert(), llama()] {
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
    let config = LlamaConfig { tie_word_embeddings: true, ..llama_config() };
    let model = Llama::new(config, Head::LanguageModel, 3).unwrap();
    let gradients = |checkpoint_layers| {
        let (lengths, predictions): (Vec<usize>, Vec<usize>) =
            sequences().iter().map(|sequence| (sequence.ids.len(), sequence.ids.len() - 1)).unzip();
        let passes = Passes { dropout_seed: 5, checkpoint_layers, precision: Precision::F32 };
        let loss = |range: std::ops::Range<usize>, mode: Mode<'_>| {
            let starts = vec![1; range.len()];
            model.lm_loss(&Packed::of(&sequences()[range])?, &starts, mode)
        };
        let found = prediction_gradients(model.params(), &lengths, &predictions, passes, loss).unwrap();
        model.params().iter().map(|(name, var)| (name.to_owned(), flat(found.grads.get(var).unwrap()))).collect()
    };
    assert_close(&gradients(true), &gradients(false));
}

/// The values of all weights but the updates of low rank.
fn body(params: &Params) -> BTreeMap<String, Vec<f32>> {
    let body = params.iter().filter(|(name, _)| !name.contains("lora_"));
    body.map(|(name, var)| (name.to_owned(), flat(var))).collect()
}

#[test]
fn a_frozen_model_learns_by_its_updates_alone() {
    for ranker in [bert(), llama()] {
        let adapted = ranker.with_lora(&lora(), 1).unwrap();
        let packed = Packed::of(&sequences()).unwrap();
        let scores = |ranker: &Ranker| flat(&ranker.score(&packed, Mode::Eval(Precision::F32)).unwrap());
        assert_eq!(scores(&adapted), scores(&ranker), "updates start as nothing");

        let trained = adapted.params().trained();
        let before = body(ranker.params());
        let mut optimizer = AdamW::new(AdamWConfig::default(), &trained);
        let mut losses = Vec::new();
        for _ in 0..20 {
            let passes = Passes { dropout_seed: 5, checkpoint_layers: false, precision: Precision::F32 };
            let loss = |scores: &[f32]| pairwise_logistic(scores, &GRADES, &LISTS);
            let (_, found) = score_gradients(&adapted, &sequences(), passes, loss).unwrap();
            optimizer.step(&trained, &found.grads, 0.01).unwrap();
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
