//! The runtimes that are found in a Python.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context;
use nn::text::Sequence;
use pipeline::ConfigError;
use serde::Deserialize;
use serde_json::json;

use crate::folder::{GRAPHS, file_name};
use crate::graph::Precision;

const SCRIPT: &str = include_str!("runtimes.py");
/// The exit code of the script without ONNX Runtime.
const NO_RUNTIME: i32 = 9;

/// What a runtime made of a model.
#[derive(Debug, Deserialize)]
pub(super) struct Run {
    pub(super) runtime: String,
    /// The place of the model among those written.
    pub(super) model: usize,
    /// Those of each sequence, one after the other.
    pub(super) logits: Vec<f32>,
    /// Of each batch.
    pub(super) seconds: Vec<f64>,
}

/// Runs every written model in each runtime, in batches of so many sequences that are padded to the longest of each.
///
/// # Errors
/// [`ConfigError`] for a Python without ONNX Runtime.
pub(super) fn run(
    python: &Path,
    (out, precisions): (&Path, &[Precision]),
    sequences: &[Sequence],
    (padding, batch): (u32, usize),
) -> anyhow::Result<Vec<Run>> {
    let models: Vec<_> = precisions.iter().map(|&precision| out.join(GRAPHS).join(file_name(precision))).collect();
    let sequences: Vec<_> = sequences.iter().map(|sequence| (&sequence.ids, &sequence.type_ids)).collect();
    let work = json!({ "models": models, "sequences": sequences, "padding": padding, "batch": batch });
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let path = folder.path().join("work.json");
    let mut file = BufWriter::new(File::create(&path)?);
    serde_json::to_writer(&mut file, &work)?;
    file.flush()?;
    let shown = python.display();
    let output = Command::new(python).arg("-c").arg(SCRIPT).arg(&path).stdin(Stdio::null()).output();
    let output = output.map_err(|cause| {
        ConfigError::Unusable(format!("--python {shown}: expected a Python, found none: {cause}; name another"))
    })?;
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    if output.status.code() == Some(NO_RUNTIME) {
        let remedy = "pip install onnxruntime, or name another Python";
        Err(ConfigError::Unusable(format!("--python {shown}: expected ONNX Runtime, found none: {last}; {remedy}")))?;
    }
    anyhow::ensure!(output.status.success(), "{shown}: a runtime failed: {last}");
    serde_json::from_slice(&output.stdout).with_context(|| format!("{shown}: expected scores"))
}
