//! The state of a training run in one file, replaced atomically.
//!
//! Sampling and dropout are functions of (seed, step), so the step is all they need to go on.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{Device, Tensor, Var};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View};
use serde::{Deserialize, Serialize};

use super::data_parallel::parts_at_once;
use super::optimizer::Moments;
use crate::error::{Error, Result};
use crate::files;
use crate::weights::Params;

/// The layout written by this version; another one is refused.
const FORMAT: u32 = 2;
/// The one metadata entry. A second one would make the bytes depend on the order of a hash map.
const METADATA: &str = "checkpoint";
const REMEDY: &str = "remove the file to train from the start";

/// Flat values of every weight of a model, by name.
pub type Snapshot = BTreeMap<String, Vec<f32>>;

/// Copies the weights of a model.
///
/// # Errors
/// A weight that is not `f32`.
pub fn snapshot(params: &Params) -> Result<Snapshot> {
    params.iter().map(|(name, var)| Ok((name.to_owned(), var.flatten_all()?.to_vec1()?))).collect()
}

/// Compares the weights with those of the other ranks, which took the same steps.
///
/// # Errors
/// [`Error::RanksDiffer`].
pub(super) fn compare_ranks(params: &Params, step: usize) -> Result<()> {
    if group::size() == 1 {
        return Ok(());
    }
    let digest = |(_, var): (&str, &Var)| -> Result<String> {
        let values: Vec<f32> = var.flatten_all()?.to_vec1()?;
        Ok(files::sha256(&[&Values(&values, [values.len()]).data()]))
    };
    let digests = params.iter().map(digest).collect::<Result<Vec<_>>>()?;
    match group::different(digests.concat().as_bytes()) {
        Some(rank) => Err(Error::RanksDiffer { rank, step }),
        None => Ok(()),
    }
}

/// Sets the weights of a model in place.
///
/// # Errors
/// A weight the snapshot lacks, or has with another number of values.
pub fn restore(params: &Params, snapshot: &Snapshot) -> Result<()> {
    for (name, var) in params.iter() {
        let values = snapshot.get(name).ok_or_else(|| Error::UnknownWeight(name.to_owned()))?;
        if values.len() != var.elem_count() {
            return Err(Error::Moments { name: name.to_owned(), expected: values.len(), found: var.elem_count() });
        }
        var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu)?)?;
    }
    Ok(())
}

/// Moves every value of `snapshot` by `share` of its distance towards that of `target`, a snapshot of the same model.
pub(super) fn move_towards(snapshot: &mut Snapshot, target: &Snapshot, share: f32) {
    for (values, targets) in snapshot.values_mut().zip(target.values()) {
        values.iter_mut().zip(targets).for_each(|(value, target)| *value += (target - *value) * share);
    }
}

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps taken when it was reached.
    pub step: usize,
    /// The validation value; higher is better.
    #[serde(with = "exact")]
    pub value: f64,
}

/// How far a run has come, apart from its weights and moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    pub step: usize,
    /// Examples seen in these steps.
    pub examples: u64,
    /// Tokens seen in these steps.
    pub tokens: u64,
    /// The loss of the last step.
    #[serde(with = "exact")]
    pub loss: f64,
    /// Steps whose weights were averaged.
    #[serde(default)]
    pub averaged: usize,
    /// The best validation, where there was one.
    pub best: Option<Best>,
    /// Validations since the best one.
    pub stale_validations: usize,
    /// Looks in a row at scores that hardly differed.
    pub flat_checks: usize,
}

/// Numbers written so that they read back bit by bit; JSON's own may come back one unit off.
mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    progress: Progress,
    #[serde(flatten)]
    made: Made,
}

/// What a checkpoint was made from, and how.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// Identifies all that decides the run: data, configuration, code.
    pub fingerprint: String,
    /// Threads of all ranks together, by which gradients are added; `None` in a checkpoint of an earlier version.
    #[serde(default)]
    pub threads: Option<usize>,
}

