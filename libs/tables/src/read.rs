//! Reading a committed stage's tables and files, each checked against the manifest.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;

use crate::columns::Columns;
use crate::{Error, FileEntry, Manifest, Result, Schema, TableEntry};

/// What stands in the place of the checksum of a file that is gone.
const NO_FILE: &str = "no file";

/// A stage's committed output folder with its manifest.
#[derive(Debug, Clone)]
pub struct StageDir {
    path: PathBuf,
    stage: String,
    manifest: Manifest,
    /// The tables and folders that may be read; all without this list.
    declared: Option<BTreeSet<String>>,
}

impl StageDir {
    /// Opens `root/<stage>`.
    ///
    /// # Errors
    /// [`Error::MissingStage`] where the stage has not been run to its end, [`Error::BadManifest`].
    pub fn open(root: &Path, stage: &str) -> Result<StageDir> {
        let path = root.join(stage);
        let manifest = Manifest::read(&path, stage)?;
        Ok(StageDir { path, stage: stage.to_string(), manifest, declared: None })
    }

    /// The same output, of which the tables and folders of this list alone can be read: those that a later stage declared
    /// as its inputs, and that its freshness therefore depends on.
    #[must_use]
    pub fn restricted_to(self, declared: BTreeSet<String>) -> StageDir {
        StageDir { declared: Some(declared), ..self }
    }

    /// The stage's folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Reads a whole table, checksums verified, columns in the schema's order.
    ///
    /// # Errors
    /// [`Error::NotListed`], [`Error::Undeclared`], [`Error::Checksum`], [`Error::SchemaMismatch`], [`Error::Parquet`].
    pub fn table(&self, name: &str) -> Result<Columns> {
        let mut batches = Vec::new();
        self.for_each_batch(name, |batch| {
            batches.push(batch);
            Ok(())
        })?;
        let schema = Schema::named(name)?;
        let batch = concat_batches(&schema.arrow(), &batches).map_err(Error::arrow(&self.path.join(name)))?;
        Ok(Columns::new(batch, self.path.join(name), schema))
    }

    /// Reads a table batch by batch, for tables larger than memory: one file at a time is held.
    ///
    /// # Errors
    /// As [`StageDir::table`], and whatever `visit` returns.
    pub fn for_each_batch(&self, name: &str, mut visit: impl FnMut(RecordBatch) -> Result<()>) -> Result<()> {
        self.record_batches(name)?.try_for_each(|batch| visit(batch?))
    }

    /// The rows of a table, some at a time, for tables larger than memory: one file at a time is held.
    ///
    /// # Errors
    /// As [`StageDir::table`].
    pub fn batches(&self, name: &str) -> Result<impl Iterator<Item = Result<Columns>> + use<>> {
        let (schema, path) = (Schema::named(name)?, self.path.join(name));
        Ok(self.record_batches(name)?.map(move |batch| Ok(Columns::new(batch?, path.clone(), schema))))
    }

