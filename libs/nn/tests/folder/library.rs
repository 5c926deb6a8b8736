//! Rankers as transformers and sentence-transformers keep them: how their texts are read, and where their score is.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use nn::folder::{self, Base, InputChoice, Settings, Truncation};
use nn::models::{Head, Model};
use nn::text::{Kind, Scoring, Template, Tokenizer, Window};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{bert, byte_level, llama, load, saved_student, scores, word_piece};

fn settings(kind: Kind) -> Settings {
    Settings { standardisation: None, ..super::settings(kind) }
}

/// A ranker's folder without `disranker.json`, as another library would leave it.
fn foreign(ranker: &Model, tokenizer: &Tokenizer, settings: &Settings) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    folder::save_ranker(folder.path(), ranker, tokenizer, settings, "").unwrap();
    std::fs::remove_file(folder.path().join("disranker.json")).unwrap();
    folder
}

/// Sets fields of a JSON file.
fn edit(path: &Path, fields: &[(&str, Value)]) {
    let text = std::fs::read_to_string(path).unwrap_or_else(|_| "{}".to_owned());
    let mut json: Value = serde_json::from_str(&text).unwrap();
    for (name, value) in fields {
        json[*name] = value.clone();
    }
    std::fs::write(path, json.to_string()).unwrap();
}

#[test]
fn an_encoder_of_another_library_reads_the_window_that_its_folder_says() {
    let settings = settings(Kind::Encoder);
    let folder = foreign(&bert(60), &word_piece(), &settings);
    let window = |choice: &InputChoice| {
        let saved = folder::load_ranker(folder.path(), choice).unwrap();
        assert!(saved.is_foreign);
        assert_eq!(saved.settings.scoring.template, Template::pair());
        saved.settings.scoring.window
    };
    // The budgets' longest sequence is what the export says.
    assert_eq!(window(&InputChoice::default()), Window::LongestFirst { max_length: 27 });
    edit(&folder.path().join("tokenizer_config.json"), &[("model_max_length", json!(1_000_000))]);
    assert_eq!(window(&InputChoice::default()), Window::LongestFirst { max_length: 40 });
    let choice =
        InputChoice { max_length: Some(20), truncation: Some(Truncation::OnlySecond), ..InputChoice::default() };
    assert_eq!(window(&choice), Window::OnlySecond { max_length: 20 });
    let error = folder::load_ranker(folder.path(), &InputChoice { max_length: Some(41), ..choice }).unwrap_err();
    assert!(error.to_string().contains("the model has 40 positions"), "{error}");
}

#[test]
fn a_window_and_a_prompt_are_exported_as_sentence_transformers_keeps_them() {
    let template = Template::Pair { query_prompt: "q: ".to_owned() };
    let window = Window::OnlySecond { max_length: 30 };
    let settings =
        Settings { scoring: Scoring { template, ..Scoring::of(Kind::Encoder, window) }, standardisation: None };
    let folder = foreign(&bert(60), &word_piece(), &settings);
    assert_eq!(load(folder.path()).unwrap().settings, settings);
    let path = folder.path().join("modules.json");
    std::fs::write(
        &path,
        r#"[{"type": "sentence_transformers.models.Transformer", "path": ""}, {"type": "x.Dense", "path": "1"}]"#,
    )
    .unwrap();
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("modules.json: expected the modules Transformer and LogitScore alone, found x.Dense"),
        "{error}"
    );
}

#[test]
fn a_decoder_of_another_library_needs_a_template() {
    let settings = settings(Kind::Decoder);
    let folder = foreign(&llama(Head::Score), &byte_level(), &settings);
    let exported = load(folder.path()).unwrap().settings.scoring;
    let text = "query: {query} document: {document}</s>".to_owned();
    assert_eq!(exported.template, Template::Prompt { text, special_tokens: false }, "our export is a chat template");
    edit(&folder.path().join("tokenizer_config.json"), &[("chat_template", json!("{{ messages[0]['content'] }}"))]);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("no chat template with the roles query and document; give the text"), "{error}");
    for (given, expected) in
        [("{query} {document}</s>", Template::given("{query} {document}</s>")), ("pair", Template::pair())]
    {
        let choice = InputChoice { template: Some(given.to_owned()), ..InputChoice::default() };
        assert_eq!(folder::load_ranker(folder.path(), &choice).unwrap().settings.scoring.template, expected);
    }
}

#[test]
fn what_disranker_json_says_is_not_overridden() {
    let folder = saved_student();
    let choice = InputChoice { max_length: Some(20), ..InputChoice::default() };
    let error = folder::load_ranker(folder.path(), &choice).unwrap_err().to_string();
    assert!(error.contains("disranker.json: expected no other template or window beside this file"), "{error}");
}

#[test]
fn a_score_is_read_at_the_last_token_that_is_not_padding() {
    // The last token of every sequence is the padding token, as where a decoder pads with its end token.
    let folder = foreign(&llama(Head::Score), &byte_level(), &settings(Kind::Decoder));
    let end = byte_level().id("</s>").unwrap();
    edit(&folder.path().join("config.json"), &[("pad_token_id", end.into())]);
    let choice = |template: &str| InputChoice { template: Some(template.to_owned()), ..InputChoice::default() };
    let scores_by = |template: &str| {
        let saved = folder::load_ranker(folder.path(), &choice(template)).unwrap();
        scores(&saved.ranker, &saved.tokenizer, &saved.settings, 64)
    };
    for (a, b) in scores_by("{query} {document}</s>").iter().zip(scores_by("{query} {document}")) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
}

