//! A model's weights by name: seeded initialisation, strict loading, deterministic saving.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{Tensor, Var};
use safetensors::tensor::{Dtype, TensorView};

use super::file::WeightFile;
use super::kept::KeptWeights;
use super::lora::Lora;
use super::spec::ParamSpec;
use super::stored::{Stored, StoredWeights};
use crate::ops::{Bf16Weight, Int8Weight};
use crate::{Error, Result, files};

/// Weights whose rows are the labels of a task.
const CLASSIFIERS: [&str; 2] = ["classifier.", "score."];

/// The weights of a model, sorted by name. A copy shares the values: training it changes the original too.
#[derive(Debug, Clone)]
pub struct Params {
    pub(super) weights: BTreeMap<String, Var>,
    /// Those that are not in memory.
    pub(super) stored: StoredWeights,
    /// Where given, only the weights it names are trained.
    pub(crate) lora: Option<Lora>,
    /// What [`super::Mode::Eval`] in int8 multiplies by.
    pub(super) int8: KeptWeights<Int8Weight>,
    /// What it multiplies by in bf16, of weights that are not in memory.
    pub(super) bf16: KeptWeights<Bf16Weight>,
}

impl Params {
    pub(super) fn all_trained(weights: BTreeMap<String, Var>) -> Self {
        let (int8, bf16) = (KeptWeights::default(), KeptWeights::default());
        Self { weights, stored: StoredWeights::new(), lora: None, int8, bf16 }
    }

    /// Starts every weight from the seed.
    pub fn init(specs: &[ParamSpec], seed: u64) -> Result<Self> {
        let vars = specs.iter().map(|spec| Ok((spec.name.clone(), spec.start(seed)?)));
        Ok(Self::all_trained(vars.collect::<Result<_>>()?))
    }

    /// Loads exactly the weights of `specs` from one or more safetensors files; `F16` and `BF16` are widened to `f32`.
    /// `names` turns the name of a stored tensor into that of a weight, or into nothing where the tensor is no weight.
    ///
    /// A classifier of two labels becomes one of a single label: its second row less its first, the log-odds of label 1.
    ///
    /// A missing, extra, repeated, misshapen or otherwise typed weight is an error that names it.
    pub fn load<P: AsRef<Path>>(
        files: &[P],
        specs: &[ParamSpec],
        names: impl Fn(&str) -> Option<String>,
    ) -> Result<Self> {
        Self::load_but(files, specs, names, |_| false)
    }

    /// As [`Self::load`], but the weights for which `stays` holds stay in their files: they are read when they are rounded for
    /// [`Mode::Eval`](super::Mode::Eval) in int8 or bf16, and are in memory as `f32` only where it needs them so.
    pub(crate) fn load_but<P: AsRef<Path>>(
        files: &[P],
        specs: &[ParamSpec],
        names: impl Fn(&str) -> Option<String>,
        stays: impl Fn(&ParamSpec) -> bool,
    ) -> Result<Self> {
        let found = read_known(files, specs, (names, stays), OtherLabels::Subtracted)?;
        match found.extra.first() {
            Some((path, name)) => Err(Error::ExtraWeight { path: path.clone(), name: name.clone() }),
            None => Self::complete(files, found, specs, |_| None),
        }
    }

    /// Loads the weights of `specs` from another model of the same body: the weights for which `is_head(name)` holds
    /// start from the seed where the files lack them, and are skipped where `specs` lacks them. So does a classifier for
    /// another number of labels.
    pub fn load_body<P: AsRef<Path>>(
        files: &[P],
        specs: &[ParamSpec],
        names: impl Fn(&str) -> Option<String>,
        seed: u64,
        is_head: impl Fn(&str) -> bool,
    ) -> Result<Self> {
        let found = read_known(files, specs, (names, |_: &ParamSpec| false), OtherLabels::LeftOut)?;
        match found.extra.iter().find(|(_, name)| !is_head(name)) {
            Some((path, name)) => Err(Error::ExtraWeight { path: path.clone(), name: name.clone() }),
            None => Self::complete(files, found, specs, |name| is_head(name).then_some(seed)),
        }
    }

    /// The weights of `specs`, all but the one that these lack shared with these; `missing` is that one.
    pub(crate) fn with_score(&self, specs: &[ParamSpec], missing: &Tensor) -> Result<Self> {
        self.sharing(specs, |spec| Ok(Var::from_tensor(&missing.reshape(spec.shape.as_slice())?)?))
    }

    /// The weights of `specs`: those that these have in the same shape are shared with these, others start from the seed.
    pub(crate) fn with_specs(&self, specs: &[ParamSpec], seed: u64) -> Result<Self> {
        self.sharing(specs, |spec| spec.start(seed))
    }

