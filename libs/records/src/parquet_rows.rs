//! Parquet files, row by row, every value as text.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::Error;
use crate::raw_file::RawFile;
use crate::record::{Field, Found, Record, Values, Visit, check_present, missing_field, names, present};

/// Reads `file` row by row; a record's line is its row, from 1.
pub(crate) fn read<E: From<Error>>(file: &RawFile, fields: &[Field], visit: &mut Visit<E>) -> Result<Found, E> {
    let mut reader = unbroken(file, || open(file, fields))?;
    let mut row = 0;
    while let Some(batch) = unbroken(file, || reader.next().transpose().map_err(|e| damaged(file, e)))? {
        let columns = text_columns(file, fields, &batch)?;
        for at in 0..batch.num_rows() {
            row += 1;
            visit(&record(row, at, fields, &columns))?;
        }
    }
    if row == 0 {
        Err(file.bad("expected records, found none; remove the file or write it again"))?;
    }
    Ok(vec![true; fields.len()])
}

/// Runs a step of the Parquet reader, which panics on some damaged files.
fn unbroken<T>(file: &RawFile, step: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(damaged(file, "damaged pages")))
}

fn damaged(file: &RawFile, found: impl Display) -> Error {
    file.bad(format!("expected a readable Parquet file, found {found}; write it again"))
}

fn open(file: &RawFile, fields: &[Field]) -> Result<ParquetRecordBatchReader, Error> {
    let bytes = File::open(&file.path).map_err(|e| damaged(file, format!("opening failed: {e}")))?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|e| damaged(file, e))?;
    let schema = builder.schema();
    let column = |field: &Field| {
        let at = schema.fields().iter().position(|column| *column.name() == field.name);
        let found = || names(schema.fields().iter().map(|column| column.name().as_str()));
        at.ok_or_else(|| missing_field(file, &field.name, &found()))
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
    builder.with_projection(mask).build().map_err(|e| damaged(file, e))
}

fn text_columns(file: &RawFile, fields: &[Field], batch: &RecordBatch) -> Result<Vec<StringArray>, Error> {
    let column = |field: &Field| {
        text_column(batch, &field.name).map_err(|problem| file.bad(format!("column `{}`: {problem}", field.name)))
    };
    fields.iter().map(column).collect()
}

fn text_column(batch: &RecordBatch, name: &str) -> Result<StringArray, String> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let cast = |values: &dyn Array, to: &DataType| cast_with_options(values, to, &options).map_err(|e| e.to_string());
    let values = batch.column_by_name(name).ok_or("column is not there")?;
    // Times are stored in UTC whatever zone they are shown in.
    let plain = match values.data_type() {
        DataType::Timestamp(unit, Some(_)) => cast(values, &DataType::Timestamp(*unit, None))?,
        _ => values.clone(),
    };
    let text = cast(&plain, &DataType::Utf8)?;
    let text = text.as_any().downcast_ref::<StringArray>();
    Ok(text.ok_or("values are not text")?.clone())
}

fn record<'a>(row: u64, at: usize, fields: &[Field], columns: &'a [StringArray]) -> Record<'a> {
    let text = |column: &'a StringArray| column.is_valid(at).then(|| column.value(at));
    let value = |(field, column)| check_present(field, text(column).and_then(present).map(Cow::Borrowed));
    let values = fields.iter().zip(columns).map(value).collect::<Result<Values, _>>();
    let content: Vec<&str> = columns.iter().map(|column| text(column).unwrap_or_default()).collect();
    Record { line: row, span: 1, content: Cow::Owned(content.join("\t").into_bytes()), values }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BooleanArray, Float64Array, StringViewArray, TimestampMillisecondArray};
    use parquet::arrow::ArrowWriter;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn written() -> Vec<u8> {
        let ids = StringArray::from(vec![Some("x"), Some(" "), None]);
        let batch = RecordBatch::try_from_iter([("id", Arc::new(ids) as Arc<dyn Array>)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.into_inner().unwrap()
    }

    /// Row and value of each record; a refused record has none.
    fn read_bytes(bytes: &[u8], name: &str) -> Result<Vec<(u64, Option<String>)>, Error> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, bytes).unwrap();
        let mut seen = Vec::new();
        read::<Error>(&RawFile { path, name: "x".into() }, &[Field::required(name)], &mut |record| {
            let value = record.values.as_ref().ok().and_then(|values| values[0].as_deref());
            seen.push((record.line, value.map(String::from)));
            Ok(())
        })?;
        Ok(seen)
    }

    #[test]
    fn rows_are_numbered_and_blank_values_missing() {
        let seen = read_bytes(&written(), "id").unwrap();
        assert_eq!(seen, [(1, Some("x".into())), (2, None), (3, None)]);
        let error = read_bytes(&written(), "doc").unwrap_err().to_string();
        assert!(error.contains("expected a column `doc`, found `id`"), "{error}");
    }

    #[test]
    fn values_of_every_type_become_text() {
        let time = TimestampMillisecondArray::from(vec![1_300_000_000_123]);
        let columns: [(&str, Arc<dyn Array>, &str); 5] = [
            ("utc", Arc::new(time.clone().with_timezone("UTC")), "2011-03-13T07:06:40.123"),
            ("zone", Arc::new(time.with_timezone("Europe/Paris")), "2011-03-13T07:06:40.123"),
            ("flag", Arc::new(BooleanArray::from(vec![true])), "true"),
            ("float", Arc::new(Float64Array::from(vec![2.0])), "2.0"),
            ("view", Arc::new(StringViewArray::from(vec!["x"])), "x"),
        ];
        for (name, values, expected) in columns {
            let batch = RecordBatch::try_from_iter([(name, values)]).unwrap();
            let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
            writer.write(&batch).unwrap();
            let seen = read_bytes(&writer.into_inner().unwrap(), name).unwrap();
            assert_eq!(seen, [(1, Some(expected.into()))], "{name}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn damage_is_bad_input_or_unnoticed(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
            let mut bytes = written();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Err(error) = read_bytes(&bytes, "id") {
                prop_assert!(error.is_bad_input(), "{error:?}");
            }
        }
    }
}
