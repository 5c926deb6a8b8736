//! The finished parts of a table that takes hours or days to compute, kept so that an interrupted computation goes on.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::row::{RowConverter, SortField};
use files::AtomicFile;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::append::parquet_files;
use crate::columns::Columns;
use crate::commit::remove_dir;
use crate::read::open_parquet;
use crate::write::{encode_part, part_path};
use crate::{Error, Result, Rows, Schema};

/// The file of a folder of parts that says what they belong to.
const FINGERPRINT_FILE: &str = "fingerprint";
/// Key of the same in the metadata of each part.
const FINGERPRINT: &str = "disranker.fingerprint";
/// Key of the number of a part in its metadata.
const NUMBER: &str = "disranker.part";
/// Key of the digest of what a part was made of, in its metadata.
const INPUTS: &str = "disranker.inputs";
/// Key of the checksum of a part's rows in its metadata.
const ROWS: &str = "disranker.rows_sha256";

/// A folder of parts, `part-00000.parquet` and so on, each written at once.
///
/// The *fingerprint* is a digest of all that decides the rows. Every part carries it, its number and a checksum of its rows, so that a
/// part of other data, a misplaced or a damaged one is never taken for its own. Several processes may write parts of one folder:
/// what both make is the same, and the later one replaces the earlier.
///
/// Where the fingerprint leaves out the inputs, because they may grow or be mended, each part has a digest of its own inputs:
/// [`Parts::is_made_of`] and [`Parts::write_made_of`].
#[derive(Debug)]
pub struct Parts {
    dir: PathBuf,
    schema: &'static Schema,
    fingerprint: String,
}

