//! `reference`: writes the JSON schema of `pipeline.toml` and the reference page of its keys into the repository it is run in.

use anyhow::Context;
use reference::{PAGE, SCHEMA, page, schema_text};

fn main() -> anyhow::Result<()> {
    for (path, text) in [(SCHEMA, schema_text()?), (PAGE, page()?)] {
        std::fs::write(path, text).with_context(|| format!("{path}: writing failed"))?;
    }
    Ok(())
}
