//! `reference`: writes the JSON schema of `pipeline.toml`, the reference page of its keys and that of the tables into the
//! repository it is run in.

use anyhow::Context;
use reference::{PAGE, SCHEMA, TABLES, page, schema_text, tables_page};

fn main() -> anyhow::Result<()> {
    for (path, text) in [(SCHEMA, schema_text()?), (PAGE, page()?), (TABLES, tables_page()?)] {
        std::fs::write(path, text).with_context(|| format!("{path}: writing failed"))?;
    }
    Ok(())
}
