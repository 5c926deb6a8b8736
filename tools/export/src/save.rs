//! Writing a model as a file, or where it is too large for one message, as a file and one of its numbers.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use files::AtomicFile;
use prost::Message;

use crate::proto::{Entry, Model};

/// Bytes of the largest message that every reader of Protocol Buffers takes, less room for sizes and names.
pub(crate) const LARGEST: usize = (2 << 30) - (1 << 20);
/// Where numbers start in the second file: at a multiple of this, as for memory maps.
const ALIGNMENT: usize = 4096;
/// Bytes from which on numbers go to the second file.
const MOVED: usize = 1024;

/// Writes a model. One of more than `largest` bytes has its large constants in a second file beside it, whose name ends in `_data` as
/// optimum and text-embeddings-inference expect.
///
/// # Errors
/// A failed write.
pub(crate) fn save(mut model: Model, path: &Path, largest: usize) -> anyhow::Result<()> {
    if model.encoded_len() > largest {
        move_numbers(&mut model, path)?;
    }
    files::write_atomically(path, &model.encode_to_vec()).with_context(|| failed(path))
}

fn failed(path: &Path) -> String {
    format!("{}: writing failed", path.display())
}

fn move_numbers(model: &mut Model, path: &Path) -> anyhow::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
    let name = format!("{name}_data");
    let path = path.with_file_name(&name);
    let mut file = AtomicFile::create(&path)?;
    let mut end = 0usize;
    let constants = model.graph.iter_mut().flat_map(|graph| &mut graph.initializer);
    for constant in constants {
        let Some(bytes) = constant.raw_data.take_if(|bytes| bytes.len() >= MOVED) else { continue };
        let start = end.next_multiple_of(ALIGNMENT);
        let written = file.write_all(&vec![0; start - end]).and_then(|()| file.write_all(&bytes));
        written.with_context(|| failed(&path))?;
        end = start + bytes.len();
        let entries = [("location", name.clone()), ("offset", start.to_string()), ("length", bytes.len().to_string())];
        constant.external_data = entries.map(|(key, value)| Entry { key: key.into(), value }).to_vec();
        constant.data_location = Some(1);
    }
    Ok(file.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Constant, GraphProto};

    #[test]
    fn numbers_of_a_large_model_are_in_another_file() {
        let constant = |name: &str, bytes: usize| Constant {
            name: name.into(),
            raw_data: Some((0..bytes).map(|byte| byte as u8).collect()),
            ..Constant::default()
        };
        let initializer = vec![constant("a", 5000), constant("b", 8), constant("c", 2000)];
        let model = Model { graph: Some(GraphProto { initializer, ..GraphProto::default() }), ..Model::default() };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        save(model.clone(), &path, 1 << 20).unwrap();
        assert_eq!(Model::decode(&std::fs::read(&path).unwrap()[..]).unwrap(), model);
        assert!(!folder.path().join("model.onnx_data").exists());

        save(model.clone(), &path, 6000).unwrap();
        let read = Model::decode(&std::fs::read(&path).unwrap()[..]).unwrap();
        let data = std::fs::read(folder.path().join("model.onnx_data")).unwrap();
        let (read, whole) = (read.graph.unwrap().initializer, model.graph.unwrap().initializer);
        assert_eq!(read[1], whole[1]);
        for (read, whole) in [(&read[0], &whole[0]), (&read[2], &whole[2])] {
            let entry = |key: &str| read.external_data.iter().find(|entry| entry.key == key).unwrap().value.clone();
            let (start, length): (usize, usize) = (entry("offset").parse().unwrap(), entry("length").parse().unwrap());
            assert_eq!((entry("location").as_str(), start % ALIGNMENT), ("model.onnx_data", 0));
            assert_eq!(Some(&data[start..start + length]), whole.raw_data.as_deref());
        }
    }
}
