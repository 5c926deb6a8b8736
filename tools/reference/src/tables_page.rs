//! The page that describes the tables.

use std::fmt::Write;

use pipeline::stages;
use tables::{Column, ColumnType, Schema};

use crate::cell;

/// The page of all tables, relative to the repository.
pub const TABLES: &str = "docs/tables.md";

const INTRODUCTION: &str = "# Tables

What a run's folder holds, stage by stage: zstd Parquet, in `<stage>/<table>/part-00000.parquet` and so on, which
`just sql` opens under the names of this page. [queries.md](queries.md) asks them. Rows are sorted by the columns named below each
table. A column marked `?` may be missing in a row; `unit` is a unit or the set of values. `just reference` writes this page from
[`schemas/`](../schemas), by which every read and write is checked.
";

/// The page as Markdown: the tables of each stage in the order they run, of `bench`, and those that are not part of a run.
///
/// # Errors
/// A schema that cannot be read, or written as text.
pub fn tables_page() -> anyhow::Result<String> {
    let schemas = Schema::all()?;
    let mut text = INTRODUCTION.to_string();
    for stage in stages().chain(["bench"]) {
        // A table of several stages stands with the first.
        let of_stage = |schema: &&Schema| schema.stages.first().is_some_and(|first| first == stage);
        let mut tables = schemas.iter().filter(of_stage).peekable();
        if tables.peek().is_some() {
            write!(text, "\n## Written by {stage}\n")?;
        }
        tables.try_for_each(|schema| table(&mut text, schema))?;
    }
    write!(text, "\n## In no run, or in its temporary folders\n")?;
    schemas.iter().filter(|schema| schema.stages.is_empty()).try_for_each(|schema| table(&mut text, schema))?;
    Ok(text)
}

fn table(text: &mut String, schema: &Schema) -> anyhow::Result<()> {
    write!(text, "\n### {}\n\n{}", schema.name, schema.description)?;
    if schema.stages.len() > 1 {
        let stages = schema.stages.join(" and ");
        write!(text, " Written by {stages}; in SQL, the column `stage` tells them apart.")?;
    }
    if !schema.sort.is_empty() {
        write!(text, " Sorted by {}.", schema.sort.join(", "))?;
    }
    write!(text, "\n\n| column | type | unit | meaning |\n| --- | --- | --- | --- |\n")?;
    for Column { name, kind, nullable, unit, meaning } in &schema.columns {
        let optional = if *nullable { "?" } else { "" };
        writeln!(text, "| `{name}` | {}{optional} | {} | {} |", type_name(*kind), cell(unit), cell(meaning))?;
    }
    Ok(())
}

fn type_name(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "text",
        ColumnType::Bool => "bool",
        ColumnType::Int32 => "int32",
        ColumnType::Int64 => "int64",
        ColumnType::Float32 => "float32",
        ColumnType::Float64 => "float64",
        ColumnType::Timestamp => "timestamp",
        ColumnType::ListInt32 => "list of int32",
    }
}
