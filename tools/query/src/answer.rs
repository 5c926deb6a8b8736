//! Rows of an answer as a table, CSV or JSON.
//!
//! DuckDB itself makes values text, so that they read as in its own shell: a query is asked with its columns cast.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use duckdb::{ArrowStream, Connection, Statement};

/// What the values of a column are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Numbers; the digits are JSON.
    Number,
    /// Numbers with a fraction, which a table may shorten.
    Float,
    /// `true` and `false`.
    Boolean,
    /// Lists, structs, maps, JSON and the like.
    Nested,
    /// Anything else.
    Text,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// A statement that can be executed for its rows.
pub(crate) struct Question<'c> {
    statement: Statement<'c>,
    /// The columns of a query. `None` for another statement, whose columns are known when it is executed.
    columns: Option<Vec<Column>>,
}

impl<'c> Question<'c> {
    /// Prepares `sql`, one statement. With `json`, nested values become JSON.
    ///
    /// # Errors
    /// DuckDB's reason.
    pub(crate) fn prepare(connection: &'c Connection, sql: &str, json: bool) -> duckdb::Result<Question<'c>> {
        // The statement as it is says first what is wrong with it.
        let statement = connection.prepare(sql)?;
        let Some(columns) = columns_of_query(connection, sql) else {
            return Ok(Question { statement, columns: None });
        };
        let (mut names, mut cells) = (Vec::new(), Vec::new());
        for (index, column) in columns.iter().enumerate() {
            names.push(format!("c{index}"));
            cells.push(match column.kind {
                Kind::Nested if json => format!("CAST(to_json(c{index}) AS VARCHAR)"),
                _ => format!("CAST(c{index} AS VARCHAR)"),
            });
        }
        let cast = format!("SELECT {} FROM (\n{sql}\n) AS answer({})", cells.join(", "), names.join(", "));
        Ok(match connection.prepare(&cast) {
            Ok(statement) => Question { statement, columns: Some(columns) },
            Err(_) => Question { statement, columns: None },
        })
    }

    /// True for a query, false for any other statement.
    pub(crate) fn is_query(&self) -> bool {
        self.columns.is_some()
    }

    /// Executes the statement.
    ///
    /// # Errors
    /// DuckDB's reason.
    pub(crate) fn ask(&mut self) -> duckdb::Result<Answer<'_>> {
        let columns = self.columns.take();
        let rows = self.statement.stream_arrow([])?;
        let columns = columns.unwrap_or_else(|| columns_of_schema(&rows.get_schema()));
        Ok(Answer { columns, rows })
    }
}

/// An executed statement.
pub(crate) struct Answer<'s> {
    /// Its columns.
    pub(crate) columns: Vec<Column>,
    rows: ArrowStream<'s>,
}

impl Answer<'_> {
    /// True for the answer of a statement such as `SET` or `INSERT`, which returns no rows but that it was done.
    pub(crate) fn is_status(&self) -> bool {
        matches!(self.columns.as_slice(), [only] if only.name == "Success" || only.name == "Count")
    }

    /// Some of the rows.
    ///
    /// # Errors
    /// DuckDB's reason, and Arrow's where it cannot show a type.
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Cells>> {
        self.rows.next().map(|batch| Ok(Cells::of(&batch?)?)).transpose()
    }
}

/// The values of some rows as text.
pub(crate) struct Cells {
    columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
}

impl Cells {
    fn of(batch: &RecordBatch) -> Result<Cells, ArrowError> {
        let columns = batch.columns().iter().map(text_of).collect::<Result<_, _>>()?;
        Ok(Cells { columns, rows: batch.num_rows() })
    }

    /// A value; `None` where it is missing.
    pub(crate) fn get(&self, row: usize, column: usize) -> Option<&str> {
        let column = self.columns[column].as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }
}

/// A column as text.
fn text_of(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    if *column.data_type() == DataType::Utf8 {
        return Ok(column.clone());
    }
    let options = FormatOptions::new().with_timestamp_format(Some("%F %T%.f")).with_datetime_format(Some("%F %T%.f"));
    let shown = ArrayFormatter::try_new(column.as_ref(), &options)?;
    // An untyped NULL has no bitmap of missing values.
    let missing = column.logical_nulls();
    let is_missing = |row| missing.as_ref().is_some_and(|nulls| nulls.is_null(row));
    let cell = |row| if is_missing(row) { Ok(None) } else { shown.value(row).try_to_string().map(Some) };
    let cells: Vec<Option<String>> = (0..column.len()).map(cell).collect::<Result<_, _>>()?;
    Ok(std::sync::Arc::new(arrow::array::StringArray::from(cells)))
}

/// Names and kinds of a query's columns; `None` for another statement.
fn columns_of_query(connection: &Connection, sql: &str) -> Option<Vec<Column>> {
    // The first form keeps repeated names; DESCRIBE, SHOW and the like are described by the second alone.
    let description = connection.prepare(&format!("DESCRIBE {sql}"));
    let mut description = description.or_else(|_| connection.prepare(&format!("DESCRIBE FROM (\n{sql}\n)"))).ok()?;
    let columns = description.query_map([], |row| {
        let kind: String = row.get(1)?;
        Ok(Column { name: row.get(0)?, kind: kind_of_type(&kind) })
    });
    columns.ok()?.collect::<duckdb::Result<_>>().ok()
}

fn kind_of_type(name: &str) -> Kind {
    let base = name.split('(').next().unwrap_or(name);
    match base {
        _ if name.ends_with(']') => Kind::Nested,
        "TINYINT" | "SMALLINT" | "INTEGER" | "BIGINT" | "HUGEINT" | "UTINYINT" | "USMALLINT" | "UINTEGER"
        | "UBIGINT" | "UHUGEINT" | "BIGNUM" | "DECIMAL" => Kind::Number,
        "FLOAT" | "DOUBLE" => Kind::Float,
        "BOOLEAN" => Kind::Boolean,
        "STRUCT" | "MAP" | "UNION" | "JSON" | "VARIANT" => Kind::Nested,
        _ => Kind::Text,
    }
}

fn columns_of_schema(schema: &arrow::datatypes::Schema) -> Vec<Column> {
    let kind = |kind: &DataType| match kind {
        DataType::Boolean => Kind::Boolean,
        kind if kind.is_floating() => Kind::Float,
        kind if kind.is_numeric() => Kind::Number,
        _ => Kind::Text,
    };
    schema.fields().iter().map(|field| Column { name: field.name().clone(), kind: kind(field.data_type()) }).collect()
}