    fn record_batches(&self, name: &str) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
        let schema = Schema::named(name)?;
        let entry = self.entry(name)?;
        if entry.schema_version != schema.version {
            return Err(Error::SchemaMismatch {
                path: self.path.join(name),
                table: &schema.name,
                version: schema.version,
                expected: format!("schema version {}", schema.version),
                found: format!("schema version {}; re-run stage `{}`", entry.schema_version, self.stage),
            });
        }
        let (stage, files) = (self.clone(), entry.files.clone());
        let open = move |file: FileEntry| {
            let bytes = bytes::Bytes::from(stage.verified(&file)?);
            open_parquet(&stage.path.join(&file.path), bytes, schema)
        };
        Ok(files.into_iter().flat_map(move |file| {
            let (batches, refused) = match open(file) {
                Ok(batches) => (Some(batches), None),
                Err(error) => (None, Some(Err(error))),
            };
            batches.into_iter().flatten().chain(refused)
        }))
    }

    /// The value of a key in the metadata of the table's files, such as the tokenizer's identity.
    ///
    /// # Errors
    /// As [`StageDir::table`].
    pub fn table_metadata(&self, name: &str, key: &str) -> Result<Option<String>> {
        let Some(file) = self.entry(name)?.files.first() else {
            return Ok(None);
        };
        let path = self.path.join(&file.path);
        let bytes = bytes::Bytes::from(self.verified(file)?);
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(Error::parquet(&path))?;
        let metadata = reader.metadata().file_metadata().key_value_metadata();
        Ok(metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone()))
    }

    /// Checks every file below `folder`, such as a model's, against the manifest and returns the folder's path.
    ///
    /// # Errors
    /// [`Error::NotListed`], [`Error::Undeclared`], [`Error::Checksum`], [`Error::Io`].
    pub fn folder(&self, folder: &str) -> Result<PathBuf> {
        self.check_declared(folder)?;
        let prefix = format!("{folder}/");
        let mut found = false;
        for file in self.manifest.files.iter().filter(|file| file.path.starts_with(&prefix)) {
            self.verify(file)?;
            found = true;
        }
        if found { Ok(self.path.join(folder)) } else { Err(self.not_listed(format!("folder `{folder}`"))) }
    }

    /// Checks a file of the output against the manifest, without holding it in memory, and returns its path.
    ///
    /// # Errors
    /// [`Error::Checksum`], [`Error::Io`].
    pub fn verify(&self, file: &FileEntry) -> Result<PathBuf> {
        let path = self.path.join(&file.path);
        let digest = if path.is_file() { files::sha256_of_file(&path)? } else { NO_FILE.into() };
        self.check(file, path.clone(), digest)?;
        Ok(path)
    }

    fn check_declared(&self, name: &str) -> Result<()> {
        match &self.declared {
            Some(declared) if !declared.contains(name) => {
                Err(Error::Undeclared { path: self.path.join(name), stage: self.stage.clone(), name: name.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn entry(&self, name: &str) -> Result<&TableEntry> {
        self.check_declared(name)?;
        self.manifest.tables.get(name).ok_or_else(|| self.not_listed(format!("table `{name}`")))
    }

    fn not_listed(&self, wanted: String) -> Error {
        Error::NotListed { path: self.path.join(crate::MANIFEST_FILE), stage: self.stage.clone(), wanted }
    }

    fn verified(&self, file: &FileEntry) -> Result<Vec<u8>> {
        let path = self.path.join(&file.path);
        if !path.is_file() {
            self.check(file, path.clone(), NO_FILE.into())?;
        }
        let bytes = std::fs::read(&path).map_err(Error::io(&path, "reading"))?;
        let digest = files::sha256(&bytes);
        self.check(file, path, digest)?;
        Ok(bytes)
    }

    fn check(&self, file: &FileEntry, path: PathBuf, found: String) -> Result<()> {
        if found == file.sha256 {
            return Ok(());
        }
        Err(Error::Checksum { path, stage: self.stage.clone(), expected: file.sha256.clone(), found })
    }
}

/// Opens a Parquet file as batches in the schema's types.
pub(crate) fn open_parquet<R: ChunkReader + 'static>(
    path: &Path,
    file: R,
    schema: &'static Schema,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<R>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet(path))?;
    check_columns(path, schema, reader.schema())?;
    let batches = reader.build().map_err(Error::parquet(path))?;
    let path = path.to_path_buf();
    Ok(batches.map(move |batch| batch.map_err(Error::arrow(&path))))
}

/// Refuses a file whose columns are not the schema's.
pub(crate) fn check_columns(path: &Path, schema: &'static Schema, found: &arrow::datatypes::Schema) -> Result<()> {
    let expected = schema.arrow();
    if expected.fields() == found.fields() {
        return Ok(());
    }
    Err(Error::SchemaMismatch {
        path: path.to_path_buf(),
        table: &schema.name,
        version: schema.version,
        expected: describe(&expected),
        found: describe(found),
    })
}

fn describe(schema: &arrow::datatypes::Schema) -> String {
    let fields: Vec<String> = schema
        .fields()
        .iter()
        .map(|f| format!("{} {}{}", f.name(), f.data_type(), if f.is_nullable() { "?" } else { "" }))
        .collect();
    fields.join(", ")
}
