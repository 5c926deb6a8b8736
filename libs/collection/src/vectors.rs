//! Vectors of texts in a file, and the nearest of them.
//!
//! The file begins with a line of JSON, [`Header`], and goes on with one 32-bit little-endian float after the other, vector
//! by vector.

use std::cmp::Ordering;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use candle_core::{Device, Tensor};
use pipeline::BadInput;
use serde::{Deserialize, Serialize};

/// Vectors that are compared with the queries at a time.
const BLOCK: usize = 4096;

/// Queries that are compared at a time.
const QUERIES: usize = 1024;

/// What a file of vectors was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VectorSource {
    /// Identity of the model that made them.
    pub model: String,
    /// Identity of the texts.
    pub texts: String,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    vectors: usize,
    dimensions: usize,
    #[serde(flatten)]
    source: VectorSource,
}

/// Writes a file of vectors.
#[derive(Debug)]
pub struct VectorsWriter {
    path: PathBuf,
    file: BufWriter<File>,
    header: Header,
    written: usize,
}

impl VectorsWriter {
    /// Begins a file of `vectors` vectors of so many `dimensions`.
    ///
    /// # Errors
    /// Where writing fails.
    pub fn create(
        path: &Path,
        source: VectorSource,
        (vectors, dimensions): (usize, usize),
    ) -> anyhow::Result<VectorsWriter> {
        let failed = || format!("{}: writing failed", path.display());
        let mut file = BufWriter::new(File::create(path).with_context(failed)?);
        let header = Header { vectors, dimensions, source };
        writeln!(file, "{}", serde_json::to_string(&header)?).with_context(failed)?;
        Ok(VectorsWriter { path: path.to_path_buf(), file, header, written: 0 })
    }

    /// Adds a vector.
    ///
    /// # Errors
    /// Where writing fails, or the vector has other dimensions.
    pub fn push(&mut self, vector: &[f32]) -> anyhow::Result<()> {
        anyhow::ensure!(
            vector.len() == self.header.dimensions,
            "expected vectors of one length, found {}",
            vector.len()
        );
        self.written += 1;
        let bytes: Vec<u8> = vector.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.file.write_all(&bytes).with_context(|| format!("{}: writing failed", self.path.display()))
    }

    /// Ends the file.
    ///
    /// # Errors
    /// Where writing fails, or vectors are missing.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let Header { vectors, .. } = self.header;
        anyhow::ensure!(self.written == vectors, "expected {vectors} vectors, found {}", self.written);
        self.file.flush().with_context(|| format!("{}: writing failed", self.path.display()))
    }
}

/// A file of vectors, read block by block.
#[derive(Debug)]
pub(crate) struct Vectors {
    path: PathBuf,
    file: File,
    /// Where the first vector begins, in bytes.
    start: u64,
    header: Header,
}

impl Vectors {
    /// Opens a file.
    ///
    /// # Errors
    /// [`BadInput`] where it was made by another model or from other texts than `expected`, or is no such file.
    pub(crate) fn open(path: &Path, expected: &VectorSource) -> anyhow::Result<Vectors> {
        let failed = || format!("{}: reading failed", path.display());
        let mut file = BufReader::new(File::open(path).with_context(failed)?);
        let mut line = String::new();
        file.read_line(&mut line).with_context(failed)?;
        let bad = |expected: &str, found: &str| {
            BadInput(format!("{}: expected vectors {expected}, found {found}; re-run embed", path.display()))
        };
        let header: Header = serde_json::from_str(&line).map_err(|error| bad("with a header", &error.to_string()))?;
        let Header { vectors, dimensions, source } = &header;
        if source.model != expected.model {
            Err(bad(&format!("of the model {}", expected.model), &format!("those of {}", source.model)))?;
        }
        if source.texts != expected.texts {
            Err(bad("of this collection", "those of another one"))?;
        }
        let start = line.len() as u64;
        let file = file.into_inner();
        let (length, wanted) = (file.metadata().with_context(failed)?.len(), vectors * dimensions * 4);
        if length != start + wanted as u64 {
            Err(bad(&format!("in {} bytes", start + wanted as u64), &format!("{length}")))?;
        }
        Ok(Vectors { path: path.to_path_buf(), file, start, header })
    }

