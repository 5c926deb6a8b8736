//! The SQL that makes a run's tables views.

use anyhow::Context;
use tables::{Column, ColumnType, Schema};

use crate::batch;
use crate::listing;
use crate::scan::FUNCTION;
use crate::sources::{Run, Source};

/// The views of a session: every table that a stage writes, whether it is there or not, and the table `tables`.
///
/// # Errors
/// [`tables::Error::BadSchema`].
pub(crate) fn of_session() -> tables::Result<String> {
    let written = Schema::all()?.iter().filter(|schema| !schema.stages.is_empty());
    let view = |schema: &Schema| view(schema, &format!("FROM {FUNCTION}({})", text(&schema.name)));
    Ok(written.chain([listing::schema()]).map(view).collect())
}

/// The views of a database file, over the tables that are there, for clients that know nothing of this program: their
/// paths are absolute.
///
/// # Errors
/// A path that is none any more.
pub(crate) fn of_file(run: &Run) -> anyhow::Result<String> {
    let mut sql = String::new();
    let mut listed = Vec::new();
    for (table, sources) in run.tables() {
        let schema = Schema::named(table)?;
        let parts = sources.iter().map(|source| selection(schema, source)).collect::<anyhow::Result<Vec<_>>>()?;
        sql += &view(schema, &parts.join(" UNION ALL "));
        listed.extend(sources.iter().flat_map(|source| listed_columns(schema, source)));
    }
    let names: Vec<&str> = listing::schema().columns.iter().map(|column| column.name.as_str()).collect();
    let values = format!("FROM (VALUES {}) AS t({})", listed.join(", "), names.join(", "));
    Ok(sql + &view(listing::schema(), &values))
}

/// A view with the comments of its table.
fn view(schema: &Schema, query: &str) -> String {
    let name = identifier(&schema.name);
    let description = text(&schema.description);
    let mut sql = format!("CREATE VIEW {name} AS {query};\nCOMMENT ON VIEW {name} IS {description};\n");
    for column in &schema.columns {
        let comment = match column.unit.as_str() {
            "" => column.meaning.clone(),
            unit => format!("{} [{unit}]", column.meaning),
        };
        sql += &format!("COMMENT ON COLUMN {name}.{} IS {};\n", identifier(&column.name), text(&comment));
    }
    sql
}

fn selection(schema: &Schema, source: &Source) -> anyhow::Result<String> {
    let stage = batch::is_shared(schema).then(|| format!("{} AS stage", text(&source.stage)));
    let columns: Vec<String> = stage.into_iter().chain(schema.columns.iter().map(expression)).collect();
    let file = |(path, _): (std::path::PathBuf, _)| {
        let path = std::path::absolute(&path).with_context(|| format!("{}: no path", path.display()))?;
        Ok(text(&path.to_string_lossy()))
    };
    let files = source.files().into_iter().map(file).collect::<anyhow::Result<Vec<_>>>()?;
    Ok(format!("SELECT {} FROM read_parquet([{}])", columns.join(", "), files.join(", ")))
}

/// A time is stored as an instant. It becomes a time without zone, in UTC, whatever the client's time zone is.
fn expression(column: &Column) -> String {
    let name = identifier(&column.name);
    match column.kind {
        ColumnType::Timestamp => format!("make_timestamp(epoch_us({name})) AS {name}"),
        _ => name,
    }
}

fn listed_columns(schema: &Schema, source: &Source) -> Vec<String> {
    let rows = source.rows.map_or("NULL".into(), |rows| rows.to_string());
    let cells = listing::columns(schema, &source.stage);
    cells.map(|cells| format!("({}, {rows}::BIGINT)", cells.map(text).join(", "))).collect()
}

/// `text` as an SQL string.
pub(crate) fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// `name` as an SQL identifier.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
