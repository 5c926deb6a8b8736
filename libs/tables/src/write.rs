//! Writing a table: columns checked against the schema, rows against its sort order.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{ArrayRef, RecordBatch};
use arrow::row::{OwnedRow, RowConverter, SortField};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::commit::file_entry;
use crate::rows::{Rows, checked_batch};
use crate::{Error, Result, Schema, TableEntry};

/// How a table is divided into files, and their compression.
#[derive(Debug, Clone, Copy)]
pub struct WriteOptions {
    /// Largest number of rows of a file.
    pub rows_per_file: usize,
    /// Largest number of rows of a row group.
    pub rows_per_group: usize,
    /// zstd level, 1..=22.
    pub zstd_level: i32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        WriteOptions { rows_per_file: 2_000_000, rows_per_group: 131_072, zstd_level: 3 }
    }
}

/// Writes one table as `dir/<name>/part-00000.parquet`, ...
///
/// `dir` is the folder of an [`crate::OutputDir`], so readers see nothing before its commit.
pub struct TableWriter {
    dir: PathBuf,
    schema: &'static Schema,
    options: WriteOptions,
    metadata: Vec<KeyValue>,
    order: RowConverter,
    last: Option<OwnedRow>,
    file: Option<ArrowWriter<File>>,
    rows_in_file: usize,
    parts: Vec<PathBuf>,
    rows: usize,
}

impl TableWriter {
    /// Begins the table `name` in `dir`. `metadata` goes into every file's key-value metadata.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`], [`Error::Io`].
    pub fn create(dir: &Path, name: &str, options: WriteOptions, metadata: &[(&str, &str)]) -> Result<TableWriter> {
        let schema = Schema::named(name)?;
        let dir = dir.join(name);
        fs::create_dir_all(&dir).map_err(Error::io(&dir, "creating"))?;
        let order = sort_keys(&dir, schema)?;
        let metadata = table_metadata(schema, metadata);
        let mut writer = TableWriter {
            dir,
            schema,
            options,
            metadata,
            order,
            last: None,
            file: None,
            rows_in_file: 0,
            parts: Vec::new(),
            rows: 0,
        };
        // An empty table is one file without rows, so that readers still find its columns.
        writer.next_file()?;
        Ok(writer)
    }

    /// Appends rows.
    ///
    /// # Errors
    /// [`Error::BadRows`] for columns that are not the schema's, [`Error::Unsorted`], [`Error::Io`].
    pub fn write<T>(&mut self, rows: Rows<'_, T>) -> Result<()> {
        let batch = rows.into_batch(&self.dir, self.schema)?;
        self.append(&batch)
    }

    /// Appends rows that were read from an earlier version of the same table.
    ///
    /// # Errors
    /// As [`TableWriter::write`].
    pub fn write_batch(&mut self, batch: &RecordBatch) -> Result<()> {
        let batch = checked_batch(&self.dir, self.schema, batch)?;
        self.append(&batch)
    }

    fn append(&mut self, batch: &RecordBatch) -> Result<()> {
        self.check_order(batch)?;
        let mut start = 0;
        while start < batch.num_rows() {
            if self.rows_in_file == self.options.rows_per_file {
                self.next_file()?;
            }
            let length = (batch.num_rows() - start).min(self.options.rows_per_file - self.rows_in_file);
            if let Some(file) = &mut self.file {
                file.write(&batch.slice(start, length)).map_err(Error::parquet(&self.dir))?;
            }
            self.rows_in_file += length;
            start += length;
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    /// Closes the table and returns its manifest entry.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn finish(mut self) -> Result<TableEntry> {
        self.close_file()?;
        table_entry(&self.dir, self.schema, self.rows, &self.parts)
    }

    fn next_file(&mut self) -> Result<()> {
        self.close_file()?;
        let path = part_path(&self.dir, self.parts.len());
        let properties = properties(&path, self.options, self.metadata.clone())?;
        let file = File::create(&path).map_err(Error::io(&path, "creating"))?;
        let writer = ArrowWriter::try_new(file, self.schema.arrow(), Some(properties));
        self.file = Some(writer.map_err(Error::parquet(&path))?);
        self.rows_in_file = 0;
        self.parts.push(path);
        Ok(())
    }

    fn close_file(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.close().map_err(Error::parquet(&self.dir))?;
        }
        Ok(())
    }