    /// The weights of `specs`: those that these have in the same shape, and others.
    fn sharing(&self, specs: &[ParamSpec], other: impl Fn(&ParamSpec) -> Result<Var>) -> Result<Self> {
        let (mut weights, mut stored) = (BTreeMap::new(), StoredWeights::new());
        for spec in specs {
            let name = spec.name.clone();
            if let Some(var) = self.weights.get(&name).filter(|var| var.dims() == spec.shape) {
                weights.insert(name, var.clone());
            } else if let Some(weight) = self.stored.get(&name).filter(|weight| weight.spec.shape == spec.shape) {
                stored.insert(name, weight.clone());
            } else {
                weights.insert(name, other(spec)?);
            }
        }
        Ok(Self { stored, ..Self::all_trained(weights) })
    }

    /// Starts the weights that `vars` lacks and `seed_of` gives a seed for.
    fn complete<P: AsRef<Path>>(
        files: &[P],
        Found { mut vars, stored, .. }: Found,
        specs: &[ParamSpec],
        seed_of: impl Fn(&str) -> Option<u64>,
    ) -> Result<Self> {
        let found = vars.len() + stored.len();
        for spec in specs {
            if vars.contains_key(&spec.name) || stored.contains_key(&spec.name) {
                continue;
            }
            let seed = seed_of(&spec.name).ok_or_else(|| Error::MissingWeight {
                path: files.first().map(|file| file.as_ref().to_owned()).unwrap_or_default(),
                name: spec.name.clone(),
                shape: spec.shape.clone(),
                found,
            })?;
            vars.insert(spec.name.clone(), spec.start(seed)?);
        }
        Ok(Self { stored, ..Self::all_trained(vars) })
    }

    /// These weights, shared, for a model that only scores: what int8 multiplies by, and bf16 of weights that stay in their
    /// files, is made once, so that later changes of the weights are not seen by it, nor by what this gives for its result.
    pub fn for_scoring(&self) -> Self {
        Self { int8: self.int8.kept(), bf16: self.bf16.kept(), ..self.clone() }
    }

    /// The weight of this name.
    pub fn get(&self, name: &str) -> Result<&Var> {
        self.weights.get(name).ok_or_else(|| Error::UnknownWeight(name.to_owned()))
    }

    /// The weights whose name `keeps` accepts, shared with these.
    pub fn only(&self, keeps: impl Fn(&str) -> bool) -> Self {
        self.renamed(|name| keeps(name).then(|| name.to_owned()))
    }

    /// The weights that `rename` gives a name, under that name, shared with these.
    pub fn renamed(&self, rename: impl Fn(&str) -> Option<String>) -> Self {
        let weights = self.weights.iter().filter_map(|(name, var)| Some((rename(name)?, var.clone())));
        let stored = self.stored.iter().filter_map(|(name, stored)| Some((rename(name)?, stored.clone())));
        Self { stored: stored.collect(), ..Self::all_trained(weights.collect()) }
    }

    /// These weights and others, of other names; all are trained.
    pub(crate) fn joined(&self, others: &Self) -> Self {
        let all = self.weights.iter().chain(&others.weights);
        let stored = self.stored.iter().chain(&others.stored).map(|(name, stored)| (name.clone(), stored.clone()));
        let all = all.map(|(name, var)| (name.clone(), var.clone()));
        Self { stored: stored.collect(), ..Self::all_trained(all.collect()) }
    }

    /// The weights that a training changes, shared with these.
    pub fn trained(&self) -> Self {
        self.only(|name| self.trains(name))
    }

    /// True if a training changes the weight of this name.
    pub(super) fn trains(&self, name: &str) -> bool {
        self.lora.as_ref().is_none_or(|lora| lora.trained.contains(name))
    }

    /// All weights, except those that stay in their files, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.weights.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// The number of weights (tensors, not numbers).
    pub fn len(&self) -> usize {
        self.weights.len()
    }

    /// True if there is no weight.
    pub fn is_empty(&self) -> bool {
        self.weights.is_empty()
    }

    /// The number of numbers in all weights.
    pub fn count(&self) -> usize {
        let stored = self.stored.values().map(|stored| stored.spec.shape.iter().product::<usize>());
        self.weights.values().map(|var| var.elem_count()).chain(stored).sum()
    }

    /// Of [`Self::count`], the numbers that are in memory as `f32`.
    pub fn count_in_memory(&self) -> usize {
        let stored = self.stored.values().map(|stored| stored.count_in_memory());
        self.weights.values().map(|var| var.elem_count()).chain(stored).sum()
    }

