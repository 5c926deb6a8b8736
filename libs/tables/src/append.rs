//! A table that grows while a stage runs: each append writes one file atomically.

use std::fs;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;

use crate::columns::Columns;
use crate::read::open_parquet;
use crate::write::encode_part;
use crate::{Error, Result, Rows, Schema};

/// A growing table `dir/<name>`; readers such as DuckDB may open its files at any moment.
#[derive(Debug)]
pub struct AppendTable {
    dir: PathBuf,
    schema: &'static Schema,
    parts: usize,
}

impl AppendTable {
    /// Opens the table `name` below `dir`, including the rows of earlier appends.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`], [`Error::Io`].
    pub fn open(dir: &Path, name: &str) -> Result<AppendTable> {
        let dir = dir.join(name);
        fs::create_dir_all(&dir).map_err(Error::io(&dir, "creating"))?;
        let mut table = AppendTable { dir, schema: Schema::named(name)?, parts: 0 };
        table.parts = parquet_files(&table.dir)?.len();
        Ok(table)
    }

    /// Appends rows as one file.
    ///
    /// # Errors
    /// [`Error::BadRows`], [`Error::Io`].
    pub fn append<T>(&mut self, rows: Rows<'_, T>) -> Result<()> {
        let path = self.dir.join(format!("part-{:05}.parquet", self.parts));
        let batch = rows.into_batch(&path, self.schema)?;
        files::write_atomically(&path, &encode_part(&path, self.schema, batch, &[])?)?;
        self.parts += 1;
        Ok(())
    }

    /// All rows so far, in the order of the appends.
    ///
    /// # Errors
    /// [`Error::Parquet`], [`Error::SchemaMismatch`], [`Error::Io`].
    pub fn rows(&self) -> Result<Columns> {
        let mut batches: Vec<RecordBatch> = Vec::new();
        for path in parquet_files(&self.dir)? {
            let file = fs::File::open(&path).map_err(Error::io(&path, "opening"))?;
            batches.extend(open_parquet(&path, file, self.schema)?.collect::<Result<Vec<_>>>()?);
        }
        let batch = concat_batches(&self.schema.arrow(), &batches).map_err(Error::arrow(&self.dir))?;
        Ok(Columns::new(batch, self.dir.clone(), self.schema))
    }

    /// Removes every row.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn clear(&mut self) -> Result<()> {
        fs::remove_dir_all(&self.dir).map_err(Error::io(&self.dir, "removing"))?;
        fs::create_dir_all(&self.dir).map_err(Error::io(&self.dir, "creating"))?;
        self.parts = 0;
        Ok(())
    }
}

/// The Parquet files of a folder, sorted.
pub(crate) fn parquet_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(Error::io(dir, "listing"))? {
        let path = entry.map_err(Error::io(dir, "listing"))?.path();
        if path.extension().is_some_and(|extension| extension == "parquet") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