    fn check_order(&mut self, batch: &RecordBatch) -> Result<()> {
        if self.schema.sort.is_empty() || batch.num_rows() == 0 {
            return Ok(());
        }
        let keys: Vec<ArrayRef> = sort_columns(self.schema).map(|i| batch.column(i).clone()).collect();
        let keys = self.order.convert_columns(&keys).map_err(Error::arrow(&self.dir))?;
        for (i, key) in keys.iter().enumerate() {
            let before = if i == 0 { self.last.as_ref().map(OwnedRow::row) } else { Some(keys.row(i - 1)) };
            if before.is_some_and(|before| before > key) {
                return Err(unsorted(&self.dir, self.schema, self.rows + i));
            }
        }
        self.last = Some(keys.row(batch.num_rows() - 1).owned());
        Ok(())
    }
}

/// The path of a table's part.
pub(crate) fn part_path(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("part-{number:05}.parquet"))
}

/// The manifest entry of a closed table.
pub(crate) fn table_entry(dir: &Path, schema: &Schema, rows: usize, parts: &[PathBuf]) -> Result<TableEntry> {
    let files = parts.iter().map(|part| {
        let name = part.file_name().unwrap_or_default().to_string_lossy();
        file_entry(dir.parent().unwrap_or(dir), format!("{}/{name}", schema.name))
    });
    Ok(TableEntry { schema_version: schema.version, rows: rows as u64, files: files.collect::<Result<_>>()? })
}

/// What makes sort keys of a table's sort columns.
pub(crate) fn sort_keys(dir: &Path, schema: &'static Schema) -> Result<RowConverter> {
    let fields = sort_columns(schema).map(|i| SortField::new(schema.columns[i].kind.arrow())).collect();
    RowConverter::new(fields).map_err(Error::arrow(dir))
}

/// The error of a row that comes before the one above it.
pub(crate) fn unsorted(dir: &Path, schema: &'static Schema, row: usize) -> Error {
    Error::Unsorted { path: dir.to_path_buf(), table: &schema.name, row, order: schema.sort.clone() }
}

/// The bytes of one Parquet file that holds `batch`.
pub(crate) fn encode_part(
    path: &Path,
    schema: &'static Schema,
    batch: RecordBatch,
    metadata: &[(&str, &str)],
) -> Result<Vec<u8>> {
    let properties = properties(path, WriteOptions::default(), table_metadata(schema, metadata))?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema.arrow(), Some(properties)).map_err(Error::parquet(path))?;
    writer.write(&batch).map_err(Error::parquet(path))?;
    writer.into_inner().map_err(Error::parquet(path))
}

pub(crate) fn table_metadata(schema: &Schema, extra: &[(&str, &str)]) -> Vec<KeyValue> {
    let version = schema.version.to_string();
    let own = [("disranker.table", schema.name.as_str()), ("disranker.schema_version", &version)];
    own.iter().chain(extra).map(|(key, value)| KeyValue::new(key.to_string(), value.to_string())).collect()
}

pub(crate) fn properties(path: &Path, options: WriteOptions, metadata: Vec<KeyValue>) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(options.zstd_level).map_err(Error::parquet(path))?;
    Ok(WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(options.rows_per_group))
        .set_key_value_metadata(Some(metadata))
        .build())
}

/// Indices of the sort columns; the crate's tests check that each exists.
pub(crate) fn sort_columns(schema: &'static Schema) -> impl Iterator<Item = usize> {
    schema.sort.iter().filter_map(|name| schema.columns.iter().position(|column| &column.name == name))
}
