//! Mappings of public formats, which a pipeline names instead of writing them.

use std::path::Path;

use super::ConfigError;

/// The presets, one table each with the keys of `[ingest]`.
const PRESETS: &str = include_str!("presets.toml");

/// Completes `[ingest]` by the preset it names; keys of the pipeline file hold before those of the preset.
///
/// # Errors
/// [`ConfigError::Value`] on a name without a preset.
pub(super) fn apply(path: &Path, tree: &mut toml::Table) -> Result<(), ConfigError> {
    let Some(toml::Value::Table(ingest)) = tree.get_mut("ingest") else { return Ok(()) };
    let Some(toml::Value::String(name)) = ingest.get("preset") else { return Ok(()) };
    let presets: toml::Table = toml::from_str(PRESETS).map_err(|e| ConfigError::Syntax {
        path: Path::new("presets.toml").to_path_buf(),
        reason: e.message().to_string(),
    })?;
    let Some(toml::Value::Table(preset)) = presets.get(name) else {
        let names: Vec<&str> = presets.keys().map(String::as_str).collect();
        return Err(ConfigError::Value {
            path: path.to_path_buf(),
            key: "ingest.preset".into(),
            expected: format!("one of {}", names.join(", ")),
            found: name.clone(),
        });
    };
    complete(ingest, preset);
    Ok(())
}

/// Adds what `table` lacks. Of a table with another format, the preset's keys that belong to its own format do not hold: how text
/// is written, and what only delimited judgments have.
fn complete(table: &mut toml::Table, preset: &toml::Table) {
    let differs = |own: &toml::Value| preset.get("format").is_some_and(|format| format != own);
    let another_format = table.get("format").is_some_and(differs);
    let judgments = preset.get("columns").and_then(|columns| columns.get("grade")).is_some();
    for (key, value) in preset {
        if another_format && (key == "dialect" || key == "columns" && judgments) {
            continue;
        }
        match (table.get_mut(key), value) {
            (None, value) => {
                table.insert(key.clone(), value.clone());
            }
            (Some(toml::Value::Table(own)), toml::Value::Table(preset)) => complete(own, preset),
            (Some(_), _) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipelines_own_keys_hold() {
        let mut tree: toml::Table = toml::from_str(
            "[ingest]\npreset = \"ubi\"\n[ingest.log]\npaths = [\"x\"]\nsession_gap_minutes = 5.0\ntime = { zone = \"Europe/Paris\" }\n",
        )
        .unwrap();
        apply(Path::new("p.toml"), &mut tree).unwrap();
        let log = tree["ingest"]["log"].as_table().unwrap();
        assert_eq!(log["session_gap_minutes"].as_float(), Some(5.0));
        assert_eq!(log["time"]["zone"].as_str(), Some("Europe/Paris"));
        assert!(log["kinds"].is_array());
        let mut tree: toml::Table = toml::from_str("[ingest]\npreset = \"bing\"\n").unwrap();
        let error = apply(Path::new("p.toml"), &mut tree).unwrap_err().to_string();
        assert!(error.contains("ingest.preset: expected one of"), "{error}");
    }
}
