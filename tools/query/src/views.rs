//! The SQL that makes a run's tables views.

use std::collections::BTreeMap;

use tables::{Column, ColumnType, Schema};

use crate::sources::Source;

/// The table that more than one stage writes; its view tells them apart by the column `stage`.
const SHARED: &str = "training_metrics";

/// Statements that make every table a view with comments, and the view `tables` that lists them.
///
/// # Errors
/// [`tables::Error::UnknownSchema`].
pub(crate) fn definitions(found: &BTreeMap<String, Vec<Source>>) -> tables::Result<String> {
    let mut sql = String::new();
    let mut listing = Vec::new();
    for (table, sources) in found {
        let schema = Schema::named(table)?;
        sql += &view(schema, sources);
        listing.extend(sources.iter().flat_map(|source| list(schema, source)));
    }
    sql += &format!(
        "CREATE OR REPLACE VIEW tables AS SELECT * FROM (VALUES {}) \
         AS t(table_name, stage, column_name, type, unit, meaning, rows);\n\
         COMMENT ON VIEW tables IS 'One row per table, stage and column of the run.';\n",
        listing.join(", ")
    );
    Ok(sql)
}

fn view(schema: &Schema, sources: &[Source]) -> String {
    let name = identifier(&schema.name);
    let parts: Vec<String> = sources.iter().map(|source| selection(schema, source)).collect();
    let mut sql = format!(
        "CREATE OR REPLACE VIEW {name} AS {};\nCOMMENT ON VIEW {name} IS {};\n",
        parts.join(" UNION ALL "),
        text(&schema.description)
    );
    for column in &schema.columns {
        let comment = match column.unit.as_str() {
            "" => column.meaning.clone(),
            unit => format!("{} [{unit}]", column.meaning),
        };
        let column = identifier(&column.name);
        sql += &format!("COMMENT ON COLUMN {name}.{column} IS {};\n", text(&comment));
    }
    sql
}

fn selection(schema: &Schema, source: &Source) -> String {
    let stage = (schema.name == SHARED).then(|| format!("{} AS stage", text(&source.stage)));
    let columns: Vec<String> = stage.into_iter().chain(schema.columns.iter().map(expression)).collect();
    format!("SELECT {} FROM {}", columns.join(", "), parquet(source))
}

/// A time is stored as an instant; without a time zone it reads as UTC and needs no extension.
fn expression(column: &Column) -> String {
    let name = identifier(&column.name);
    match column.kind {
        ColumnType::Timestamp => format!("CAST({name} AS TIMESTAMP) AS {name}"),
        _ => name,
    }
}

fn list(schema: &Schema, source: &Source) -> Vec<String> {
    let rows = match source.rows {
        Some(rows) => format!("{rows}::BIGINT"),
        None => format!("(SELECT count(*) FROM {})", parquet(source)),
    };
    let row = |column: &Column| {
        let cells = [&schema.name, &source.stage, &column.name, sql_type(column.kind), &column.unit, &column.meaning];
        format!("({}, {rows})", cells.map(text).join(", "))
    };
    schema.columns.iter().map(row).collect()
}

fn parquet(source: &Source) -> String {
    let files: Vec<String> = source.files.iter().map(|file| text(&file.to_string_lossy())).collect();
    format!("read_parquet([{}])", files.join(", "))
}

fn sql_type(kind: ColumnType) -> &'static str {
    match kind {
        ColumnType::String => "VARCHAR",
        ColumnType::Bool => "BOOLEAN",
        ColumnType::Int32 => "INTEGER",
        ColumnType::Int64 => "BIGINT",
        ColumnType::Float32 => "FLOAT",
        ColumnType::Float64 => "DOUBLE",
        ColumnType::Timestamp => "TIMESTAMP",
        ColumnType::ListInt32 => "INTEGER[]",
    }
}

/// `text` as an SQL string.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `name` as an SQL identifier.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
