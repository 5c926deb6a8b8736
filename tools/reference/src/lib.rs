//! What is written from the configuration's doc comments, the JSON schema of `pipeline.toml`, which editors complete and
//! check it by, and the reference page of all keys; and from the schemas of tables, the page that describes them.

mod tables_page;

use std::fmt::Write;

use pipeline::config::json_schema;
use serde_json::{Map, Value};

pub use tables_page::{TABLES, tables_page};

/// The JSON schema, relative to the repository.
pub const SCHEMA: &str = "schemas/pipeline.schema.json";
/// The reference page, relative to the repository.
pub const PAGE: &str = "docs/configuration.md";

const INTRODUCTION: &str = "# Keys of pipeline.toml

Every table and key, in the order of the stages. A key without a default must be given; an optional one may be left out.
The same texts are in [`schemas/pipeline.schema.json`](../schemas/pipeline.schema.json), by which editors that know TOML
schemas complete and check a pipeline file whose first line is `#:schema schemas/pipeline.schema.json`. `just reference` writes
both from the comments in `libs/pipeline/src/config`.
";

/// The JSON schema as text.
///
/// # Errors
/// A schema that cannot be written as JSON.
pub fn schema_text() -> anyhow::Result<String> {
    Ok(format!("{:#}\n", json_schema().to_value()))
}

/// The reference page as Markdown: a section for each table of the file, a row for each key.
///
/// # Errors
/// A schema that cannot be written as text.
pub fn page() -> anyhow::Result<String> {
    let schema = json_schema().to_value();
    let definitions = schema["definitions"].as_object().cloned().unwrap_or_default();
    let page = Page { definitions };
    let mut text = INTRODUCTION.to_string();
    for (name, key) in properties(&schema) {
        page.table(&mut text, name, key)?;
    }
    Ok(text)
}

struct Page {
    definitions: Map<String, Value>,
}

impl Page {
    /// A section of a table, then those of the tables in it.
    fn table(&self, text: &mut String, name: &str, table: &Value) -> anyhow::Result<()> {
        let definition = self.resolve(table);
        let about = description(table).or(description(definition)).unwrap_or_default();
        write!(text, "\n## [{name}]\n\n{about}\n")?;
        let (tables, keys): (Vec<_>, Vec<_>) =
            properties(definition).partition(|(_, key)| properties(self.resolve(key)).next().is_some());
        if !keys.is_empty() {
            write!(text, "\n| key | type | default | meaning |\n| --- | --- | --- | --- |\n")?;
        }
        for (key, schema) in &keys {
            let default = match (schema.get("default"), is_required(definition, key)) {
                (Some(default), _) => format!("`{default}`"),
                (None, true) => "required".into(),
                (None, false) => "none".into(),
            };
            let meaning = description(schema).or(description(self.resolve(schema))).unwrap_or_default();
            let meaning = format!("{}{}", cell(meaning), self.choices(schema));
            writeln!(text, "| `{key}` | {} | {default} | {meaning} |", cell(&self.kind(schema)))?;
        }
        for (key, schema) in
            tables.into_iter().chain(keys.iter().filter_map(|(key, schema)| Some((*key, self.item(schema)?))))
        {
            self.table(text, &format!("{name}.{key}"), schema)?;
        }
        Ok(())
    }

    /// The table that an array of tables has as an item.
    fn item<'a>(&'a self, schema: &'a Value) -> Option<&'a Value> {
        let items =
            |schema: &'a Value| schema.get("items").filter(|item| properties(self.resolve(item)).next().is_some());
        let resolved = self.resolve(schema);
        items(resolved).or_else(|| alternatives(resolved)?.iter().find_map(items))
    }

    /// The schema that a reference stands for, or the schema itself.
    fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let name = reference.and_then(|reference| reference.strip_prefix("#/definitions/"));
        name.and_then(|name| self.definitions.get(name)).unwrap_or(schema)
    }

    /// The TOML type of a key.
    fn kind(&self, schema: &Value) -> String {
        let resolved = self.resolve(schema);
        if let Some(variants) = alternatives(resolved) {
            let mut kinds: Vec<String> = variants.iter().map(|variant| self.kind(variant)).collect();
            kinds.dedup();
            return kinds.join(" or ");
        }
        match resolved.get("type").and_then(Value::as_str) {
            Some("array") => {
                let item = resolved.get("items").map_or("value".into(), |items| self.kind(items));
                // Of arrays, the first word has the plural.
                match item.strip_prefix("array ") {
                    Some(rest) => format!("array of arrays {rest}"),
                    None => format!("array of {item}s"),
                }
            }
            Some("number") => "float".into(),
            Some("object") => "table".into(),
            Some(kind) => kind.into(),
            None => "string".into(),
        }
    }

    /// The values that a key can have, with what each means.
    fn choices(&self, schema: &Value) -> String {
        if let Some(item) = schema.get("items").and_then(|item| description(self.resolve(item))) {
            return format!("<br>{}", cell(item));
        }
        let Some(variants) = alternatives(self.resolve(schema)) else { return String::new() };
        let choices = variants.iter().filter_map(|variant| {
            let value = variant.get("const")?;
            Some(format!("<br>`{value}`: {}", cell(description(variant).unwrap_or_default())))
        });
        choices.collect()
    }
}

fn alternatives(schema: &Value) -> Option<&Vec<Value>> {
    schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
}

fn properties(schema: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema))
}

fn is_required(table: &Value, key: &str) -> bool {
    table.get("required").and_then(Value::as_array).is_some_and(|keys| keys.iter().any(|required| required == key))
}

fn description(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

/// Text within a cell of a table.
pub(crate) fn cell(text: &str) -> String {
    text.replace("\n\n", "<br>").replace('|', "\\|")
}
