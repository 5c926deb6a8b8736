//! The model of a class that is built anew: the vocabulary of the folder under the settings of the class.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::class::Class;
use super::special::Special;
use super::{CONFIG, Files, MERGES, Refusal, TOKENIZER, VOCAB_JSON, VOCAB_TEXT, object};

/// The `model` of `tokenizer.json` that the class makes, and whether it differs from the one written there. Takes the
/// vocabulary out of the written one.
pub(super) fn model(
    class: Class,
    config: &Map<String, Value>,
    special: &Special,
    written: Option<&mut Map<String, Value>>,
    files: &Files,
) -> Result<(Map<String, Value>, bool), Refusal> {
    let Some(written) = written else {
        let mut model = lone(class, files)?;
        model.extend(settings(class, config, special, &model)?);
        return Ok((model, true));
    };
    let mut model = match written.get_mut("model").map(Value::take) {
        Some(Value::Object(model)) => model,
        other => return Err(Refusal::broken(TOKENIZER, format!("model {}", other.unwrap_or_default()))),
    };
    let kind = model.get("type").and_then(Value::as_str).unwrap_or_else(|| kind_of(&model)).to_owned();
    if class.model() != Some(&kind) {
        return Err(Refusal {
            file: CONFIG,
            expected: format!(
                "a tokenizer_class with a {kind} model, which {TOKENIZER} has (\"PreTrainedTokenizerFast\" where \
                 {TOKENIZER} is to be read as it is written)"
            ),
            found: format!("{:?}, whose model is {}", class.name(), class.model().unwrap_or_default()),
        });
    }
    let settings = settings(class, config, special, &model)?;
    let is_set = |value: &Value| !value.is_null() && value != "" && *value != false;
    let differs = settings.iter().any(|(name, value)| {
        let found = model.get(name).unwrap_or(&Value::Null);
        if name == "type" { false } else { (is_set(found) || is_set(value)) && found != value }
    });
    model.extend(settings);
    Ok((model, differs))
}

/// The kind of a model whose file is too old to say.
fn kind_of(model: &Map<String, Value>) -> &'static str {
    if model.get("vocab").is_some_and(Value::is_array) {
        "Unigram"
    } else if model.contains_key("merges") {
        "BPE"
    } else if model.contains_key("continuing_subword_prefix") {
        "WordPiece"
    } else {
        "WordLevel"
    }
}

/// All of a model but its vocabulary and its merges.
fn settings(
    class: Class,
    config: &Map<String, Value>,
    special: &Special,
    model: &Map<String, Value>,
) -> Result<Map<String, Value>, Refusal> {
    let unknown = special.role("unk_token");
    let bpe = |unknown: Option<&str>, affix: Option<&str>, by_bytes: bool| {
        json!({
            "type": "BPE", "dropout": null, "unk_token": unknown, "continuing_subword_prefix": affix,
            "end_of_word_suffix": affix, "fuse_unk": by_bytes, "byte_fallback": by_bytes, "ignore_merges": false,
        })
    };
    let settings = match class {
        Class::AsWritten => Value::Null,
        Class::Bert | Class::DistilBert | Class::MpNet => json!({
            "type": "WordPiece", "unk_token": unknown.unwrap_or("None"), "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
        }),
        Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Qwen2 => bpe(None, Some(""), false),
        Class::Llama => bpe(None, None, true),
        Class::Gemma => bpe(Some(unknown.unwrap_or("None")), None, true),
        Class::XlmRoberta | Class::Camembert | Class::DebertaV2 => {
            json!({ "type": "Unigram", "unk_id": unknown_id(class, config, unknown, model)?, "byte_fallback": false })
        }
    };
    Ok(settings.as_object().cloned().unwrap_or_default())
}

/// Which piece of a Unigram vocabulary stands for what it lacks.
fn unknown_id(
    class: Class,
    config: &Map<String, Value>,
    unknown: Option<&str>,
    model: &Map<String, Value>,
) -> Result<u64, Refusal> {
    let pieces = model.get("vocab").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let place = |is_it: &dyn Fn(&Value) -> bool| pieces.iter().position(is_it).map(|place| place as u64);
    let text = unknown.unwrap_or("None");
    match class {
        Class::DebertaV2 => {
            let stated = match config.get("unk_id") {
                None => 1,
                Some(id) => id.as_u64().ok_or_else(|| Refusal {
                    file: CONFIG,
                    expected: "unk_id an id".to_owned(),
                    found: id.to_string(),
                })?,
            };
            Ok(place(&|piece| piece[0] == text && piece[1].as_f64() == Some(0.0)).unwrap_or(stated))
        }
        Class::Camembert => Ok(place(&|piece| piece[0] == text).unwrap_or(0)),
        _ => Ok(3),
    }
}

/// The vocabulary of a folder without `tokenizer.json`.
fn lone(class: Class, files: &Files) -> Result<Map<String, Value>, Refusal> {
    match class {
        Class::Bert | Class::DistilBert | Class::MpNet => {
            let text = files.get(VOCAB_TEXT).ok_or_else(|| absent(class, VOCAB_TEXT))?;
            let mut pieces: BTreeMap<&str, usize> = BTreeMap::new();
            pieces.extend(text.lines().enumerate().map(|(id, piece)| (piece.trim_end(), id)));
            Ok(Map::from_iter([("vocab".to_owned(), json!(pieces))]))
        }
        Class::Roberta | Class::Deberta | Class::Gpt2 | Class::Qwen2 => {
            let vocabulary = object(files, VOCAB_JSON)?.ok_or_else(|| absent(class, VOCAB_JSON))?;
            let merges = files.get(MERGES).ok_or_else(|| absent(class, MERGES))?;
            let merges: Vec<&str> = merges.lines().filter(|line| !line.starts_with("#version")).collect();
            Ok(Map::from_iter([("vocab".to_owned(), Value::Object(vocabulary)), ("merges".to_owned(), json!(merges))]))
        }
        _ => Err(absent(class, TOKENIZER)),
    }
}

fn absent(class: Class, file: &'static str) -> Refusal {
    let expected = if file == TOKENIZER { TOKENIZER.to_owned() } else { format!("{TOKENIZER}, or {file}") };
    Refusal { file, expected: format!("{expected} of a {}", class.name()), found: "no such file".to_owned() }
}