impl Parts {
    /// Opens the folder `dir` of parts of the table `name`, and makes it where it is missing.
    ///
    /// # Errors
    /// [`Error::BadPart`] for a folder with parts of another fingerprint; [`Error::UnknownSchema`], [`Error::Io`].
    pub fn open(dir: &Path, name: &str, fingerprint: &str) -> Result<Parts> {
        let schema = Schema::named(name)?;
        fs::create_dir_all(dir).map_err(Error::io(dir, "creating"))?;
        let path = dir.join(FINGERPRINT_FILE);
        let found = match fs::read_to_string(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::io(&path, "reading")(error)),
            found => found.ok(),
        };
        if found.as_deref().map(str::trim) != Some(fingerprint) {
            // Without a part there is nothing to lose.
            if found.is_some() && !parquet_files(dir)?.is_empty() {
                return Err(foreign(dir));
            }
            let mut file = AtomicFile::create(&path)?;
            writeln!(file, "{fingerprint}").map_err(Error::io(&path, "writing"))?;
            file.commit()?;
        }
        Ok(Parts { dir: dir.to_path_buf(), schema, fingerprint: fingerprint.into() })
    }

    /// Opens the folder as [`Parts::open`] does, without the parts of another fingerprint, which it removes.
    ///
    /// # Errors
    /// [`Error::UnknownSchema`], [`Error::Io`].
    pub fn open_anew(dir: &Path, name: &str, fingerprint: &str) -> Result<Parts> {
        match Parts::open(dir, name, fingerprint) {
            Err(Error::BadPart { .. }) => {
                Parts::remove(dir)?;
                Parts::open(dir, name, fingerprint)
            }
            opened => opened,
        }
    }

    /// Removes a folder of parts with all that is in it; nothing where there is none.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn remove(dir: &Path) -> Result<()> {
        remove_dir(dir)
    }

    /// True if part `number` is there.
    ///
    /// # Errors
    /// [`Error::BadPart`] for a file in its place that belongs to another computation or is no part.
    pub fn is_finished(&self, number: usize) -> Result<bool> {
        Ok(self.label(&part_path(&self.dir, number), number)?.is_some())
    }

    /// True if part `number` is there and was made of the inputs with the digest `inputs`.
    ///
    /// # Errors
    /// As [`Parts::is_finished`].
    pub fn is_made_of(&self, number: usize, inputs: &str) -> Result<bool> {
        let label = self.label(&part_path(&self.dir, number), number)?;
        Ok(label.is_some_and(|label| label.inputs == inputs))
    }

    /// Writes part `number`.
    ///
    /// # Errors
    /// [`Error::BadRows`], [`Error::Io`].
    pub fn write<T>(&self, number: usize, rows: Rows<'_, T>) -> Result<()> {
        self.write_made_of(number, "", rows)
    }

    /// Writes part `number`, which was made of the inputs with the digest `inputs`.
    ///
    /// # Errors
    /// As [`Parts::write`].
    pub fn write_made_of<T>(&self, number: usize, inputs: &str, rows: Rows<'_, T>) -> Result<()> {
        let path = part_path(&self.dir, number);
        let batch = rows.into_batch(&path, self.schema)?;
        let (number, checksum) = (number.to_string(), checksum(&path, &batch)?);
        let fingerprint = self.fingerprint.as_str();
        let metadata = [(FINGERPRINT, fingerprint), (NUMBER, &number), (INPUTS, inputs), (ROWS, &checksum)];
        let bytes = encode_part(&path, self.schema, batch, &metadata)?;
        let mut file = AtomicFile::create(&path)?;
        file.write_all(&bytes).map_err(Error::io(&path, "writing"))?;
        Ok(file.commit()?)
    }

    /// The rows of part `number`.
    ///
    /// # Errors
    /// [`Error::BadPart`] where it is missing, damaged, or belongs to another computation.
    pub fn read(&self, number: usize) -> Result<Columns> {
        let path = part_path(&self.dir, number);
        let expected = self.label(&path, number)?.ok_or_else(|| bad(&path, "no file"))?.checksum;
        let file = File::open(&path).map_err(Error::io(&path, "opening"))?;
        let batches = unbroken(&path, || open_parquet(&path, file, self.schema)?.collect::<Result<Vec<_>>>())?;
        let batch = concat_batches(&self.schema.arrow(), &batches).map_err(Error::arrow(&path))?;
        if checksum(&path, &batch)? != expected {
            return Err(bad(&path, "a damaged file (its rows do not have their checksum)"));
        }
        Ok(Columns::new(batch, path, self.schema))
    }

    /// What a part says of itself; `None` where there is no part.
    fn label(&self, path: &Path, number: usize) -> Result<Option<Label>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(path, "opening")(error)),
        };
        let reader = unbroken(path, || ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet(path)))?;
        let metadata = reader.metadata().file_metadata().key_value_metadata();
        let value = |key: &str| metadata.and_then(|pairs| pairs.iter().find(|pair| pair.key == key)?.value.clone());
        if value(FINGERPRINT).as_deref() != Some(&self.fingerprint) {
            return Err(foreign(path));
        }
        if value(NUMBER) != Some(number.to_string()) {
            return Err(bad(path, "one of another number"));
        }
        let checksum = value(ROWS).ok_or_else(|| bad(path, "one without a checksum of its rows"))?;
        Ok(Some(Label { inputs: value(INPUTS).unwrap_or_default(), checksum }))
    }
}

/// What a part says of itself.
struct Label {
    /// The digest of what it was made of, or nothing.
    inputs: String,
    /// The checksum of its rows.
    checksum: String,
}

/// Runs a step of the Parquet reader, which a damaged file can make fail or panic.
fn unbroken<T>(path: &Path, step: impl FnOnce() -> Result<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(step)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(bad(path, &format!("a damaged file ({error})"))),
        Err(_) => Err(bad(path, "a damaged file")),
    }
}

fn bad(path: &Path, found: &str) -> Error {
    Error::BadPart { path: path.to_path_buf(), found: found.into() }
}

fn foreign(path: &Path) -> Error {
    bad(path, "one of other data, another model or another configuration")
}

