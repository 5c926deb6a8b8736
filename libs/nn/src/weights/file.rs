//! Weights on disk: safetensors files, whose tensors are read one at a time.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use safetensors::tensor::{Dtype, Metadata};

use super::spec::ParamSpec;
use crate::files::io_error;
use crate::{Error, Result};

/// Bytes before the header that hold its length.
const PREFIX: u64 = 8;

/// Bytes of a tensor that are read at a time: whole numbers of every type.
const PIECE: usize = 1 << 20;

/// Why no pickle file is read, and what to do.
pub(crate) const PICKLE: &str = "a pickle file, which may run any code and is never loaded: save the model as safetensors \
                                 (transformers: save_pretrained)";

/// An open safetensors file of which the header is known to fit the file.
#[derive(Debug)]
pub(crate) struct WeightFile {
    path: PathBuf,
    file: File,
    header: Metadata,
    /// Where the first tensor starts, in bytes.
    start: u64,
}

impl WeightFile {
    /// Reads and checks the header.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let broken = |found: String| Error::Format {
            path: path.to_path_buf(),
            expected: "a whole safetensors file".to_owned(),
            found,
        };
        let mut file = File::open(path).map_err(io_error(path))?;
        let length = file.metadata().map_err(io_error(path))?.len();
        let mut prefix = [0; PREFIX as usize];
        if length < PREFIX {
            return Err(broken(format!("{length} bytes")));
        }
        file.read_exact(&mut prefix).map_err(io_error(path))?;
        let header_length = u64::from_le_bytes(prefix);
        if header_length > length - PREFIX {
            let claim = format!("{length} bytes of which the header claims {header_length}");
            return Err(broken(other_kind(&prefix).map_or(claim, str::to_owned)));
        }
        let mut header = vec![0; header_length as usize];
        file.read_exact(&mut header).map_err(io_error(path))?;
        let header: Metadata =
            serde_json::from_slice(&header).map_err(|error| broken(format!("the header: {error}")))?;
        let (start, tensors) = (PREFIX + header_length, header.data_len() as u64);
        if length - start != tensors {
            return Err(broken(format!("{} bytes of tensors where the header lists {tensors}", length - start)));
        }
        Ok(Self { path: path.to_owned(), file, header, start })
    }

    /// The names of the tensors in the order of the file.
    pub(crate) fn names(&self) -> Vec<String> {
        self.header.offset_keys()
    }

    /// The shape of a tensor of the file.
    pub(crate) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// The rows of a tensor of the file.
    pub(crate) fn rows(&self, name: &str) -> Option<usize> {
        self.shape(name)?.first().copied()
    }

    /// Refuses a tensor `name` that is not the weight of `spec`.
    pub(crate) fn check(&self, name: &str, spec: &ParamSpec) -> Result<()> {
        self.place(name, spec).map(drop)
    }

    /// The type of the weight of `spec`, which is the tensor `name`, and the bytes of the file's tensors that hold it.
    fn place(&self, name: &str, spec: &ParamSpec) -> Result<(DType, Range<usize>)> {
        let info = self.header.info(name).ok_or_else(|| Error::UnknownWeight(name.to_owned()))?;
        let path = || self.path.clone();
        if info.shape != spec.shape {
            let (name, expected, found) = (name.to_owned(), spec.shape.clone(), info.shape.clone());
            return Err(Error::WeightShape { path: path(), name, expected, found });
        }
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            Dtype::F64 => DType::F64,
            other => {
                return Err(Error::WeightType { path: path(), name: name.to_owned(), found: format!("{other:?}") });
            }
        };
        Ok((dtype, info.data_offsets.0..info.data_offsets.1))
    }

    /// Reads the tensor `name` as the weight of `spec`; other floating-point types become `f32`.
    pub(crate) fn read(&self, name: &str, spec: &ParamSpec) -> Result<Var> {
        let (dtype, place) = self.place(name, spec)?;
        self.read_at(name, &spec.shape, (dtype, place))
    }

    /// As [`Self::read`], some of its rows alone.
    pub(crate) fn read_rows(&self, name: &str, spec: &ParamSpec, rows: Range<usize>) -> Result<Var> {
        let (dtype, place) = self.place(name, spec)?;
        let (mut shape, row) = (spec.shape.clone(), place.len() / spec.shape[0].max(1));
        shape[0] = rows.len();
        self.read_at(name, &shape, (dtype, place.start + rows.start * row..place.start + rows.end * row))
    }

    fn read_at(&self, name: &str, shape: &[usize], (dtype, place): (DType, Range<usize>)) -> Result<Var> {
        let mut values: Vec<f32> = Vec::with_capacity(place.len() / dtype.size_in_bytes());
        let mut bytes = vec![0; place.len().min(PIECE)];
        for start in place.clone().step_by(PIECE) {
            let piece = &mut bytes[..PIECE.min(place.end - start)];
            self.file.read_exact_at(piece, self.start + start as u64).map_err(io_error(&self.path))?;
            let piece = Tensor::from_raw_buffer(piece, dtype, &[piece.len() / dtype.size_in_bytes()], &Device::Cpu)?;
            values.extend(piece.to_dtype(DType::F32)?.to_vec1::<f32>()?);
        }
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            let expected = format!("finite numbers in weight `{name}`");
            return Err(Error::Format { path: self.path.clone(), expected, found: value.to_string() });
        }
        Ok(Var::from_vec(values, shape, &Device::Cpu)?)
    }
}

