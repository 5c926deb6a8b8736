//! The columns that a scan returns, from those of a table's files.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, StringArray};
use arrow::datatypes::{DataType, Field};
use arrow::error::ArrowError;
use tables::{Column, ColumnType, Schema};

/// Rows of a batch: what DuckDB takes at once.
pub(crate) const BATCH_ROWS: usize = 2048;

/// The column of a table that several stages write which names the stage.
const STAGE: &str = "stage";

/// True if more than one stage writes the table; its first column then tells them apart.
pub(crate) fn is_shared(schema: &Schema) -> bool {
    schema.stages.len() > 1
}

/// Names and types of a table's columns in SQL.
pub(crate) fn columns(schema: &Schema) -> impl Iterator<Item = (&str, ColumnType)> {
    let stage = is_shared(schema).then_some((STAGE, ColumnType::String));
    stage.into_iter().chain(schema.columns.iter().map(|Column { name, kind, .. }| (name.as_str(), *kind)))
}

/// Which columns a scan returns, in order.
#[derive(Debug)]
pub(crate) struct Columns {
    /// For each, its place among those read from a file; `None` for the stage.
    places: Vec<Option<usize>>,
    /// Indices of the columns read from a file, ascending.
    of_file: Vec<usize>,
}

impl Columns {
    /// The columns with these indices in [`columns`].
    pub(crate) fn new(schema: &Schema, indices: &[usize]) -> Columns {
        let shift = usize::from(is_shared(schema));
        let mut of_file: Vec<usize> = indices.iter().filter_map(|index| index.checked_sub(shift)).collect();
        of_file.sort_unstable();
        of_file.dedup();
        let place = |index: &usize| of_file.binary_search(&index.checked_sub(shift)?).ok();
        Columns { places: indices.iter().map(place).collect(), of_file }
    }

    /// Indices of the columns to read from a file, ascending.
    pub(crate) fn of_file(&self) -> &[usize] {
        &self.of_file
    }

    /// The columns of some rows of a file that is `stage`'s.
    ///
    /// # Errors
    /// Columns that are not those of [`Columns::of_file`].
    pub(crate) fn of(&self, rows: &RecordBatch, stage: &str) -> Result<RecordBatch, ArrowError> {
        let (mut fields, mut arrays): (Vec<Arc<Field>>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for place in &self.places {
            match place {
                Some(place) => {
                    fields.push(rows.schema_ref().fields()[*place].clone());
                    arrays.push(rows.column(*place).clone());
                }
                None => {
                    fields.push(Arc::new(Field::new(STAGE, DataType::Utf8, false)));
                    arrays.push(Arc::new(StringArray::from_iter_values(std::iter::repeat_n(stage, rows.num_rows()))));
                }
            }
        }
        let schema = Arc::new(arrow::datatypes::Schema::new(fields));
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        RecordBatch::try_new_with_options(schema, arrays, &options)
    }
}
