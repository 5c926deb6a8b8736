//! What contradicting folders are read as, and which are refused.

use serde_json::{Value, json};

use super::*;

const PIECES: [&str; 9] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "Red", "é", "e"];

/// A WordPiece `tokenizer.json` that lets texts as they are.
fn word_piece() -> Value {
    let vocabulary: Map<String, Value> =
        PIECES.iter().enumerate().map(|(id, piece)| ((*piece).to_owned(), json!(id))).collect();
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "WhitespaceSplit" }, "post_processor": null, "decoder": null,
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100, "vocab": vocabulary,
        },
    })
}

fn files(config: &Value, model: &Value) -> Files {
    Files::from([
        (TOKENIZER, word_piece().to_string()),
        (CONFIG, config.to_string()),
        (MODEL_CONFIG, model.to_string()),
    ])
}

fn ids(resolved: &Resolved, text: &str) -> Vec<u32> {
    resolved.inner.encode(text, true).unwrap().get_ids().to_vec()
}

fn read(config: &Value) -> Resolved {
    resolve(&files(config, &json!({ "model_type": "bert" }))).unwrap()
}

#[track_caller]
fn refused(config: &Value, expected: &[&str]) {
    let error = resolve(&files(config, &json!({}))).err().unwrap().to_string();
    assert!(expected.iter().all(|part| error.contains(part)) && !error.contains('\n'), "{error}");
}

#[test]
fn a_class_overrules_what_is_written() {
    let text = "Red é [SEP] red";
    assert_eq!(ids(&read(&json!({ "tokenizer_class": "PreTrainedTokenizerFast" })), text), [6, 7, 3, 5]);
    assert_eq!(ids(&read(&json!({})), text), [2, 5, 8, 3, 5, 3]);
    assert_eq!(ids(&read(&json!({ "do_lower_case": false })), text), [2, 6, 7, 3, 5, 3]);
    assert_eq!(ids(&read(&json!({ "strip_accents": false })), text), [2, 5, 7, 3, 5, 3]);
    assert_eq!(ids(&read(&json!({ "split_special_tokens": true })), "[SEP]"), [2, 1, 1, 1, 3]);
}

#[test]
fn the_models_type_decides_where_no_class_is_named() {
    let class = |model: Value| resolve(&files(&json!({}), &model)).map(|resolved| ids(&resolved, "Red")).unwrap();
    assert_eq!(class(json!({ "model_type": "electra" })), [2, 5, 3]);
    assert_eq!(class(json!({ "model_type": "modernbert" })), [6]);
    assert_eq!(class(json!({})), [6]);
    assert_eq!(class(json!({ "model_type": "modernbert", "tokenizer_class": "BertTokenizer" })), [6]);
    assert_eq!(class(json!({ "tokenizer_class": "ElectraTokenizerFast" })), [2, 5, 3]);
}

#[test]
fn token_types_are_those_of_the_class() {
    let types = |config: &Value| read(config).token_types;
    assert!(types(&json!({})));
    assert!(!types(&json!({ "tokenizer_class": "DistilBertTokenizer" })));
    assert!(!types(&json!({ "tokenizer_class": "PreTrainedTokenizerFast" })));
    assert!(types(&json!({ "tokenizer_class": "DistilBertTokenizer", "model_input_names": ["token_type_ids"] })));
}

#[test]
fn what_was_overruled_is_written_anew_and_what_was_not_stays() {
    for config in [json!({ "do_lower_case": false }), json!({ "extra_special_tokens": ["blue"] })] {
        let resolved = read(&config);
        let written: Value = serde_json::from_str(&resolved.files[CONFIG]).unwrap();
        assert_eq!(written["tokenizer_class"], "PreTrainedTokenizerFast");
        assert_eq!((&written["do_lower_case"], &written["cls_token"]), (&Value::Null, &json!("[CLS]")));
        let again = resolve(&resolved.files).unwrap();
        assert_eq!((&again.files, &again.roles), (&resolved.files, &resolved.roles));
        assert_eq!(again.token_types, resolved.token_types);
        for text in ["Red é red", "blue [MASK]"] {
            assert_eq!(ids(&again, text), ids(&resolved, text));
        }
    }
    let as_written = files(&json!({ "tokenizer_class": "PreTrainedTokenizerFast" }), &json!({ "model_type": "bert" }));
    let mut kept = resolve(&as_written).unwrap().files;
    kept.insert(MODEL_CONFIG, as_written[MODEL_CONFIG].clone());
    assert_eq!(kept, as_written);
}