/// A checksum of the values of all rows, whatever the layout of the file.
fn checksum(path: &Path, batch: &RecordBatch) -> Result<String> {
    let fields = batch.schema_ref().fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(Error::arrow(path))?;
    let rows = converter.convert_columns(batch.columns()).map_err(Error::arrow(path))?;
    let bytes: Vec<u8> = rows.iter().flat_map(|row| row.data().to_vec()).collect();
    Ok(files::sha256(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(parts: &Parts, number: usize, scores: &[f32]) {
        parts.write(number, Rows::of(scores).float32s("score", |&score| score)).unwrap();
    }

    fn scores(parts: &Parts, number: usize) -> Vec<f32> {
        parts.read(number).unwrap().float32s("score").unwrap().values().to_vec()
    }

    fn refused<T>(outcome: Result<T>, path: &Path, found: &str) {
        let error = outcome.map(|_| ()).unwrap_err();
        let line = error.to_string();
        let start = format!("{}: expected a part of this computation, found ", path.display());
        assert!(line.starts_with(&start) && line.contains(found) && error.is_bad_input(), "{line}");
    }

    #[test]
    fn finished_parts_stay() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("parts");
        let parts = Parts::open(&dir, "pair_scores", "a").unwrap();
        assert!(!parts.is_finished(3).unwrap());
        write(&parts, 3, &[0.5, -0.0]);
        let again = Parts::open(&dir, "pair_scores", "a").unwrap();
        assert!(again.is_finished(3).unwrap() && !again.is_finished(0).unwrap());
        write(&again, 3, &[0.5, -0.0]);
        assert_eq!(scores(&parts, 3), [0.5, -0.0]);
        write(&again, 0, &[]);
        assert_eq!(scores(&parts, 0), [0.0; 0]);
        refused(parts.read(1), &part_path(&dir, 1), "no file");
        Parts::remove(&dir).unwrap();
        Parts::remove(&dir).unwrap();
        assert!(!dir.exists());
    }

    #[test]
    fn parts_of_another_computation_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (mine, other) = (folder.path().join("mine"), folder.path().join("other"));
        let parts = Parts::open(&mine, "pair_scores", "a").unwrap();
        let others = Parts::open(&other, "pair_scores", "b").unwrap();
        write(&others, 0, &[1.0]);
        refused(Parts::open(&other, "pair_scores", "a"), &other, "one of other data");
        let empty = folder.path().join("empty");
        for fingerprint in ["b", "a", "a"] {
            Parts::open(&empty, "pair_scores", fingerprint).unwrap();
        }
        write(&parts, 1, &[1.0]);
        fs::copy(part_path(&other, 0), part_path(&mine, 0)).unwrap();
        refused(parts.is_finished(0), &part_path(&mine, 0), "one of other data");
        fs::copy(part_path(&mine, 1), part_path(&mine, 0)).unwrap();
        refused(parts.read(0), &part_path(&mine, 0), "one of another number");
    }

    #[test]
    fn parts_of_other_inputs_are_known_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "pair_scores", "a").unwrap();
        let made = |scores: &[f32], inputs: &str| {
            parts.write_made_of(0, inputs, Rows::of(scores).float32s("score", |&score| score)).unwrap();
        };
        assert!(!parts.is_made_of(0, "x").unwrap());
        made(&[1.0], "x");
        assert!(parts.is_made_of(0, "x").unwrap() && !parts.is_made_of(0, "y").unwrap());
        made(&[2.0, 3.0], "y");
        assert!(parts.is_made_of(0, "y").unwrap() && parts.is_finished(0).unwrap());
        assert_eq!(scores(&parts, 0), [2.0, 3.0]);
        write(&parts, 0, &[1.0]);
        assert!(parts.is_made_of(0, "").unwrap());
    }

    #[test]
    fn no_flipped_byte_changes_a_score() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::open(folder.path(), "pair_scores", "a").unwrap();
        let written: Vec<f32> = (0..50).map(|number| number as f32 / 7.0).collect();
        write(&parts, 0, &written);
        let path = part_path(folder.path(), 0);
        let sound = fs::read(&path).unwrap();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 4;
            fs::write(&path, &bytes).unwrap();
            if let Ok(columns) = parts.read(0) {
                assert_eq!(columns.float32s("score").unwrap().values(), &written[..], "byte {at}");
            }
        }
    }
}
