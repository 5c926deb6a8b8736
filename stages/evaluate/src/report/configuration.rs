//! The configuration and the versions that everything was made with.

use serde_json::Value;
use tables::Manifest;

use super::html::{escape, folded, paragraph, prose, table};
use crate::number;

/// The configuration of each stage as TOML. `own` is that of this evaluation.
pub(super) fn configuration(manifests: &[Manifest], own: &Value) -> String {
    let of = |stage: &str, config: &Value| {
        let text = as_toml(config);
        if text.is_empty() {
            text
        } else {
            folded(stage, &format!("<pre tabindex=\"0\"><code>{}</code></pre>\n", escape(&text)))
        }
    };
    let mut html: String = manifests.iter().map(|manifest| of(&manifest.stage, &manifest.config)).collect();
    html += &of("evaluate", own);
    let explained = "What each stage read of the pipeline file, defaults included.";
    if html.is_empty() { html } else { format!("<p>{}</p>\n{html}", prose(explained)) }
}

/// A configuration as TOML, which has no nulls; as JSON where a number is too large for it.
fn as_toml(config: &Value) -> String {
    let given = without_nulls(config);
    if given.as_object().is_none_or(serde_json::Map::is_empty) {
        return String::new();
    }
    toml::to_string_pretty(&given).unwrap_or_else(|_| format!("{given:#}"))
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let given = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(given.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(values) => {
            Value::Array(values.iter().filter(|value| !value.is_null()).map(without_nulls).collect())
        }
        other => other.clone(),
    }
}

/// Versions, rows, times and memory of the stages. `own` is the program's version and that of this stage.
pub(super) fn stages(manifests: &[Manifest], own: (&str, u32)) -> String {
    let row = |manifest: &Manifest| {
        let tables = manifest.tables.iter();
        let tables: Vec<String> = tables.map(|(table, e)| format!("{} {table}", number::count(e.rows))).collect();
        vec![
            manifest.stage.clone(),
            tables.join(", "),
            manifest.version.clone(),
            manifest.stage_version.to_string(),
            number::seconds(manifest.wall_seconds),
            manifest.peak_memory_bytes.map_or("–".into(), number::memory),
        ]
    };
    let mut rows: Vec<Vec<String>> = manifests.iter().map(row).collect();
    let (version, stage_version) = (own.0.to_string(), own.1.to_string());
    rows.push(vec!["evaluate".into(), "this page".into(), version, stage_version, "–".into(), "–".into()]);
    let header = ["stage", "rows written", "disranker", "version of the stage", "wall time", "peak memory"];
    table("Stages", &header, &rows, 2) + &facts(manifests)
}

/// The figures every stage noted about itself.
fn facts(manifests: &[Manifest]) -> String {
    let rows: Vec<Vec<String>> = manifests
        .iter()
        .flat_map(|manifest| {
            let scalar = |value: &Value| !value.is_object() && !value.is_array();
            let facts = manifest.facts.iter().filter(move |(_, value)| scalar(value));
            facts.map(|(name, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), String::from);
                vec![manifest.stage.clone(), name.replace('_', " "), text]
            })
        })
        .collect();
    if rows.is_empty() {
        return String::new();
    }
    let explained = paragraph("What every stage noted about itself in its manifest.");
    folded(
        "Figures of the stages",
        &(explained + &table("Figures of the stages", &["stage", "figure", "value"], &rows, 2)),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_toml_that_reads_back() {
        let config =
            json!({ "seed": 7, "table": { "list": [1, null, 2], "none": null, "text": "a\n\"<b>\"" }, "last": true });
        let text = as_toml(&config);
        let read: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(read["table"]["text"].as_str(), Some("a\n\"<b>\""));
        assert_eq!((read["seed"].as_integer(), read["last"].as_bool()), (Some(7), Some(true)));
        assert!(!text.contains("null") && !text.contains("none"), "{text}");
        let html = configuration(&[], &config);
        assert!(html.contains("&lt;b&gt;") && !html.contains("<b>"), "{html}");
        assert_eq!(configuration(&[], &Value::Null), "");
        assert!(as_toml(&json!({ "large": u64::MAX })).contains("18446744073709551615"));
    }
}
