//! The tokenizer that the transformers library (release 5) makes of a folder.
//!
//! Folders contradict themselves: `tokenizer_config.json` asks for lower case where `tokenizer.json` keeps it, adds
//! tokens that `tokenizer.json` lacks, names a class that is built from its vocabulary alone. The scores of a model
//! are those of the tokens that the library reads, so its rules are followed here, and what cannot be followed is
//! refused.

mod class;
mod parts;
mod saved;
mod special;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use self::class::Class;
use self::special::Special;

pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const CONFIG: &str = "tokenizer_config.json";
pub(super) const SPECIAL_TOKENS: &str = "special_tokens_map.json";
const ADDED_TOKENS: &str = "added_tokens.json";
const VOCAB_TEXT: &str = "vocab.txt";
const VOCAB_JSON: &str = "vocab.json";
const MERGES: &str = "merges.txt";
const MODEL_CONFIG: &str = "config.json";

/// Every file of a folder that decides its tokens.
pub(super) const SOURCES: [&str; 8] =
    [TOKENIZER, CONFIG, SPECIAL_TOKENS, ADDED_TOKENS, VOCAB_TEXT, VOCAB_JSON, MERGES, MODEL_CONFIG];

/// The texts of files by their names, those of [`SOURCES`].
pub(super) type Files = BTreeMap<&'static str, String>;

/// A tokenizer as the library would make it.
pub(super) struct Resolved {
    /// Normalizer, pre-tokenizer, model, added tokens and post-processor, all in effect.
    pub(super) inner: tokenizers::Tokenizer,
    /// The files of a folder that this program and the library read as this tokenizer: `tokenizer.json` and the others.
    pub(super) files: Files,
    /// The tokens of roles such as `pad_token`.
    pub(super) roles: BTreeMap<String, String>,
    /// True if models are to read the token types of a pair.
    pub(super) token_types: bool,
}

/// Why a folder's tokenizer is not read: one line, with the file at fault.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) file: &'static str,
    pub(super) expected: String,
    pub(super) found: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: expected {}, found {}", self.file, self.expected, self.found)
    }
}

impl Refusal {
    /// A file that the tokenizers library does not read.
    fn broken(file: &'static str, error: impl fmt::Display) -> Self {
        Self { file, expected: "a Hugging Face tokenizer".to_owned(), found: error.to_string() }
    }
}

/// The tokenizer of the files of a folder.
pub(super) fn resolve(files: &Files) -> Result<Resolved, Refusal> {
    let config = object(files, CONFIG)?.unwrap_or_default();
    let model = object(files, MODEL_CONFIG)?.unwrap_or_default();
    let written = files.get(TOKENIZER).map(String::as_str);
    refuse_versions(&config)?;
    let class = Class::of(&config, &model, written)?;
    let mut written_json = object(files, TOKENIZER)?;
    let special = Special::read(class, &config, files, written_json.as_ref())?;
    let (mut inner, parts_differ) = match written {
        Some(text) if class == Class::AsWritten => (read(text.as_bytes())?, false),
        _ => {
            let (model, model_differs) = vocabulary::model(class, &config, &special, written_json.as_mut(), files)?;
            parts::build(class, &config, model, model_differs, written_json.as_ref())?
        }
    };
    let changed = parts_differ | parts::finish(class, &config, &special, written_json.as_ref(), &mut inner)?;
    inner.set_encode_special_tokens(flag(&config, "split_special_tokens")?.unwrap_or(false));
    let token_types = match config.get("model_input_names").and_then(Value::as_array) {
        Some(names) => names.iter().any(|name| name == "token_type_ids"),
        None => class.gives_token_types(),
    };
    let files = if changed {
        saved::rewritten(class, &config, &special, token_types, &inner)?
    } else {
        saved::as_they_were(class, config, files)
    };
    Ok(Resolved { inner, files, roles: special.role_tokens(), token_types })
}

/// A tokenizer from the bytes of `tokenizer.json`, without the padding and the truncation that some are saved with.
fn read(json: &[u8]) -> Result<tokenizers::Tokenizer, Refusal> {
    let broken = |error: tokenizers::Error| Refusal::broken(TOKENIZER, error);
    let mut inner = tokenizers::Tokenizer::from_bytes(json).map_err(broken)?;
    inner.with_padding(None).with_truncation(None).map_err(broken)?;
    Ok(inner)
}

/// The object of a JSON file, where there is one.
fn object(files: &Files, name: &'static str) -> Result<Option<Map<String, Value>>, Refusal> {
    let Some(text) = files.get(name) else { return Ok(None) };
    serde_json::from_str(text).map(Some).map_err(|error| {
        let expected = if name == TOKENIZER { "a Hugging Face tokenizer" } else { "a JSON object" };
        Refusal { file: name, expected: expected.to_owned(), found: error.to_string() }
    })
}

/// A field of `tokenizer_config.json` that is true, false or absent.
fn flag(config: &Map<String, Value>, name: &str) -> Result<Option<bool>, Refusal> {
    match config.get(name) {
        None => Ok(None),
        Some(Value::Bool(value)) => Ok(Some(*value)),
        Some(other) => {
            Err(Refusal { file: CONFIG, expected: format!("{name} true or false"), found: other.to_string() })
        }
    }
}

/// Folders with one `tokenizer.json` for each release of the library, and the repair of a regular expression, are read
/// by no rule here.
fn refuse_versions(config: &Map<String, Value>) -> Result<(), Refusal> {
    let files = config.get("fast_tokenizer_files").and_then(Value::as_array);
    if files.is_some_and(|files| files.iter().any(|name| name != TOKENIZER)) {
        return Err(Refusal {
            file: CONFIG,
            expected: format!(
                "one {TOKENIZER} for every release (delete fast_tokenizer_files once {TOKENIZER} is the newest)"
            ),
            found: format!("fast_tokenizer_files {}", config["fast_tokenizer_files"]),
        });
    }
    if config.get("fix_mistral_regex") == Some(&Value::Bool(true)) {
        return Err(Refusal {
            file: CONFIG,
            expected: format!(
                "{TOKENIZER} with its own regular expression (load with transformers' AutoTokenizer, save_pretrained, \
                 delete fix_mistral_regex)"
            ),
            found: "fix_mistral_regex true".to_owned(),
        });
    }
    Ok(())
}