#[test]
fn a_class_is_named_where_the_model_would_decide() {
    let mut files = files(&json!({}), &json!({}));
    files.remove(CONFIG);
    let saved = resolve(&files).unwrap().files;
    assert_eq!(saved[TOKENIZER], files[TOKENIZER]);
    assert!(saved[CONFIG].contains("PreTrainedTokenizerFast"), "{}", saved[CONFIG]);
}

#[test]
fn tokens_are_added_in_the_order_of_the_library() {
    let decoder = json!({ "70": { "content": "z", "special": false }, "60": { "content": "y", "special": true } });
    let extra = json!(["x"]);
    let resolved = read(&json!({ "added_tokens_decoder": decoder, "extra_special_tokens": extra, "image_token": "w" }));
    let id = |token: &str| resolved.inner.token_to_id(token);
    assert_eq!(["y", "z", "w", "x"].map(id), [Some(9), Some(10), Some(11), Some(12)]);
    let added = resolved.inner.get_added_tokens_decoder();
    assert_eq!([9, 10, 11, 12].map(|id| added[&id].special), [true, false, true, true]);
}

#[test]
fn vocabularies_alone_are_read() {
    let mut files = files(&json!({}), &json!({ "model_type": "bert" }));
    files.remove(TOKENIZER);
    let error = resolve(&files).err().unwrap().to_string();
    assert!(error.contains("vocab.txt: expected tokenizer.json, or vocab.txt of a BertTokenizer"), "{error}");
    files.insert(VOCAB_TEXT, PIECES.join("\n"));
    assert_eq!(ids(&resolve(&files).unwrap(), "RED"), [2, 5, 3]);
    let model = json!({ "model_type": "roberta" });
    let vocabulary = json!({ "<s>": 0, "</s>": 1, "a": 2, "b": 3, "ab": 4 });
    let files = Files::from([
        (MODEL_CONFIG, model.to_string()),
        (VOCAB_JSON, vocabulary.to_string()),
        (MERGES, "#version: 0.2\na b\n".to_owned()),
    ]);
    assert_eq!(ids(&resolve(&files).unwrap(), "aab"), [0, 2, 4, 1]);
}

#[test]
fn what_cannot_be_followed_is_refused() {
    refused(&json!({ "tokenizer_class": "T5Tokenizer" }), &["tokenizer_config.json", "tokenizer_class", "T5Tokenizer"]);
    refused(
        &json!({ "tokenizer_class": "RobertaTokenizer" }),
        &[
            "tokenizer_config.json",
            "WordPiece model, which tokenizer.json has",
            "\"RobertaTokenizer\", whose model is BPE",
        ],
    );
    refused(&json!({ "auto_map": { "AutoTokenizer": ["my.Code", null] } }), &["auto_map", "my.Code", "delete"]);
    refused(&json!({ "tokenizer_class": "BertTokenizer", "do_lower_case": "yes" }), &["do_lower_case", "\"yes\""]);
    refused(&json!({ "fix_mistral_regex": true }), &["fix_mistral_regex"]);
    refused(&json!({ "fast_tokenizer_files": ["tokenizer.4.0.0.json"] }), &["fast_tokenizer_files"]);
    refused(&json!({ "cls_token": { "content": "[CLS]" } }), &["cls_token", "AddedToken"]);
    refused(&json!({ "added_tokens_decoder": { "x": {} } }), &["added_tokens_decoder"]);
    refused(&json!({ "tokenizer_class": "BertTokenizer", "cls_token": null }), &["cls_token", "none"]);
    let mut broken = files(&json!({}), &json!({}));
    broken.insert(SPECIAL_TOKENS, "[".to_owned());
    assert!(resolve(&broken).err().unwrap().to_string().starts_with("special_tokens_map.json: expected a JSON object"));
}
