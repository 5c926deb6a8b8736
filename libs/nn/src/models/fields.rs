//! Reading, checking and writing the fields of a config.json.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::backbone::Head;
use crate::{Error, Result};

/// The fields of `config` that are set, with those that every reader of a Hugging Face folder needs. `name` is how the
/// names of the transformers classes begin.
pub(super) fn to_json(config: &impl Serialize, name: &str, head: Head) -> Result<Value> {
    let mut fields = Map::new();
    fields.insert("architectures".into(), json!([format!("{name}{}", head.class())]));
    // The name transformers 4 and 5 both read.
    fields.insert("torch_dtype".into(), json!("float32"));
    if head != Head::LanguageModel {
        let labels = || (0..head.outputs()).map(|label| (label.to_string(), format!("LABEL_{label}"), label));
        let names: Map<_, _> = labels().map(|(id, name, _)| (id, json!(name))).collect();
        let ids: Map<_, _> = labels().map(|(_, name, label)| (name, json!(label))).collect();
        fields.insert("id2label".into(), names.into());
        fields.insert("label2id".into(), ids.into());
        // Else sentence-transformers would squash a single logit by a sigmoid.
        fields.insert("sentence_transformers".into(), json!({"activation_fn": "torch.nn.modules.linear.Identity"}));
    }
    if let Value::Object(own) = serde_json::to_value(config)? {
        fields.extend(own.into_iter().filter(|(_, value)| !value.is_null()));
    }
    Ok(Value::Object(fields))
}

/// The fields of a config.json; the one that cannot be read is named.
pub(super) fn read_fields<T: DeserializeOwned>(config: &Value) -> Result<T> {
    serde_path_to_error::deserialize(config).map_err(|error| {
        let field = error.path().to_string();
        Error::ConfigField { field, source: error.into_inner() }
    })
}

pub(super) fn invalid(field: &'static str, found: impl std::fmt::Display, expected: impl Into<String>) -> Error {
    Error::Config { field, found: found.to_string(), expected: expected.into() }
}

/// Refuses a field that is present with another value than the one supported.
pub(super) fn refuse_other(config: &Value, field: &'static str, supported: &Value) -> Result<()> {
    match config.get(field) {
        None | Some(Value::Null) => Ok(()),
        Some(value) if value == supported => Ok(()),
        Some(value) => Err(invalid(field, value, format!("{supported}, the only value supported"))),
    }
}

pub(super) fn positive(field: &'static str, value: usize) -> Result<()> {
    if value == 0 { Err(invalid(field, value, "at least 1")) } else { Ok(()) }
}

/// More layers than any model has would only fill the memory with their names.
pub(super) fn layers(field: &'static str, value: usize) -> Result<()> {
    const MOST: usize = 4096;
    if (1..=MOST).contains(&value) { Ok(()) } else { Err(invalid(field, value, format!("1 to {MOST}"))) }
}

pub(super) fn above_zero(field: &'static str, value: f64) -> Result<()> {
    if value > 0.0 && value.is_finite() { Ok(()) } else { Err(invalid(field, value, "a number above 0")) }
}

pub(super) fn share(field: &'static str, value: f64) -> Result<()> {
    if (0.0..1.0).contains(&value) { Ok(()) } else { Err(invalid(field, value, "a share of at least 0 and below 1")) }
}

pub(super) fn divides(field: &'static str, part: usize, of: &str, whole: usize) -> Result<()> {
    if part > 0 && whole.is_multiple_of(part) {
        Ok(())
    } else {
        Err(invalid(field, part, format!("a divisor of {of} = {whole}")))
    }
}

pub(super) fn one_of(field: &'static str, found: &str, supported: &str) -> Result<()> {
    if found == supported { Ok(()) } else { Err(invalid(field, found, format!("{supported}, the only one supported"))) }
}
