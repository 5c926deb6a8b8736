//! Parquet files in blocks of rows, every value as text.

use std::fmt::Display;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use crate::error::Error;
use crate::parquet_schema::{columns_of, resolve};
use crate::parquet_text::Column;
use crate::raw_file::RawFile;
use crate::record::{Content, Field, Found, Reason, Record, Row, Value, Visit, missing_value};
use crate::values::Nulls;

/// Fewest and most rows of a block.
const ROWS: (usize, usize) = (1 << 10, 1 << 16);
/// Rows that are decoded at once.
const BATCH: usize = 1 << 12;

/// Cuts a file into blocks of rows.
pub(crate) struct Cutter {
    shared: Arc<Shared>,
    group: usize,
    /// Rows of the group that are in earlier blocks.
    offset: usize,
    /// Rows of the file that are in earlier blocks.
    row: u64,
}

/// What the blocks of a file share.
struct Shared {
    file: RawFile,
    fields: Vec<Field>,
    nulls: Arc<Nulls>,
    metadata: ArrowReaderMetadata,
    /// The columns that are decoded.
    mask: ProjectionMask,
    /// By wanted field: the names that lead to it, none if the file lacks it.
    paths: Vec<Option<Vec<String>>>,
}

/// Some rows of a row group, still to be decoded.
pub(crate) struct Rows {
    shared: Arc<Shared>,
    group: usize,
    offset: usize,
    count: usize,
    /// Rows of the file before these.
    before: u64,
}

/// Runs a step of the Parquet reader, which panics on some damaged files.
fn unbroken<T>(file: &RawFile, step: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(step)).unwrap_or_else(|_| Err(damaged(file, "damaged pages")))
}

fn damaged(file: &RawFile, found: impl Display) -> Error {
    let found = crate::printable(found.to_string().as_bytes(), 300);
    file.bad(format!("expected a readable Parquet file, found {found}; write it again"))
}

/// True if `file` is a Parquet file without rows.
pub(crate) fn has_no_rows(file: &RawFile) -> bool {
    rows(file).is_ok_and(|rows| rows == 0)
}

/// The rows of a Parquet file, as its metadata has them.
pub(crate) fn rows(file: &RawFile) -> Result<u64, Error> {
    Ok(u64::try_from(load(file)?.metadata().file_metadata().num_rows()).unwrap_or(0))
}

fn load(file: &RawFile) -> Result<ArrowReaderMetadata, Error> {
    let opened = File::open(&file.path).map_err(|e| file.failed("opening", e))?;
    unbroken(file, || ArrowReaderMetadata::load(&opened, ArrowReaderOptions::new()).map_err(|e| damaged(file, e)))
}

impl Cutter {
    /// Opens `file` and finds the wanted `fields`. Returns the names of its columns too.
    pub(crate) fn open(file: &RawFile, nulls: Arc<Nulls>, fields: &[Field]) -> Result<(Cutter, Vec<String>), Error> {
        let metadata = load(file)?;
        if metadata.metadata().file_metadata().num_rows() == 0 {
            return Err(file.bad("expected records, found none; remove the file or write it again"));
        }
        let schema = metadata.schema().clone();
        let paths = fields.iter().map(|field| resolve(file, &schema, field)).collect::<Result<Vec<_>, _>>()?;
        let columns = metadata.parquet_schema();
        let wanted = |leaf: &usize| {
            let parts = columns.column(*leaf).path().parts().to_vec();
            paths.iter().flatten().any(|path| parts.starts_with(path))
        };
        let mask = ProjectionMask::leaves(columns, (0..columns.num_columns()).filter(wanted));
        let names = columns_of(&schema);
        let shared = Shared { file: file.clone(), fields: fields.to_vec(), nulls, metadata, mask, paths };
        Ok((Cutter { shared: Arc::new(shared), group: 0, offset: 0, row: 0 }, names))
    }

    /// The next rows, about `bytes` of them.
    pub(crate) fn next(&mut self, bytes: usize) -> Option<Rows> {
        loop {
            let group = self.shared.metadata.metadata().row_groups().get(self.group)?;
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            if self.offset >= rows {
                (self.group, self.offset) = (self.group + 1, 0);
                continue;
            }
            let wanted = group.columns().iter().enumerate().filter(|(leaf, _)| self.shared.mask.leaf_included(*leaf));
            let size: i64 = wanted.map(|(_, column)| column.uncompressed_size().max(0)).sum();
            let row_size = usize::try_from(size).unwrap_or(0) / rows + 1;
            let count = (bytes / row_size).clamp(ROWS.0, ROWS.1).min(rows - self.offset);
            let block =
                Rows { shared: self.shared.clone(), group: self.group, offset: self.offset, count, before: self.row };
            self.offset += count;
            self.row += count as u64;
            return Some(block);
        }
    }
}

impl Rows {
    /// Visits the rows; a record's line is its row, from 1.
    pub(crate) fn visit<E: From<Error>>(&self, visit: &mut Visit<E>) -> Result<Found, E> {
        let shared = &*self.shared;
        let file = &shared.file;
        let mut reader = unbroken(file, || self.reader())?;
        let mut row = self.before;
        while let Some(batch) = unbroken(file, || reader.next().transpose().map_err(|e| damaged(file, e)))? {
            let columns = unbroken(file, || shared.texts(&batch))?;
            let mut values = Vec::new();
            for at in 0..batch.num_rows() {
                row += 1;
                let outcome = shared.read(&columns, at, &mut values);
                let values = outcome.map(|()| values.as_slice());
                let content = Content::Row(&RowAt { columns: &columns, at });
                visit(&Record { line: row, span: 1, fields: 0, values, content })?;
            }
        }
        if row != self.before + self.count as u64 {
            Err(damaged(file, "fewer rows than it declares"))?;
        }
        Ok(shared.paths.iter().map(Option::is_some).collect())
    }

    fn reader(&self) -> Result<ParquetRecordBatchReader, Error> {
        let file = &self.shared.file;
        // Each block opens the file again: a copied handle would share its position with those in other threads.
        let opened = File::open(&file.path).map_err(|e| file.failed("opening", e))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, self.shared.metadata.clone());
        let builder = builder.with_row_groups(vec![self.group]).with_projection(self.shared.mask.clone());
        let builder = builder.with_offset(self.offset).with_limit(self.count).with_batch_size(BATCH);
        builder.build().map_err(|e| damaged(file, e))
    }
}

impl Shared {
    fn texts(&self, batch: &RecordBatch) -> Result<Vec<Column>, Error> {
        let column = |(field, path): (&Field, &Option<Vec<String>>)| match path {
            None => Ok(Column::Absent),
            Some(path) => Column::new(batch, path)
                .map_err(|problem| damaged(&self.file, format!("column `{}`: {problem}", field.name))),
        };
        self.fields.iter().zip(&self.paths).map(column).collect()
    }

    fn read<'a>(&self, columns: &'a [Column], at: usize, values: &mut Vec<Value<'a>>) -> Result<(), Reason> {
        values.clear();
        for (field, column) in self.fields.iter().zip(columns) {
            let value = column.value(field, at, &self.nulls)?;
            if field.required && value == Value::Missing {
                return Err(missing_value(field));
            }
            values.push(value);
        }
        Ok(())
    }
}

/// A row of a batch.
#[derive(Debug)]
struct RowAt<'c> {
    columns: &'c [Column],
    at: usize,
}

impl Row for RowAt<'_> {
    fn text(&self) -> String {
        let texts: Vec<String> = self.columns.iter().map(|column| column.shown(self.at)).collect();
        texts.join("\t")
    }
}