#[test]
fn a_classifier_of_two_labels_scores_by_their_difference() {
    let folder = saved_student();
    let (config, weights) = (folder.path().join("config.json"), folder.path().join("model.safetensors"));
    edit(&config, &[("id2label", json!({"0": "NO", "1": "YES"}))]);
    let mut tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
    let one = load(folder.path()).unwrap().ranker;
    let (row, bias) = (tensors["classifier.weight"].clone(), tensors["classifier.bias"].clone());
    let other = Tensor::ones((1, 16), DType::F32, &Device::Cpu).unwrap();
    let rows = Tensor::cat(&[&other, &(&row + &other).unwrap()], 0).unwrap();
    let biases = Tensor::cat(&[&Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap(), &bias], 0).unwrap();
    tensors.insert("classifier.weight".to_owned(), rows);
    tensors.insert("classifier.bias".to_owned(), biases);
    candle_core::safetensors::save(&tensors, &weights).unwrap();
    let two = load(folder.path()).unwrap().ranker;
    let settings = settings(Kind::Encoder);
    for (a, b) in scores(&one, &word_piece(), &settings, 64).iter().zip(scores(&two, &word_piece(), &settings, 64)) {
        assert!((a - b).abs() < 1e-5, "{a} {b}");
    }
    // As a base it starts a new head.
    let base = Base::open(folder.path()).unwrap().model(Head::Score, 1).unwrap();
    assert_eq!(base.params().get("classifier.weight").unwrap().dims(), [1, 16]);
    edit(&config, &[("id2label", json!({"0": "A", "1": "B", "2": "C"}))]);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(
        error.ends_with("expected id2label of one label, or of two: not relevant and relevant, found 3 labels"),
        "{error}"
    );
}

#[test]
fn wrappers_before_the_names_of_weights_are_passed_over() {
    for wrapper in ["_orig_mod.", "module.", "module._orig_mod.", "model.", "base_model.model."] {
        let folder = saved_student();
        let weights = folder.path().join("model.safetensors");
        let tensors = candle_core::safetensors::load(&weights, &Device::Cpu).unwrap();
        let wrapped = tensors.into_iter().map(|(name, tensor)| (format!("{wrapper}{name}"), tensor)).collect();
        candle_core::safetensors::save(&wrapped, &weights).unwrap();
        assert!(load(folder.path()).is_ok(), "{wrapper}");
    }
}

#[test]
fn a_language_model_scores_by_two_words() {
    let corpus = ["yes no yes no yes no", "no yes no yes", "query: document: yes no"];
    let tokenizer = Tokenizer::train_byte_level_bpe(corpus.iter().cycle().take(30), 280).unwrap();
    let (yes, no) = (tokenizer.id("yes").unwrap(), tokenizer.id("no").unwrap());
    let folder = tempfile::tempdir().unwrap();
    let model = llama(Head::LanguageModel);
    folder::save_language_model(folder.path(), &model, &tokenizer, "").unwrap();
    let choice = InputChoice { template: Some("{query} {document}".to_owned()), ..InputChoice::default() };
    let saved = folder::load_ranker(folder.path(), &choice).unwrap();
    let head = model.params().get("lm_head.weight").unwrap().to_vec2::<f32>().unwrap();
    let score = saved.ranker.params().get("score.weight").unwrap().to_vec2::<f32>().unwrap();
    let expected: Vec<f32> = head[yes as usize].iter().zip(&head[no as usize]).map(|(yes, no)| yes - no).collect();
    assert_eq!(score, [expected]);
    // Other words, as sentence-transformers keeps them.
    let modules = json!([
        {"type": "sentence_transformers.base.modules.transformer.Transformer", "path": ""},
        {"type": "sentence_transformers.cross_encoder.modules.logit_score.LogitScore", "path": "1_LogitScore"},
    ]);
    std::fs::write(folder.path().join("modules.json"), modules.to_string()).unwrap();
    std::fs::create_dir(folder.path().join("1_LogitScore")).unwrap();
    let words = json!({"true_token_id": 5, "false_token_id": null});
    std::fs::write(folder.path().join("1_LogitScore/config.json"), words.to_string()).unwrap();
    let saved = load(folder.path()).unwrap();
    assert_eq!(saved.settings.scoring.template, Template::pair(), "a folder of sentence-transformers reads a pair");
    assert_eq!(saved.ranker.params().get("score.weight").unwrap().to_vec2::<f32>().unwrap(), [head[5].clone()]);
}

#[test]
fn custom_code_is_refused() {
    let folder = saved_student();
    edit(&folder.path().join("config.json"), &[("auto_map", json!({"AutoModel": "modeling_new.NewModel"}))]);
    let error = load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("auto_map = ") && error.contains("no custom code, which is never run"), "{error}");
}
