//! Typed access to a table's columns by name.

use std::path::PathBuf;

use arrow::array::{
    Array, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray,
};

use crate::{Error, Result, Schema};

/// A table in memory, whose columns are read by name and type.
#[derive(Debug, Clone)]
pub struct Columns {
    batch: RecordBatch,
    path: PathBuf,
    schema: &'static Schema,
}

macro_rules! typed {
    ($(#[$doc:meta] $name:ident -> $array:ty;)*) => {$(
        #[$doc]
        ///
        /// # Errors
        /// [`Error::SchemaMismatch`] where the table has no such column of this type.
        pub fn $name(&self, column: &str) -> Result<&$array> {
            let found = self.batch.column_by_name(column);
            found.and_then(|array| array.as_any().downcast_ref()).ok_or_else(|| Error::SchemaMismatch {
                path: self.path.clone(),
                table: &self.schema.name,
                version: self.schema.version,
                expected: format!("column `{column}` as {}", stringify!($name)),
                found: found.map_or("no such column".into(), |array| array.data_type().to_string()),
            })
        }
    )*};
}

impl Columns {
    pub(crate) fn new(batch: RecordBatch, path: PathBuf, schema: &'static Schema) -> Columns {
        Columns { batch, path, schema }
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    typed! {
        /// A text column.
        strings -> StringArray;
        /// A true-or-false column.
        bools -> BooleanArray;
        /// A 32-bit integer column.
        int32s -> Int32Array;
        /// A 64-bit integer column.
        int64s -> Int64Array;
        /// A 32-bit float column.
        float32s -> Float32Array;
        /// A 64-bit float column.
        float64s -> Float64Array;
        /// A column of lists of 32-bit integers, as [`Columns::int32_list`] reads them.
        lists -> ListArray;
    }

    /// Row `row` of a column of 32-bit integer lists.
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`] where the table has no such column of this type.
    pub fn int32_list(&self, column: &str, row: usize) -> Result<Vec<i32>> {
        let values = self.lists(column)?.value(row);
        let values = values.as_any().downcast_ref::<Int32Array>();
        Ok(values.map(|values| values.values().to_vec()).unwrap_or_default())
    }
}