/// All that a run needs to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// How far the run has come.
    pub progress: Progress,
    /// The weights after the last step.
    pub weights: Snapshot,
    /// The optimizer's moments after the last step.
    pub moments: BTreeMap<String, Moments>,
    /// The mean of the weights after the last steps, where they are averaged.
    pub average: Option<Snapshot>,
    /// The weights of the best validation.
    pub best_weights: Option<Snapshot>,
}

impl Checkpoint {
    /// Writes the state to `path`; a crash leaves the old file or the new one. `fingerprint` identifies all that decides the
    /// run: data, configuration, code.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn save(&self, path: &Path, fingerprint: &str) -> Result<()> {
        let made = Made { fingerprint: fingerprint.to_owned(), threads: Some(parts_at_once()) };
        let header = Header { format: FORMAT, progress: self.progress.clone(), made };
        let metadata = HashMap::from([(METADATA.to_owned(), serde_json::to_string(&header)?)]);
        let unwritable = |source| Error::Safetensors { path: path.to_path_buf(), source };
        let bytes = safetensors::serialize(self.tensors(), Some(metadata)).map_err(unwritable)?;
        files::write_atomically(path, &bytes)
    }

    /// What the state of the file `path` was made from, and how.
    ///
    /// # Errors
    /// A file that is truncated, or of another kind.
    pub fn made(path: &Path) -> Result<Made> {
        let bytes = files::read(path)?;
        Ok(header(path, &bytes)?.made)
    }

    /// Reads the state of a run made from the same `fingerprint`.
    ///
    /// # Errors
    /// A file that is truncated, of another kind or format, or of a run made from something else.
    pub fn load(path: &Path, fingerprint: &str) -> Result<Self> {
        Self::parse(path, &files::read(path)?, fingerprint)
    }

    /// As [`Self::load`], for all ranks from the file that rank 0 has there; `None` where it has none.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub(super) fn load_of_first(path: &Path, fingerprint: &str) -> Result<Option<Self>> {
        let bytes = group::of_first(|| {
            if !path.exists() {
                return Ok(Vec::new());
            }
            let bytes = files::read(path)?;
            header(path, &bytes).map(|_| bytes)
        })?;
        (!bytes.is_empty()).then(|| Self::parse(path, &bytes, fingerprint)).transpose()
    }

    fn parse(path: &Path, bytes: &[u8], fingerprint: &str) -> Result<Self> {
        let header = header(path, bytes)?;
        let tensors = SafeTensors::deserialize(bytes).map_err(|error| unparsed(path, bytes, &error))?;
        if header.made.fingerprint != fingerprint {
            return Err(Error::Format {
                path: path.to_path_buf(),
                expected: format!("a checkpoint of this data and configuration, {fingerprint} ({REMEDY})"),
                found: format!("one of {}", header.made.fingerprint),
            });
        }
        Self::from_tensors(header.progress, &tensors)
            .ok_or_else(|| broken(path, "tensors of another layout".to_owned()))
    }

    fn tensors(&self) -> Vec<(String, Values<'_>)> {
        let mut tensors = Vec::new();
        for (name, values) in &self.weights {
            tensors.push((format!("weight/{name}"), Values(values, [values.len()])));
        }
        for (name, Moments { first, second }) in &self.moments {
            tensors.push((format!("first/{name}"), Values(first, [first.len()])));
            tensors.push((format!("second/{name}"), Values(second, [second.len()])));
        }
        for (name, values) in self.average.iter().flatten() {
            tensors.push((format!("average/{name}"), Values(values, [values.len()])));
        }
        for (name, values) in self.best_weights.iter().flatten() {
            tensors.push((format!("best/{name}"), Values(values, [values.len()])));
        }
        tensors
    }

    fn from_tensors(progress: Progress, tensors: &SafeTensors<'_>) -> Option<Self> {
        let (mut weights, mut average, mut best) = (Snapshot::new(), Snapshot::new(), Snapshot::new());
        let (mut firsts, mut seconds) = (Snapshot::new(), Snapshot::new());
        for (key, view) in tensors.iter() {
            let (kind, name) = key.split_once('/')?;
            let group = match kind {
                "weight" => &mut weights,
                "first" => &mut firsts,
                "second" => &mut seconds,
                "average" => &mut average,
                "best" => &mut best,
                _ => return None,
            };
            let (values, _) = view.data().as_chunks::<4>();
            group.insert(name.to_owned(), values.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect());
        }
        let mut moments = BTreeMap::new();
        for (name, first) in firsts {
            let second = seconds.remove(&name)?;
            moments.insert(name, Moments { first, second });
        }
        let given = |snapshot: Snapshot| (!snapshot.is_empty()).then_some(snapshot);
        let (average, best_weights) = (given(average), given(best));
        Some(Self { progress, weights, moments, average, best_weights })
    }
}