/// What else is found under the name of a weights' file, by its first bytes.
fn other_kind(prefix: &[u8; PREFIX as usize]) -> Option<&'static str> {
    match prefix {
        // A zip archive of pickles, and a bare pickle.
        [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..] => Some(PICKLE),
        b"version " => Some("a Git LFS pointer: fetch the file itself with `git lfs pull`"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::weights::{Init, Params};

    fn refusal(bytes: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, bytes).unwrap();
        let error = WeightFile::open(&path).map(|_| ()).unwrap_err().to_string();
        let start = format!("{}: expected a whole safetensors file, found ", path.display());
        error.strip_prefix(&start).unwrap_or_else(|| panic!("{error}")).to_owned()
    }

    fn whole() -> Vec<u8> {
        let specs = [ParamSpec::new("a", &[3, 2], Init::Ones), ParamSpec::new("b", &[4], Init::Zeros)];
        Params::init(&specs, 0).unwrap().to_bytes().unwrap()
    }

    #[test]
    fn every_truncation_is_refused() {
        let bytes = whole();
        for length in 0..bytes.len() {
            refusal(&bytes[..length]);
        }
        assert_eq!(refusal(&bytes[..5]), "5 bytes");
        assert_eq!(refusal(&bytes[..bytes.len() - 1]), "39 bytes of tensors where the header lists 40");
        assert_eq!(refusal(&[&bytes[..], &[0]].concat()), "41 bytes of tensors where the header lists 40");
    }

    #[test]
    fn a_header_that_lies_is_refused() {
        let bytes = whole();
        let with_length = |length: u64| [&length.to_le_bytes(), &bytes[8..]].concat();
        let header = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        for length in [bytes.len() as u64 - 7, 1 << 40, u64::MAX] {
            assert_eq!(
                refusal(&with_length(length)),
                format!("{} bytes of which the header claims {length}", bytes.len())
            );
        }
        for length in [0, header - 9, header - 1, header + 1, bytes.len() as u64 - 8] {
            refusal(&with_length(length));
        }
        let text = String::from_utf8(bytes[8..8 + header as usize].to_vec()).unwrap();
        for (honest, lie) in [("[3,2]", "[2,2]"), ("[0,24]", "[1,24]"), ("[24,40]", "[16,40]"), ("[24,40]", "[24,99]")]
        {
            let lying = text.replace(honest, lie);
            assert_ne!(lying, text);
            let lying = [&(lying.len() as u64).to_le_bytes(), lying.as_bytes(), &[0; 40]].concat();
            refusal(&lying);
        }
    }

    #[test]
    fn a_weight_that_is_not_finite_is_named() {
        let (folder, spec) = (tempfile::tempdir().unwrap(), ParamSpec::new("a", &[3], Init::Ones));
        let path = folder.path().join("model.safetensors");
        let mut bytes = Params::init(std::slice::from_ref(&spec), 0).unwrap().to_bytes().unwrap();
        for (value, shown) in [(f32::NAN, "NaN"), (f32::NEG_INFINITY, "-inf")] {
            let last = bytes.len() - 4;
            bytes[last..].copy_from_slice(&value.to_le_bytes());
            std::fs::write(&path, &bytes).unwrap();
            let error = WeightFile::open(&path).unwrap().read("a", &spec).unwrap_err().to_string();
            assert_eq!(error, format!("{}: expected finite numbers in weight `a`, found {shown}", path.display()));
        }
    }

    #[test]
    fn tensors_larger_than_a_piece_are_read_whole_and_by_rows() {
        let folder = tempfile::tempdir().unwrap();
        for (dtype, size) in [(DType::F32, 4), (DType::BF16, 2), (DType::F64, 8)] {
            for rows in [PIECE / size / 4, PIECE / size / 4 + 1, PIECE / size / 2 - 1] {
                let numbers = Tensor::arange(0u32, 4 * rows as u32, &Device::Cpu).unwrap();
                let numbers = numbers.to_dtype(dtype).unwrap().reshape((rows, 4)).unwrap();
                let path = folder.path().join("model.safetensors");
                candle_core::safetensors::save(&[("a", numbers.clone())].into(), &path).unwrap();
                let values = |x: &Tensor| x.to_dtype(DType::F32).unwrap().to_vec2::<f32>().unwrap();
                let (file, spec) = (WeightFile::open(&path).unwrap(), ParamSpec::new("a", &[rows, 4], Init::Ones));
                assert!(values(&file.read("a", &spec).unwrap()) == values(&numbers), "{dtype:?} {rows}");
                let some = file.read_rows("a", &spec, rows / 3..rows - 1).unwrap();
                assert!(values(&some) == values(&numbers)[rows / 3..rows - 1], "{dtype:?} {rows}");
            }
        }
    }

    #[test]
    fn pickles_and_pointers_are_named() {
        let zip = b"PK\x03\x04\x00\x00\x08\x08\x00\x00archive/data.pkl";
        let legacy = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.";
        for pickle in [&zip[..], &legacy[..]] {
            assert!(refusal(pickle).starts_with("a pickle file, which may run any code and is never loaded"));
        }
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a";
        assert_eq!(refusal(pointer), "a Git LFS pointer: fetch the file itself with `git lfs pull`");
    }
}