    /// The weights as one safetensors file: the same weights give the same bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut all = self.weights.clone();
        for (name, stored) in &self.stored {
            all.insert(name.clone(), Var::from_tensor(&stored.read(stored.rows())?)?);
        }
        let mut data = Vec::with_capacity(all.len());
        for (name, var) in &all {
            let values = var.flatten_all()?.to_vec1::<f32>()?;
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            data.push((name.as_str(), var.dims().to_vec(), bytes));
        }
        let views =
            data.iter().map(|(name, shape, bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.clone(), bytes)?)));
        // Hugging Face loaders refuse a file that does not say which framework's layout it has.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        views
            .collect::<std::result::Result<Vec<_>, _>>()
            .and_then(|views| safetensors::serialize(views, Some(metadata)))
            .map_err(|error| Error::Tensor(candle_core::Error::wrap(error)))
    }

    /// Writes [`Self::to_bytes`] to `path` atomically: a crash leaves the old file or the new one.
    pub fn save(&self, path: &Path) -> Result<()> {
        files::write_atomically(path, &self.to_bytes()?)
    }
}

/// What safetensors files hold.
struct Found {
    /// The weights asked for.
    vars: BTreeMap<String, Var>,
    /// Those of them that stay in their files.
    stored: StoredWeights,
    /// The file and name of every other weight.
    extra: Vec<(PathBuf, String)>,
}

/// What becomes of a classifier whose rows are other labels than the single one of a score.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OtherLabels {
    LeftOut,
    /// Of two rows, the second less the first.
    Subtracted,
}

/// Reads the weights that `specs` names, but for those that stay in their files.
fn read_known<P: AsRef<Path>>(
    files: &[P],
    specs: &[ParamSpec],
    (names, stays): (impl Fn(&str) -> Option<String>, impl Fn(&ParamSpec) -> bool),
    other_labels: OtherLabels,
) -> Result<Found> {
    let known: BTreeMap<&str, &ParamSpec> = specs.iter().map(|spec| (spec.name.as_str(), spec)).collect();
    let open = files.iter().map(|path| WeightFile::open(path.as_ref()).map(Arc::new)).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<String> = open.iter().flat_map(|file| file.names()).collect();
    let wrapper = wrapper(&tensors, |name| names(name).is_some_and(|name| known.contains_key(name.as_str())));
    let mut found = Found { vars: BTreeMap::new(), stored: StoredWeights::new(), extra: Vec::new() };
    for (path, file) in files.iter().map(AsRef::as_ref).zip(&open) {
        for tensor in file.names() {
            let Some(name) = names(&tensor[wrapper.len()..]) else { continue };
            let Some(&spec) = known.get(name.as_str()) else {
                found.extra.push((path.to_owned(), name));
                continue;
            };
            let is_classifier = CLASSIFIERS.iter().any(|classifier| name.starts_with(classifier));
            let differs = is_classifier && file.shape(&tensor) != Some(&spec.shape);
            if differs && other_labels == OtherLabels::LeftOut {
                continue;
            }
            if found.vars.contains_key(&name) || found.stored.contains_key(&name) {
                let (expected, found) = ("each weight once".to_owned(), format!("`{tensor}` again"));
                return Err(Error::Format { path: path.to_owned(), expected, found });
            }
            if stays(spec) {
                file.check(&tensor, spec)?;
                found.stored.insert(name, Arc::new(Stored::new(file.clone(), tensor, spec.clone())));
            } else if differs && file.rows(&tensor) == Some(2) {
                found.vars.insert(name, subtracted(file, &tensor, spec)?);
            } else {
                found.vars.insert(name, file.read(&tensor, spec)?);
            }
        }
    }
    found.extra.sort();
    Ok(found)
}

/// The second row of a stored weight less its first.
fn subtracted(file: &WeightFile, stored: &str, spec: &ParamSpec) -> Result<Var> {
    let mut shape = spec.shape.clone();
    shape[0] = 2;
    let rows = file.read(stored, &ParamSpec { shape, ..spec.clone() })?;
    let difference = (rows.narrow(0, 1, 1)? - rows.narrow(0, 0, 1)?)?;
    Ok(Var::from_tensor(&difference)?)
}

/// What wrappers of PyTorch put before the names of a model's weights: compilation, data parallelism, an adapter that was taken off, an attribute.
const WRAPPERS: [&str; 4] = ["_orig_mod.", "module.", "base_model.model.", "model."];

