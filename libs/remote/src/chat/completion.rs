//! What all chat requests and answers share.

use serde_json::{Map, Value, json};

use crate::error::excerpt;
use crate::pool::{Bad, OTHER_API};

/// The fields of a request for these messages.
pub(super) fn request(messages: Vec<Value>, max_tokens: u32) -> Map<String, Value> {
    let fields = json!({ "messages": messages, "temperature": 0, "max_tokens": max_tokens });
    fields.as_object().cloned().unwrap_or_default()
}

/// What a model wrote, without the thoughts that some models put before it.
pub(super) struct Completion<'v> {
    pub(super) text: &'v str,
    /// True if the model had no room left to go on.
    pub(super) is_cut: bool,
}

pub(super) fn completion(answer: &Value) -> Result<Completion<'_>, Bad> {
    let choice = &answer["choices"][0];
    let text = match &choice["message"]["content"] {
        Value::String(text) => text.as_str(),
        // Models that refuse or only think.
        Value::Null if choice["message"].is_object() => "",
        _ => {
            return Err(bad("a text in choices[0].message.content", excerpt(answer.to_string().as_bytes()), OTHER_API));
        }
    };
    let is_cut = choice["finish_reason"] == "length";
    let text = match (text.rsplit_once("</think>"), text.trim_start().starts_with("<think>")) {
        (Some((_, after)), _) => after,
        // Thoughts without an end.
        (None, true) => "",
        (None, false) => text,
    };
    Ok(Completion { text, is_cut })
}

pub(super) fn bad(expected: impl Into<String>, found: impl Into<String>, remedy: &'static str) -> Bad {
    Bad { document: None, expected: expected.into(), found: found.into(), remedy }
}
