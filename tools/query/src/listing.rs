//! The table `tables`: one row per table, stage and column of the run.

use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;
use tables::{Column, ColumnType, Schema};

use crate::batch;
use crate::sources::Run;

/// Its name.
pub(crate) const NAME: &str = "tables";

/// Its columns.
pub(crate) fn schema() -> &'static Schema {
    static SCHEMA: OnceLock<Schema> = OnceLock::new();
    let column = |name: &str, kind, nullable, meaning: &str| Column {
        name: name.into(),
        kind,
        nullable,
        unit: String::new(),
        meaning: meaning.into(),
    };
    let text = |name, meaning| column(name, ColumnType::String, false, meaning);
    SCHEMA.get_or_init(|| Schema {
        name: NAME.into(),
        version: 1,
        description: "One row per table, stage and column of the run.".into(),
        sort: vec!["table_name".into(), "stage".into()],
        stages: Vec::new(),
        columns: vec![
            text("table_name", "The table."),
            text("stage", "The stage that wrote these rows of it."),
            text("column_name", "The column."),
            text("type", "Its SQL type."),
            text("unit", "Unit or value set; empty where there is none."),
            text("meaning", "Description of the values."),
            column("rows", ColumnType::Int64, true, "Rows of the table that the stage wrote."),
        ],
    })
}

/// Its rows.
///
/// # Errors
/// [`ArrowError`], which columns of one length rule out.
pub(crate) fn rows(run: &Run) -> Result<RecordBatch, ArrowError> {
    let mut texts: [Vec<&str>; 6] = Default::default();
    let mut counts: Vec<Option<i64>> = Vec::new();
    for (table, sources) in run.tables() {
        let Ok(schema) = Schema::named(table) else { continue };
        for source in sources {
            for cells in columns(schema, &source.stage) {
                texts.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
                counts.push(source.rows.and_then(|rows| i64::try_from(rows).ok()));
            }
        }
    }
    let texts = texts.map(|values| Arc::new(StringArray::from(values)) as ArrayRef);
    let all = texts.into_iter().chain([Arc::new(Int64Array::from(counts)) as ArrayRef]).collect();
    RecordBatch::try_new(schema().arrow(), all)
}

/// The cells that describe the columns of a table: all but the number of rows.
pub(crate) fn columns<'a>(schema: &'a Schema, stage: &'a str) -> impl Iterator<Item = [&'a str; 6]> {
    batch::columns(schema).map(move |(name, kind)| {
        let column = schema.columns.iter().find(|column| column.name == name);
        let (unit, meaning) = column
            .map_or(("", "The stage that wrote the row."), |column| (column.unit.as_str(), column.meaning.as_str()));
        [schema.name.as_str(), stage, name, sql_type(kind), unit, meaning]
    })
}

/// The SQL name of a column's type.
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
