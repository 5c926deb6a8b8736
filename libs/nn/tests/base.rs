//! Base models: how they are to score, and shallower ones made of chosen layers.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use nn::folder::{Base, InputChoice, save_language_model};
use nn::models::{Backbone, Bert, Head, Llama, Model};
use nn::ops::Precision;
use nn::text::{Kind, Packed, Template, Tokenizer};
use nn::weights::{Mode, Params};

fn config(layers: usize) -> Bert {
    Bert {
        vocab_size: 30,
        hidden_size: 8,
        intermediate_size: 12,
        num_hidden_layers: layers,
        num_attention_heads: 2,
        max_position_embeddings: 16,
        ..Bert::default()
    }
}

fn bert(layers: usize) -> Model {
    Model::new(Arc::new(config(layers)), Head::Score, 5).unwrap()
}

fn keeping(model: &Model, keep: &[usize]) -> Model {
    model.keeping(keep).unwrap().unwrap()
}

fn values(params: &Params, name: &str) -> Vec<f32> {
    params.get(name).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn kept_layers_have_the_weights_of_the_base() {
    let deep = bert(5);
    let kept = keeping(&deep, &[0, 2, 4]);
    assert_eq!(kept.config_json().unwrap(), config(3).config_json(Head::Score).unwrap());
    let names = |model: &Model| model.params().iter().map(|(name, _)| name.to_owned()).collect::<Vec<_>>();
    assert_eq!(names(&kept), names(&bert(3)));
    for (new, old) in [0, 2, 4].into_iter().enumerate() {
        for weight in ["attention.self.query.weight", "output.dense.weight"] {
            let name = |layer: usize| format!("bert.encoder.layer.{layer}.{weight}");
            assert_eq!(values(kept.params(), &name(new)), values(deep.params(), &name(old)));
        }
    }
    for name in ["bert.embeddings.word_embeddings.weight", "bert.pooler.dense.weight", "classifier.weight"] {
        assert_eq!(values(kept.params(), name), values(deep.params(), name));
    }
}

#[test]
fn keeping_every_layer_changes_no_score_and_dropping_one_does() {
    let deep = bert(3);
    let packed = Packed::from_sequences(&[vec![1, 2, 3, 4], vec![5, 6]]).unwrap();
    let scores = |model: &Model| model.score(&packed, Mode::Eval(Precision::F32)).unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(scores(&keeping(&deep, &[0, 1, 2])), scores(&deep));
    assert_ne!(scores(&keeping(&deep, &[0, 2])), scores(&deep));
}

#[test]
fn layers_that_are_not_there_are_refused() {
    for keep in [&[][..], &[3], &[1, 0], &[1, 1]] {
        assert_eq!(
            bert(3).keeping(keep).unwrap_err().to_string(),
            format!("keep_layers = {keep:?}: expected layers below 3 of the base model, in increasing order")
        );
    }
}

#[test]
fn a_decoder_ends_its_sequences_as_it_was_pre_trained() {
    let tokenizer = Tokenizer::train_byte_level_bpe(["query: red document: shoes"].iter(), 270).unwrap();
    let base = |eos_token_id| {
        let config = Llama {
            vocab_size: 270,
            hidden_size: 16,
            intermediate_size: 24,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            max_position_embeddings: 40,
            eos_token_id,
            ..Llama::default()
        };
        let folder = tempfile::tempdir().unwrap();
        let model = Model::new(Arc::new(config), Head::LanguageModel, 3).unwrap();
        save_language_model(folder.path(), &model, &tokenizer, "").unwrap();
        Base::open(folder.path()).unwrap()
    };
    let (first, last) = (tokenizer.id("<s>").unwrap(), tokenizer.id("</s>").unwrap());
    for (ids, expected) in [
        (Some(first.into()), "<s>"),
        (Some(serde_json::json!([first, last])), "<s>"),
        (Some(last.into()), "</s>"),
        (None, "</s>"),
    ] {
        let (_, scoring) = base(ids).for_training(&InputChoice::default()).unwrap();
        assert_eq!(scoring.template, Template::of_decoder(expected));
    }
    let error = base(Some(999.into())).for_training(&InputChoice::default()).unwrap_err().to_string();
    assert_eq!(
        error,
        format!("eos_token_id = 999: expected an id of its tokenizer.json, which has {}", tokenizer.vocabulary_size())
    );
    let longer = InputChoice { max_length: Some(64), ..InputChoice::default() };
    let error = base(None).for_training(&longer).unwrap_err().to_string();
    assert!(error.contains("the model has 40 positions"), "{error}");
    assert_eq!(base(None).backbone.kind(), Kind::Decoder);
    let decoder = Model::new(base(None).backbone, Head::Score, 1).unwrap();
    assert!(decoder.keeping(&[0]).unwrap().is_none(), "decoders keep all their layers");
}
