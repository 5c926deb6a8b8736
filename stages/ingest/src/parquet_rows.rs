//! Parquet files, row by row, every value as text.

use std::borrow::Cow;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use anyhow::{Context, Result};
use arrow::array::{Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use pipeline::BadInput;

use crate::files::RawFile;
use crate::record::{Field, Found, Record, Values, Visit, check_present, missing_field, names, present};

/// Reads `file` row by row; a record's line is its row, from 1.
pub(crate) fn read(file: &RawFile, fields: &[Field], visit: &mut Visit) -> Result<Found> {
    let mut reader = unbroken(file, || open(file, fields))?;
    let mut row = 0;
    while let Some(batch) = unbroken(file, || Ok(reader.next().transpose()?))? {
        let columns = text_columns(file, fields, &batch)?;
        for at in 0..batch.num_rows() {
            row += 1;
            visit(&record(row, at, fields, &columns))?;
        }
    }
    if row == 0 {
        let problem = "expected records, found none; remove the file or write it again";
        Err(BadInput(format!("{}: {problem}", file.path.display())))?;
    }
    Ok(vec![true; fields.len()])
}

/// Runs a step of the Parquet reader, which a damaged file can make fail or panic.
fn unbroken<T>(file: &RawFile, step: impl FnOnce() -> Result<T>) -> Result<T> {
    let damaged = |reason: &dyn std::fmt::Display| {
        let path = file.path.display();
        BadInput(format!("{path}: expected a readable Parquet file, found {reason}; write it again"))
    };
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if error.is::<BadInput>() => Err(error),
        Ok(Err(error)) => Err(damaged(&format!("{error:#}")).into()),
        Err(_) => Err(damaged(&"damaged pages").into()),
    }
}

fn open(file: &RawFile, fields: &[Field]) -> Result<ParquetRecordBatchReader> {
    let bytes = File::open(&file.path).context("opening failed")?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let schema = builder.schema();
    let column = |field: &Field| {
        let at = schema.fields().iter().position(|column| *column.name() == field.name);
        let found = || names(schema.fields().iter().map(|column| column.name().as_str()));
        at.ok_or_else(|| missing_field(file, &field.name, &found()))
    };
    let columns = fields.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), columns);
    Ok(builder.with_projection(mask).build()?)
}

fn text_columns(file: &RawFile, fields: &[Field], batch: &RecordBatch) -> Result<Vec<StringArray>> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let column = |field: &Field| {
        let values = batch.column_by_name(&field.name).context("column is not there")?;
        // Times are stored in UTC whatever zone they are shown in.
        let plain = match values.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                cast_with_options(values, &DataType::Timestamp(*unit, None), &options)?
            }
            _ => values.clone(),
        };
        let text = cast_with_options(&plain, &DataType::Utf8, &options)?;
        let text = text.as_any().downcast_ref::<StringArray>();
        text.cloned().context("values are not text")
    };
    let columns = |field| {
        column(field).map_err(|e| {
            let path = file.path.display();
            BadInput(format!("{path}: column `{}`: {e:#}", field.name))
        })
    };
    Ok(fields.iter().map(columns).collect::<Result<_, _>>()?)
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
    fn read_bytes(bytes: &[u8], name: &str) -> Result<Vec<(u64, Option<String>)>> {
        let dir = tempfile::tempdir()?;
        let path = dir.path().join("x.parquet");
        std::fs::write(&path, bytes)?;
        let mut seen = Vec::new();
        read(&RawFile { path, name: "x".into() }, &[Field::required(name)], &mut |record| {
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
                prop_assert!(error.is::<BadInput>(), "{error:?}");
            }
        }
    }
}