    /// The number of vectors.
    pub(crate) fn len(&self) -> usize {
        self.header.vectors
    }

    /// Some vectors, one after the other: `[count, dimensions]`.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn rows(&self, first: usize, count: usize) -> anyhow::Result<Tensor> {
        let dimensions = self.header.dimensions;
        let mut bytes = vec![0; count * dimensions * 4];
        let place = self.start + (first * dimensions * 4) as u64;
        self.file
            .read_exact_at(&mut bytes, place)
            .with_context(|| format!("{}: reading failed", self.path.display()))?;
        let values = bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        Ok(Tensor::from_vec(values.collect::<Vec<f32>>(), (count, dimensions), &Device::Cpu)?)
    }

    /// For each of `queries`, `[n, dimensions]`, the `k` vectors with the largest inner product, largest first, ties by
    /// number: an exact search.
    ///
    /// # Errors
    /// Where reading fails.
    pub(crate) fn nearest(&self, queries: &Tensor, k: usize) -> anyhow::Result<Vec<Vec<(usize, f32)>>> {
        let count = queries.dim(0)?;
        let mut best: Vec<Vec<(usize, f32)>> = vec![Vec::new(); count];
        for first in (0..self.len()).step_by(BLOCK) {
            let block = self.rows(first, BLOCK.min(self.len() - first))?.t()?; // [d, block]
            for from in (0..count).step_by(QUERIES) {
                let products = queries.narrow(0, from, QUERIES.min(count - from))?.matmul(&block)?;
                for (best, products) in best[from..].iter_mut().zip(products.to_vec2::<f32>()?) {
                    best.extend((first..).zip(products));
                    keep(best, k);
                }
            }
        }
        Ok(best)
    }
}

/// Keeps the `k` best, best first.
fn keep(found: &mut Vec<(usize, f32)>, k: usize) {
    let best_first = |a: &(usize, f32), b: &(usize, f32)| -> Ordering { b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)) };
    if k < found.len() {
        found.select_nth_unstable_by(k, best_first);
        found.truncate(k);
    }
    found.sort_unstable_by(best_first);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(model: &str, texts: &str) -> VectorSource {
        VectorSource { model: model.into(), texts: texts.into() }
    }

    #[test]
    fn the_nearest_are_those_of_all_products() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Few values, so that there are ties.
            (state >> 60) as f32
        };
        let rows: Vec<[f32; 3]> = (0..BLOCK + 500).map(|_| [next(), next(), next()]).collect();
        let mut writer = VectorsWriter::create(&path, source("m", "t"), (rows.len(), 3)).unwrap();
        rows.iter().for_each(|row| writer.push(row).unwrap());
        writer.finish().unwrap();
        let vectors = Vectors::open(&path, &source("m", "t")).unwrap();
        let queries = vectors.rows(BLOCK, 5).unwrap();
        let found = vectors.nearest(&queries, 20).unwrap();
        for (query, found) in rows[BLOCK..].iter().zip(&found) {
            let product = |row: &[f32; 3]| row.iter().zip(query).map(|(a, b)| a * b).sum::<f32>();
            let mut all: Vec<(usize, f32)> = rows.iter().map(product).enumerate().collect();
            all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            assert_eq!(found, &all[..20]);
        }
    }

    #[test]
    fn vectors_of_something_else_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vectors");
        let mut writer = VectorsWriter::create(&path, source("m", "t"), (1, 2)).unwrap();
        assert!(writer.push(&[1.0]).is_err());
        writer.push(&[1.0, 2.0]).unwrap();
        writer.finish().unwrap();
        let refused = |source| Vectors::open(&path, &source).unwrap_err().to_string();
        assert!(refused(source("other", "t")).contains("expected vectors of the model other, found those of m"));
        assert!(refused(source("m", "other")).contains("expected vectors of this collection"));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(refused(source("m", "t")).contains("bytes"));
        let unfinished = VectorsWriter::create(&path, source("m", "t"), (1, 2)).unwrap();
        assert!(unfinished.finish().is_err());
    }
}
