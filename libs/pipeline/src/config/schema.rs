//! The JSON schema of `pipeline.toml`, made from the doc comments of its keys.

use schemars::transform::{RecursiveTransform, Transform};
use schemars::{Schema, generate::SchemaSettings};
use serde_json::Value;

use super::Pipeline;

/// The JSON schema of `pipeline.toml`, for editors and for the reference page: each key with its description, type and
/// default.
#[must_use]
pub fn json_schema() -> Schema {
    let generator = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = false).into_generator();
    let mut schema = generator.into_root_schema_for::<Pipeline>();
    RecursiveTransform(without_null).transform(&mut schema);
    RecursiveTransform(one_line_descriptions).transform(&mut schema);
    schema
}

/// TOML has no null: an optional key is left out.
fn without_null(schema: &mut Schema) {
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(types)) = object.get_mut("type") {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            object.insert("type".into(), only);
        }
    }
    if let Some(Value::Array(variants)) = object.get_mut("anyOf") {
        variants.retain(|variant| variant.get("type").is_none_or(|kind| kind != "null"));
        if let [only] = variants.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            if let Value::Object(fields) = only {
                object.extend(fields);
            }
        }
    }
    if object.get("default") == Some(&Value::Null) {
        object.remove("default");
    }
}

/// Source lines of a doc comment are no lines of text.
fn one_line_descriptions(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<String> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
}
