//! Pairs as Parquet.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow::array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use files::AtomicFile;
use nn::text::Texts;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use pipeline::BadInput;

use crate::columns::{COLUMNS, GRADE, SCORE, check_names, not_text};
use crate::pairs::{Output, Pairs, ROWS, Window, unreadable};

/// Rows of a row group of the output.
const ROWS_PER_GROUP: usize = 32_768;
/// zstd level of the output.
const ZSTD_LEVEL: i32 = 3;

/// The rows of a file.
pub(crate) struct ParquetPairs<'a> {
    path: &'a Path,
    /// Of the file, with its metadata.
    schema: SchemaRef,
    reader: ParquetRecordBatchReader,
    /// Rows that have been read.
    rows: usize,
}

/// Opens a Parquet file.
pub(crate) fn open(path: &Path) -> anyhow::Result<ParquetPairs<'_>> {
    let file = File::open(path).map_err(|cause| unreadable(path, &cause))?;
    let builder = unbroken(path, || Ok(ParquetRecordBatchReaderBuilder::try_new(file)?))?;
    let schema = builder.schema().clone();
    check_schema(path, &schema)?;
    let reader = unbroken(path, || Ok(builder.with_batch_size(ROWS).build()?))?;
    Ok(ParquetPairs { path, schema, reader, rows: 0 })
}

/// Consecutive rows.
pub(crate) struct Batch {
    batch: RecordBatch,
    /// Query, title and summary.
    texts: [StringArray; 3],
}

impl Window for Batch {
    fn texts(&self) -> Vec<Texts<'_>> {
        let [query, title, summary] = &self.texts;
        let text =
            |row| Texts { query: query.value(row), title: or_empty(title, row), summary: or_empty(summary, row) };
        (0..query.len()).map(text).collect()
    }

    fn grades(&self) -> Vec<Option<String>> {
        let grades = self.batch.column_by_name(GRADE).and_then(|values| cast(values, &DataType::Utf8).ok());
        let grades = grades.as_ref().and_then(|values| values.as_any().downcast_ref::<StringArray>());
        let grade = |row| grades.filter(|grades| !grades.is_null(row)).map(|grades| grades.value(row).to_string());
        (0..self.batch.num_rows()).map(grade).collect()
    }
}

impl Pairs for ParquetPairs<'_> {
    type Window = Batch;
    type Output = ParquetOutput;

    fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        let Some(batch) = unbroken(self.path, || Ok(self.reader.next().transpose()?))? else { return Ok(None) };
        let texts = text_columns(self.path, &batch)?;
        if let Some(row) = (0..batch.num_rows()).find(|&row| texts[0].is_null(row)) {
            let place = format!("{}: row {}", self.path.display(), self.rows + row + 1);
            Err(not_text(&place, COLUMNS[0], &"null"))?;
        }
        self.rows += batch.num_rows();
        Ok(Some(Batch { batch, texts }))
    }

    fn output(&self, out: &Path, file: AtomicFile) -> anyhow::Result<ParquetOutput> {
        let before = &self.schema;
        let score = Arc::new(Field::new(SCORE, DataType::Float32, false));
        let fields: Vec<_> = before.fields().iter().cloned().chain([score]).collect();
        let schema = Arc::new(Schema::new_with_metadata(fields, before.metadata().clone()));
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
            .set_max_row_group_row_count(Some(ROWS_PER_GROUP))
            .build();
        let failed = format!("{}: writing failed", out.display());
        let writer = ArrowWriter::try_new(file, schema.clone(), Some(properties)).with_context(|| failed.clone())?;
        Ok(ParquetOutput { schema, writer, failed })
    }
}

/// A Parquet file that is written.
pub(crate) struct ParquetOutput {
    schema: SchemaRef,
    writer: ArrowWriter<AtomicFile>,
    /// The message of a failed write.
    failed: String,
}

impl Output<Batch> for ParquetOutput {
    fn write(&mut self, window: Batch, scores: &[f32]) -> anyhow::Result<()> {
        let scores: ArrayRef = Arc::new(Float32Array::from(scores.to_vec()));
        let columns = window.batch.columns().iter().cloned().chain([scores]).collect();
        let batch = RecordBatch::try_new(self.schema.clone(), columns)?;
        self.writer.write(&batch).with_context(|| self.failed.clone())
    }

    fn finish(self) -> anyhow::Result<AtomicFile> {
        self.writer.into_inner().context(self.failed)
    }
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

fn or_empty(column: &StringArray, row: usize) -> &str {
    if column.is_null(row) { "" } else { column.value(row) }
}
