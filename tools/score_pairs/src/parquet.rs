//! Pairs as Parquet.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use files::AtomicFile;
use nn::text::Texts;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use pipeline::BadInput;

use crate::{COLUMNS, ROWS, SCORE, Scorer, check_names, not_text, unreadable};

/// Rows of a row group of the output.
const ROWS_PER_GROUP: usize = 32_768;
/// zstd level of the output.
const ZSTD_LEVEL: i32 = 3;

/// Scores every row; returns their number.
pub(crate) fn score(scorer: &Scorer<'_>, pairs: &Path, out: &Path) -> anyhow::Result<u64> {
    let file = File::open(pairs).map_err(|cause| unreadable(pairs, &cause))?;
    let builder = unbroken(pairs, || Ok(ParquetRecordBatchReaderBuilder::try_new(file)?))?;
    let before = builder.schema().clone();
    check_schema(pairs, &before)?;
    let mut reader = unbroken(pairs, || Ok(builder.with_batch_size(ROWS).build()?))?;

    let score = Arc::new(Field::new(SCORE, DataType::Float32, false));
    let fields: Vec<_> = before.fields().iter().cloned().chain([score]).collect();
    let after = Arc::new(Schema::new_with_metadata(fields, before.metadata().clone()));
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
        .build();
    let writing = || format!("{}: writing failed", out.display());
    let mut writer =
        ArrowWriter::try_new(AtomicFile::create(out)?, after.clone(), Some(properties)).with_context(writing)?;
    let mut rows = 0;
    while let Some(batch) = unbroken(pairs, || Ok(reader.next().transpose()?))? {
        let scores = scorer.scores(&texts(pairs, rows, &text_columns(pairs, &batch)?)?)?;
        let scores: ArrayRef = Arc::new(Float32Array::from(scores));
        let columns = batch.columns().iter().cloned().chain([scores]).collect();
        writer.write(&RecordBatch::try_new(after.clone(), columns)?).with_context(writing)?;
        rows += batch.num_rows();
    }
    writer.into_inner().with_context(writing)?.commit()?;
    Ok(rows as u64)
}

/// Runs a step of the Parquet reader, which a damaged file can make fail or panic.
fn unbroken<T>(path: &Path, step: impl FnOnce() -> anyhow::Result<T>) -> Result<T, BadInput> {
    let reason = match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => return Ok(value),
        Ok(Err(error)) => format!("{error:#}"),
        Err(_) => "damaged pages".into(),
    };
    Err(BadInput(format!("{}: expected a readable Parquet file, found {reason}; write it again", path.display())))
}

fn check_schema(path: &Path, schema: &Schema) -> Result<(), BadInput> {
    let place = path.display().to_string();
    check_names(&place, schema.fields().iter().map(|field| field.name().as_str()))?;
    for column in COLUMNS {
        if let Ok(field) = schema.field_with_name(column.name)
            && !is_text(field.data_type())
            && !(column.nullable && field.data_type() == &DataType::Null)
        {
            return Err(not_text(&place, column, field.data_type()));
        }
    }
    Ok(())
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

/// Query, title and summary of a batch.
fn text_columns(path: &Path, batch: &RecordBatch) -> anyhow::Result<[StringArray; 3]> {
    let column = |name: &str| -> anyhow::Result<StringArray> {
        let values = batch.column_by_name(name).with_context(|| format!("{}: no column `{name}`", path.display()))?;
        let text = cast(values, &DataType::Utf8)?;
        text.as_any().downcast_ref::<StringArray>().cloned().with_context(|| format!("`{name}` is not text"))
    };
    let [query, title, summary] = COLUMNS.map(|each| column(each.name));
    Ok([query?, title?, summary?])
}

/// The pairs of a batch whose first row is `before` rows into the file.
fn texts<'a>(path: &Path, before: usize, columns: &'a [StringArray; 3]) -> Result<Vec<Texts<'a>>, BadInput> {
    let [query, title, summary] = columns;
    let or_empty = |column: &'a StringArray, row: usize| if column.is_null(row) { "" } else { column.value(row) };
    let text = |row: usize| {
        if query.is_null(row) {
            return Err(not_text(&format!("{}: row {}", path.display(), before + row + 1), COLUMNS[0], &"null"));
        }
        Ok(Texts { query: query.value(row), title: or_empty(title, row), summary: or_empty(summary, row) })
    };
    (0..query.len()).map(text).collect()
}
