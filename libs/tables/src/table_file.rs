//! One Parquet file of a table, read a row group and some columns at a time.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use crate::read::check_columns;
use crate::{Error, Result, Schema};

/// An open file of a table, whose columns are the schema's. It is read from disk as asked, and not held in memory.
#[derive(Debug)]
pub struct TableFile {
    path: PathBuf,
    metadata: ArrowReaderMetadata,
    groups: usize,
}

impl TableFile {
    /// Opens a file of the table `name`. Its checksum is not verified: [`crate::StageDir::verify`] does.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`], [`Error::Io`], [`Error::Parquet`], [`Error::SchemaMismatch`].
    pub fn open(path: &Path, name: &str) -> Result<TableFile> {
        let schema = Schema::named(name)?;
        let file = File::open(path).map_err(Error::io(path, "opening"))?;
        let metadata = ArrowReaderMetadata::load(&file, ArrowReaderOptions::new()).map_err(Error::parquet(path))?;
        check_columns(path, schema, metadata.schema())?;
        let groups = metadata.metadata().num_row_groups();
        Ok(TableFile { path: path.to_path_buf(), metadata, groups })
    }

    /// Number of rows.
    #[must_use]
    pub fn rows(&self) -> u64 {
        u64::try_from(self.metadata.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// Number of row groups.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// The rows of a row group in batches of at most `rows`, with the columns of these indices in the schema's order.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Parquet`]; an item, [`Error::Arrow`].
    pub fn batches(
        &self,
        group: usize,
        columns: &[usize],
        rows: usize,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let file = File::open(&self.path).map_err(Error::io(&self.path, "opening"))?;
        let mask = ProjectionMask::roots(self.metadata.parquet_schema(), columns.iter().copied());
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone());
        let builder = builder.with_row_groups(vec![group]).with_projection(mask).with_batch_size(rows);
        let batches = builder.build().map_err(Error::parquet(&self.path))?;
        let path = self.path.clone();
        Ok(batches.map(move |batch| batch.map_err(Error::arrow(&path))))
    }
}
