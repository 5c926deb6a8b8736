//! The files of a resolved tokenizer that this program and the library read alike.

use serde_json::{Map, Value, json};

use super::class::Class;
use super::special::Special;
use super::{CONFIG, Files, Refusal, SPECIAL_TOKENS, TOKENIZER};

/// Fields of `tokenizer_config.json` that say nothing of how a text becomes tokens, or the same for every class.
const KEPT: [&str; 6] = [
    "model_max_length",
    "max_len",
    "padding_side",
    "truncation_side",
    "split_special_tokens",
    "clean_up_tokenization_spaces",
];

/// The files of a tokenizer that is read as `tokenizer.json` says. The class is named, since without a name the model
/// beside it would decide.
pub(super) fn as_they_were(class: Class, mut config: Map<String, Value>, files: &Files) -> Files {
    let mut saved: Files = files
        .iter()
        .filter(|(name, _)| [TOKENIZER, SPECIAL_TOKENS, CONFIG].contains(name))
        .map(|(name, text)| (*name, text.clone()))
        .collect();
    if !config.contains_key("tokenizer_class") {
        config.insert("tokenizer_class".to_owned(), json!(class.name()));
        saved.insert(CONFIG, format!("{:#}\n", Value::Object(config)));
    }
    saved
}

/// The files of a tokenizer that is read otherwise than `tokenizer.json` said: all is written there, and nothing else
/// says how texts become tokens.
pub(super) fn rewritten(
    class: Class,
    config: &Map<String, Value>,
    special: &Special,
    token_types: bool,
    tokenizer: &tokenizers::Tokenizer,
) -> Result<Files, Refusal> {
    let mut settings: Map<String, Value> = KEPT
        .iter()
        .filter_map(|name| config.get_key_value(*name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    settings.insert("tokenizer_class".to_owned(), json!(Class::AsWritten.name()));
    let mut names = vec!["input_ids", "attention_mask"];
    if token_types {
        names.insert(1, "token_type_ids");
    }
    settings.insert("model_input_names".to_owned(), json!(names));
    if class.pads_in_front() {
        settings.entry("padding_side").or_insert_with(|| json!("left"));
    }
    settings.extend(special.fields());
    let json = tokenizer.to_string(true).map_err(|error| Refusal::broken(TOKENIZER, error))?;
    Ok(Files::from([(TOKENIZER, json), (CONFIG, format!("{:#}\n", Value::Object(settings)))]))
}