/// What stands before the name of every weight and is no part of it: nothing where some name is known as it is.
fn wrapper(stored: &[String], is_known: impl Fn(&str) -> bool) -> String {
    let mut wrapper = String::new();
    loop {
        let rest = |name: &'_ str| name[wrapper.len()..].to_owned();
        let around = WRAPPERS.iter().find(|around| stored.iter().all(|name| rest(name).starts_with(**around)));
        match around {
            Some(around) if !stored.is_empty() && !stored.iter().any(|name| is_known(&rest(name))) => wrapper += around,
            _ => return wrapper,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::Init;

    fn specs() -> Vec<ParamSpec> {
        vec![
            ParamSpec::new("b.weight", &[40, 30], Init::Normal(0.5)),
            ParamSpec::new("a.weight", &[30], Init::Ones),
            ParamSpec::new("a.bias", &[30], Init::Zeros),
        ]
    }

    fn as_is(name: &str) -> Option<String> {
        Some(name.to_owned())
    }

    fn numbers(var: &Var) -> Vec<f32> {
        var.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// Writes tensors of these names, shapes and types.
    fn file(folder: &Path, tensors: &[(&str, &[usize], Dtype)]) -> PathBuf {
        let bytes = vec![0u8; 1 << 16];
        let views = tensors.iter().map(|&(name, shape, dtype)| {
            let length = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            (name, TensorView::new(dtype, shape.to_vec(), &bytes[..length]).unwrap())
        });
        let path = folder.join("model.safetensors");
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        path
    }

    #[test]
    fn the_start_depends_on_seed_and_name_alone() {
        let params = Params::init(&specs(), 1).unwrap();
        let alone = Params::init(&specs()[..1], 1).unwrap();
        let weight = numbers(params.get("b.weight").unwrap());
        assert_eq!(weight, numbers(alone.get("b.weight").unwrap()));
        assert_ne!(weight, numbers(Params::init(&specs(), 2).unwrap().get("b.weight").unwrap()));
        let mean = weight.iter().sum::<f32>() / 1200.0;
        let variance = weight.iter().map(|w| (w - mean) * (w - mean)).sum::<f32>() / 1200.0;
        assert!(mean.abs() < 0.05 && (variance.sqrt() - 0.5).abs() < 0.04, "mean {mean}, variance {variance}");
        assert_eq!(numbers(params.get("a.weight").unwrap()), [1.0; 30]);
        assert_eq!(numbers(params.get("a.bias").unwrap()), [0.0; 30]);
        assert_eq!(params.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a.bias", "a.weight", "b.weight"]);
        assert_eq!((params.len(), params.count()), (3, 1260));
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let params = Params::init(&specs(), 1).unwrap();
        params.save(&path).unwrap();
        let loaded = Params::load(&[&path], &specs(), as_is).unwrap();
        assert_eq!(loaded.to_bytes().unwrap(), std::fs::read(&path).unwrap());
        assert_eq!(numbers(loaded.get("b.weight").unwrap()), numbers(params.get("b.weight").unwrap()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }

    #[test]
    fn half_precision_is_widened() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), &[("w", &[2], Dtype::BF16)]);
        let params = Params::load(&[path], &[ParamSpec::new("w", &[2], Init::Ones)], as_is).unwrap();
        assert_eq!(numbers(params.get("w").unwrap()), [0.0, 0.0]);
    }

    #[test]
    fn every_difference_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |tensors: &[(&str, &[usize], Dtype)]| {
            let specs = [ParamSpec::new("w", &[2], Init::Ones), ParamSpec::new("head", &[1], Init::Ones)];
            let error = Params::load(&[file(folder.path(), tensors)], &specs, as_is).unwrap_err().to_string();
            error.replace(&folder.path().display().to_string(), "")
        };
        let (w, head) = (("w", [2usize].as_slice(), Dtype::F32), ("head", [1usize].as_slice(), Dtype::F32));
        assert_eq!(
            refusal(&[w]),
            "/model.safetensors: weight `head` [1] is missing, 1 others were found: is the config.json beside it of this model?"
        );
        assert_eq!(
            refusal(&[w, head, ("x", &[1], Dtype::F32)]),
            "/model.safetensors: weight `x` is not part of this architecture: take the config.json of this model, or remove a \
             weight that nothing reads"
        );
        assert_eq!(
            refusal(&[("w", &[3], Dtype::F32), head]),
            "/model.safetensors: weight `w` has shape [3], expected [2] from config.json"
        );
        assert_eq!(
            refusal(&[("w", &[2], Dtype::I64), head]),
            "/model.safetensors: weight `w` has type I64, expected F32, F16 or BF16"
        );
    }

    #[test]
    fn a_torn_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let bytes = Params::init(&specs(), 1).unwrap().to_bytes().unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        let error = Params::load(&[&path], &specs(), as_is).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: expected a whole safetensors file, found"), "{error}");
    }
}