fn broken(path: &Path, found: String) -> Error {
    Error::Format { path: path.to_path_buf(), expected: format!("a whole training checkpoint ({REMEDY})"), found }
}

fn unparsed(path: &Path, bytes: &[u8], error: &safetensors::SafeTensorError) -> Error {
    broken(path, format!("{} bytes that do not parse: {error}", bytes.len()))
}

fn header(path: &Path, bytes: &[u8]) -> Result<Header> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| unparsed(path, bytes, &error))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(METADATA));
    let header = header.ok_or_else(|| broken(path, "a safetensors file of another kind".to_owned()))?;
    let header: Header = serde_json::from_str(header).map_err(|error| broken(path, error.to_string()))?;
    if header.format != FORMAT {
        return Err(broken(path, format!("format {} where this version writes {FORMAT}", header.format)));
    }
    Ok(header)
}

/// A flat `f32` tensor for the safetensors writer.
struct Values<'a>(&'a [f32], [usize; 1]);

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        let moments = Moments { first: vec![0.1, -0.2], second: vec![1e-30, 3.0] };
        Checkpoint {
            progress: Progress {
                step: 12,
                examples: 340,
                tokens: 5600,
                loss: 0.1 + 0.2,
                averaged: 3,
                best: Some(Best { step: 10, value: 1.0 / 3.0 }),
                stale_validations: 1,
                flat_checks: 2,
            },
            weights: Snapshot::from([("a/b.weight".to_owned(), vec![1.5, f32::MIN_POSITIVE])]),
            moments: BTreeMap::from([("a/b.weight".to_owned(), moments)]),
            average: Some(Snapshot::from([("a/b.weight".to_owned(), vec![1.25, -3.0])])),
            best_weights: Some(Snapshot::from([("a/b.weight".to_owned(), vec![-0.0, 2.5])])),
        }
    }

    #[test]
    fn reads_back_what_it_wrote_and_writes_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        checkpoint().save(&one, "abc").unwrap();
        let read = Checkpoint::load(&one, "abc").unwrap();
        assert_eq!(read, checkpoint());
        read.save(&two, "abc").unwrap();
        assert_eq!(std::fs::read(&one).unwrap(), std::fs::read(&two).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays behind");
    }

    #[test]
    fn another_fingerprint_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        checkpoint().save(&path, "abc").unwrap();
        let error = Checkpoint::load(&path, "xyz").unwrap_err().to_string();
        assert_eq!(
            error,
            format!(
                "{}: expected a checkpoint of this data and configuration, xyz (remove the file to train from the \
                 start), found one of abc",
                path.display()
            )
        );
    }

    #[test]
    fn every_truncation_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        checkpoint().save(&path, "abc").unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            std::fs::write(&path, &bytes[..length]).unwrap();
            let error = Checkpoint::load(&path, "abc").unwrap_err().to_string();
            assert!(error.contains("expected a whole training checkpoint"), "{length}: {error}");
        }
    }

    #[test]
    fn a_safetensors_file_of_another_kind_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let values = [1.0];
        let bytes = safetensors::serialize([("w", Values(&values, [1]))], None).unwrap();
        std::fs::write(&path, bytes).unwrap();
        assert!(
            Checkpoint::load(&path, "abc")
                .unwrap_err()
                .to_string()
                .ends_with("found a safetensors file of another kind")
        );
    }
}
