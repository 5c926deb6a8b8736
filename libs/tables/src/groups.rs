//! Writing a table whose row groups are encoded by several threads.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::row::OwnedRow;
use parquet::arrow::arrow_writer::{ArrowColumnChunk, ArrowRowGroupWriterFactory, compute_leaves};
use parquet::arrow::{ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;

use crate::rows::Rows;
use crate::write::{
    WriteOptions, part_path, properties, sort_columns, sort_keys, table_entry, table_metadata, unsorted,
};
use crate::{Error, Result, Schema, TableEntry};

/// Writes one table as [`crate::TableWriter`] does, from row groups that a [`GroupEncoder`] has made.
pub struct GroupWriter {
    dir: PathBuf,
    schema: &'static Schema,
    options: WriteOptions,
    properties: Arc<WriterProperties>,
    last: Option<OwnedRow>,
    file: Option<SerializedFileWriter<File>>,
    rows_in_file: usize,
    parts: Vec<PathBuf>,
    rows: usize,
}

/// Encodes row groups of a table; used by all threads at once.
pub struct GroupEncoder {
    dir: PathBuf,
    schema: &'static Schema,
    factory: ArrowRowGroupWriterFactory,
}

/// An encoded row group.
pub struct Group {
    rows: usize,
    columns: Vec<ArrowColumnChunk>,
    /// Sort keys of the first and the last row.
    ends: Option<(OwnedRow, OwnedRow)>,
}

impl GroupWriter {
    /// Begins the table `name` in `dir`, and its encoder.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`], [`Error::Io`].
    pub fn create(dir: &Path, name: &str, options: WriteOptions) -> Result<(GroupWriter, GroupEncoder)> {
        let schema = Schema::named(name)?;
        let dir = dir.join(name);
        fs::create_dir_all(&dir).map_err(Error::io(&dir, "creating"))?;
        let mut properties = properties(&dir, options, table_metadata(schema, &[]))?;
        add_encoded_arrow_schema_to_metadata(&schema.arrow(), &mut properties);
        let mut writer = GroupWriter {
            dir: dir.clone(),
            schema,
            options,
            properties: Arc::new(properties),
            last: None,
            file: None,
            rows_in_file: 0,
            parts: Vec::new(),
            rows: 0,
        };
        let file = writer.next_file()?;
        let factory = ArrowRowGroupWriterFactory::new(file, schema.arrow());
        Ok((writer, GroupEncoder { dir, schema, factory }))
    }

    /// Appends a row group, which must follow those before it in the table's order.
    ///
    /// # Errors
    /// [`Error::Unsorted`], [`Error::Io`].
    pub fn append(&mut self, group: Group) -> Result<()> {
        let Some((first, last)) = group.ends else { return Ok(()) };
        if self.last.as_ref().is_some_and(|before| before.row() > first.row()) {
            return Err(unsorted(&self.dir, self.schema, self.rows));
        }
        self.last = Some(last);
        if self.rows_in_file > 0 && self.rows_in_file + group.rows > self.options.rows_per_file {
            self.next_file()?;
        }
        if let Some(file) = &mut self.file {
            let mut row_group = file.next_row_group().map_err(Error::parquet(&self.dir))?;
            for column in group.columns {
                column.append_to_row_group(&mut row_group).map_err(Error::parquet(&self.dir))?;
            }
            row_group.close().map_err(Error::parquet(&self.dir))?;
        }
        self.rows_in_file += group.rows;
        self.rows += group.rows;
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

    fn next_file(&mut self) -> Result<&SerializedFileWriter<File>> {
        self.close_file()?;
        let path = part_path(&self.dir, self.parts.len());
        let columns = ArrowSchemaConverter::new().convert(&self.schema.arrow()).map_err(Error::parquet(&path))?;
        let file = File::create(&path).map_err(Error::io(&path, "creating"))?;
        let writer = SerializedFileWriter::new(file, columns.root_schema_ptr(), self.properties.clone());
        self.rows_in_file = 0;
        self.parts.push(path);
        Ok(self.file.insert(writer.map_err(Error::parquet(&self.dir))?))
    }

    fn close_file(&mut self) -> Result<()> {
        if let Some(file) = self.file.take() {
            file.close().map_err(Error::parquet(&self.dir))?;
        }
        Ok(())
    }
}

impl GroupEncoder {
    /// Encodes `rows` as one row group.
    ///
    /// # Errors
    /// [`Error::BadRows`] for columns that are not the schema's, [`Error::Unsorted`].
    pub fn encode<T>(&self, rows: Rows<'_, T>) -> Result<Group> {
        let batch = rows.into_batch(&self.dir, self.schema)?;
        let keys: Vec<ArrayRef> = sort_columns(self.schema).map(|i| batch.column(i).clone()).collect();
        let keys = sort_keys(&self.dir, self.schema)?.convert_columns(&keys).map_err(Error::arrow(&self.dir))?;
        let rows = batch.num_rows();
        if let Some(row) = (1..rows).find(|&row| keys.row(row - 1) > keys.row(row)) {
            return Err(unsorted(&self.dir, self.schema, row));
        }
        let ends = rows.checked_sub(1).map(|last| (keys.row(0).owned(), keys.row(last).owned()));
        let writers = self.factory.create_column_writers(0).map_err(Error::parquet(&self.dir))?;
        let mut writers = writers.into_iter();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, values) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, values).map_err(Error::parquet(&self.dir))? {
                let Some(mut writer) = writers.next() else { continue };
                writer.write(&leaf).map_err(Error::parquet(&self.dir))?;
                columns.push(writer.close().map_err(Error::parquet(&self.dir))?);
            }
        }
        Ok(Group { rows, columns, ends })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Manifest, OutputDir};

    fn rows(records: &[(String, i64)]) -> Rows<'_, (String, i64)> {
        Rows::of(records)
            .strings("query_id", |row| row.0.as_str())
            .strings("query", |_| "text")
            .int64s("searches", |row| row.1)
            .strings("split", |_| "train")
    }

    #[test]
    fn groups_of_several_threads_are_one_table() {
        let root = tempfile::tempdir().unwrap();
        let out = OutputDir::open(root.path(), "ingest", false).unwrap();
        let options = WriteOptions { rows_per_file: 250, ..WriteOptions::default() };
        let (mut writer, encoder) = GroupWriter::create(out.path(), "queries", options).unwrap();
        let groups: Vec<Vec<(String, i64)>> =
            (0..4).map(|group| (0..100).map(|row| (format!("{:05}", group * 100 + row), row)).collect()).collect();
        let encoded: Vec<Group> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                groups.iter().map(|group| scope.spawn(|| encoder.encode(rows(group)).unwrap())).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        encoded.into_iter().for_each(|group| writer.append(group).unwrap());
        let entry = writer.finish().unwrap();
        assert_eq!((entry.rows, entry.files.len()), (400, 2));
        let tables = [("queries".to_string(), entry)].into();
        let stage = out.commit(Manifest { stage: "ingest".into(), tables, ..Manifest::default() }).unwrap();
        let table = stage.table("queries").unwrap();
        let ids = table.strings("query_id").unwrap();
        assert!((0..400).all(|row| ids.value(row) == groups[row / 100][row % 100].0));
    }

    #[test]
    fn the_order_is_checked_within_and_between_groups() {
        let root = tempfile::tempdir().unwrap();
        let (mut writer, encoder) = GroupWriter::create(root.path(), "queries", WriteOptions::default()).unwrap();
        let unsorted = [("b".to_string(), 1), ("a".to_string(), 1)];
        assert!(matches!(encoder.encode(rows(&unsorted)), Err(Error::Unsorted { row: 1, .. })));
        let [a, b] = ["a", "b"].map(|id| [(id.to_string(), 1)]);
        writer.append(encoder.encode(rows(&b)).unwrap()).unwrap();
        let error = writer.append(encoder.encode(rows(&a)).unwrap());
        assert!(matches!(error, Err(Error::Unsorted { row: 1, .. })));
    }
}
