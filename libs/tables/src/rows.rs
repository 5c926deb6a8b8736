//! Rows to be written, column by column and by name.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field};

use crate::{Column, Error, Result, Schema};

/// Rows of a table: a slice of records and, for each column of the schema, its name and how a record's value is computed.
///
/// The columns may come in any order. A function for a nullable column returns an [`Option`].
///
/// ```
/// # fn main() -> tables::Result<()> {
/// # let folder = std::env::temp_dir().join(format!("disranker-rows-{}", std::process::id()));
/// use tables::{Rows, TableWriter, WriteOptions};
///
/// let documents = [("d1", "Kettle", "Boils water."), ("d2", "Whisk", "Beats eggs.")];
/// let rows = Rows::of(&documents)
///     .strings("doc_id", |document| document.0)
///     .strings("title", |document| document.1)
///     .strings("summary", |document| document.2);
///
/// let mut table = TableWriter::create(&folder, "documents", WriteOptions::default(), &[])?;
/// table.write(rows)?;
/// assert_eq!(table.finish()?.rows, 2);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use = "rows are written by `TableWriter::write` or `AppendTable::append`"]
pub struct Rows<'a, T> {
    records: &'a [T],
    columns: Vec<(String, ArrayRef)>,
}

macro_rules! typed {
    ($(#[$doc:meta] $name:ident($value:ty) -> $array:ty;)*) => {$(
        #[$doc]
        pub fn $name<V: Into<Option<$value>>>(self, column: &str, value: impl FnMut(&'a T) -> V) -> Self {
            let values: $array = self.values(value);
            self.with(column, values)
        }
    )*};
}

impl<'a, T> Rows<'a, T> {
    /// One row for each of `records`, still without columns.
    pub fn of(records: &'a [T]) -> Rows<'a, T> {
        Rows { records, columns: Vec::new() }
    }

    /// Adds a text column.
    pub fn strings<'v, V: Into<Option<&'v str>>>(self, column: &str, value: impl FnMut(&'a T) -> V) -> Self {
        let values: StringArray = self.values(value);
        self.with(column, values)
    }

    typed! {
        /// Adds a true-or-false column.
        bools(bool) -> BooleanArray;
        /// Adds a column of 32-bit integers.
        int32s(i32) -> Int32Array;
        /// Adds a column of 64-bit integers.
        int64s(i64) -> Int64Array;
        /// Adds a column of 32-bit floats.
        float32s(f32) -> Float32Array;
        /// Adds a column of 64-bit floats.
        float64s(f64) -> Float64Array;
    }

    /// Adds a column of times, microseconds since 1970 in UTC.
    pub fn timestamps<V: Into<Option<i64>>>(self, column: &str, value: impl FnMut(&'a T) -> V) -> Self {
        let values: TimestampMicrosecondArray = self.values(value);
        self.with(column, values.with_timezone("UTC"))
    }

    /// Adds a column of lists of 32-bit integers.
    pub fn int32_lists<V: AsRef<[i32]>>(self, column: &str, value: impl FnMut(&'a T) -> V) -> Self {
        let lists: Vec<V> = self.records.iter().map(value).collect();
        let field = Arc::new(Field::new("item", DataType::Int32, false));
        let offsets = OffsetBuffer::from_lengths(lists.iter().map(|list| list.as_ref().len()));
        let values: Vec<i32> = lists.iter().flat_map(|list| list.as_ref()).copied().collect();
        self.with(column, ListArray::new(field, offsets, Arc::new(Int32Array::from(values)), None))
    }

    fn values<V, N, A: FromIterator<Option<N>>>(&self, value: impl FnMut(&'a T) -> V) -> A
    where
        V: Into<Option<N>>,
    {
        self.records.iter().map(value).map(Into::into).collect()
    }

    fn with(mut self, column: &str, values: impl Array + 'static) -> Self {
        self.columns.push((column.to_string(), Arc::new(values)));
        self
    }

    /// The rows in the schema's columns and order; `path` is named in errors.
    ///
    /// # Errors
    /// [`Error::BadRows`] unless every column of the schema is there exactly once with its type, and no other.
    pub(crate) fn into_batch(self, path: &Path, schema: &'static Schema) -> Result<RecordBatch> {
        into_batch(path, schema, self.columns, self.records.len())
    }
}

/// A batch that was read from another file of the same table, checked as [`Rows::into_batch`] does.
pub(crate) fn checked_batch(path: &Path, schema: &'static Schema, batch: &RecordBatch) -> Result<RecordBatch> {
    let names = batch.schema_ref().fields().iter().map(|field| field.name().clone());
    into_batch(path, schema, names.zip(batch.columns().iter().cloned()).collect(), batch.num_rows())
}

fn into_batch(
    path: &Path,
    schema: &'static Schema,
    mut columns: Vec<(String, ArrayRef)>,
    rows: usize,
) -> Result<RecordBatch> {
    let refused = |column: &str, expected: String, found: String| Error::BadRows {
        path: path.to_path_buf(),
        table: &schema.name,
        column: column.to_string(),
        expected,
        found,
    };
    let mut arrays = Vec::with_capacity(schema.columns.len());
    for column in &schema.columns {
        let position = columns.iter().position(|(name, _)| *name == column.name);
        let position = position.ok_or_else(|| refused(&column.name, expected(column), "no such column".into()))?;
        let (name, array) = columns.swap_remove(position);
        if array.data_type() != &column.kind.arrow() {
            return Err(refused(&name, expected(column), array.data_type().to_string()));
        }
        if !column.nullable && array.null_count() > 0 {
            let row = (0..array.len()).find(|&row| array.is_null(row)).unwrap_or_default();
            return Err(refused(&name, expected(column), format!("no value in row {row}")));
        }
        arrays.push(array);
    }
    if let Some((name, _)) = columns.first() {
        let names: Vec<&str> = schema.columns.iter().map(|column| column.name.as_str()).collect();
        let known = names.contains(&name.as_str());
        let found = if known { "it twice" } else { "a column that the schema does not have" };
        let expected = if known { "it once".into() } else { format!("one of {}", names.join(", ")) };
        return Err(refused(name, expected, found.into()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema.arrow(), arrays, &options).map_err(Error::arrow(path))
}

fn expected(column: &Column) -> String {
    format!("{} {}", if column.nullable { "nullable" } else { "non-nullable" }, column.kind.arrow())
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray;
    use arrow::datatypes::Int32Type;

    use super::*;

    const JUDGMENTS: [(&str, &str, i32); 2] = [("q1", "d1", 3), ("q2", "d2", 0)];

    fn without_grade() -> Rows<'static, (&'static str, &'static str, i32)> {
        Rows::of(&JUDGMENTS)
            .strings("split", |_| "train")
            .strings("doc_id", |row| row.1)
            .strings("query_id", |row| row.0)
    }

    fn batch<T>(rows: Rows<T>, table: &str) -> Result<RecordBatch> {
        rows.into_batch(Path::new("folder"), Schema::named(table)?)
    }

    #[track_caller]
    fn refused<T>(rows: Rows<T>, table: &str, message: &str) {
        assert_eq!(batch(rows, table).unwrap_err().to_string(), message);
    }

    #[test]
    fn columns_stand_in_the_schemas_order_whatever_the_order_of_the_calls() {
        let batch = batch(without_grade().int32s("grade", |row| row.2), "judgments").unwrap();
        assert_eq!(batch.schema(), Schema::named("judgments").unwrap().arrow());
        let texts = |column: usize| batch.column(column).as_string::<i32>().iter().flatten().collect::<Vec<_>>();
        assert_eq!((texts(0), texts(1), texts(3)), (vec!["q1", "q2"], vec!["d1", "d2"], vec!["train"; 2]));
        assert_eq!(batch.column(2).as_primitive::<Int32Type>().values()[..], [3, 0]);
    }

    #[test]
    fn a_column_that_is_missing_or_misnamed_or_there_twice_is_refused() {
        let message = "folder: table `judgments`, column `grade`: expected non-nullable Int32, found no such column";
        refused(without_grade(), "judgments", message);
        refused(without_grade().int32s("grades", |row| row.2), "judgments", message);
        let rows = without_grade().int32s("grade", |row| row.2).strings("title", |_| "");
        let message = "folder: table `judgments`, column `title`: expected one of query_id, doc_id, grade, split, \
                       found a column that the schema does not have";
        refused(rows, "judgments", message);
        let rows = without_grade().int32s("grade", |row| row.2).strings("doc_id", |row| row.0);
        refused(rows, "judgments", "folder: table `judgments`, column `doc_id`: expected it once, found it twice");
    }

    #[test]
    fn another_type_or_a_missing_value_is_refused() {
        let message = "folder: table `judgments`, column `grade`: expected non-nullable Int32, found ";
        refused(without_grade().int64s("grade", |row| row.2 as i64), "judgments", &format!("{message}Int64"));
        let rows = without_grade().int32s("grade", |row| (row.2 > 0).then_some(row.2));
        refused(rows, "judgments", &format!("{message}no value in row 1"));
    }

    #[test]
    fn every_type_and_missing_values_are_kept() {
        let rows = Rows::of(&[1, 2])
            .int64s("pack", |&i| i)
            .strings("query_id", |_| "q")
            .strings("doc_id", |_| "d")
            .int32_lists("input_ids", |&i| vec![i as i32; i as usize])
            .int32s("loss_start", |_| 0)
            .int32s("length", |&i| i as i32)
            .strings("split", |_| "train");
        let lists = batch(rows, "cpt_examples").unwrap().column(3).as_list::<i32>().clone();
        assert_eq!(lists.value(1).as_primitive::<Int32Type>().values()[..], [2, 2]);

        let rows = Rows::of(&[None, Some(5)])
            .strings("search_id", |_| "s")
            .strings("session_id", |_| "s")
            .strings("user_id", |seen| seen.map(|_| "u"))
            .strings("query_id", |_| "q")
            .strings("doc_id", |_| "d")
            .int32s("position", |_| 1)
            .bools("clicked", |seen| seen.is_some())
            .float64s("dwell_seconds", |seen| seen.map(|seen| seen as f64))
            .timestamps("shown_at", |&seen| seen)
            .strings("source", |_| "log");
        let batch = batch(rows, "impressions").unwrap();
        let nulls: Vec<usize> = batch.columns().iter().map(|column| column.null_count()).collect();
        assert_eq!(nulls, [0, 0, 1, 0, 0, 0, 0, 1, 1, 0]);
    }
}
