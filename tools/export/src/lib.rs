//! Writes a saved cross-encoder as ONNX, without Python: the graph of its architecture with its weights, in single precision or with
//! matrix products of bytes, in a folder that transformers, sentence-transformers and servers of models load.
//!
//! [`run`] does what the command line asks for. A graph is made by `models`, of the layers of `graph`; `folder` writes it with its
//! companions, and `compare` measures it beside the model here.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod card;
mod compare;
mod folder;
mod graph;
mod models;
mod proto;
mod save;

use std::path::{Path, PathBuf};

use clap::{Parser, ValueEnum};
use nn::folder::{InputChoice, load_ranker_on};
use pipeline::{BadInput, EXIT_CODES, LogFormat};

pub use graph::Precision;

/// A format of models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// ONNX, which ONNX Runtime, OpenVINO and many others read.
    Onnx,
}

/// The command line.
#[derive(Debug, Parser)]
#[command(version, about = "Writes a saved cross-encoder as ONNX, in a folder that other libraries and servers load", after_help = EXIT_CODES)]
pub struct Arguments {
    /// Folder of any saved cross-encoder that is an encoder, such as data/runs/default/distill/student
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The format
    #[arg(long)]
    pub to: Target,
    /// `int8` adds a second model beside the one in single precision, with matrix products in eight bits
    #[arg(long, value_enum, default_value = "f32")]
    pub precision: Precision,
    /// The folder to write; by default beside the model, with `-onnx` after its name
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Replaces a folder that is there
    #[arg(long)]
    pub force: bool,
    /// Rows with query, title and summary, of any format that `score --model` reads, on which the written models are compared with
    /// this one: scores, speed and, where the rows have a `grade`, NDCG@10. May be given many times
    #[arg(long, value_name = "FILE")]
    pub pairs: Vec<PathBuf>,
    /// A Python with onnxruntime, and openvino if it is to be compared too, which --pairs needs
    #[arg(long, value_name = "PROGRAM", requires = "pairs", default_value_os_t = default_python())]
    pub python: PathBuf,
    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// The Python of `DISRANKER_PYTHON`, or the one on the path.
fn default_python() -> PathBuf {
    std::env::var_os("DISRANKER_PYTHON").map_or_else(|| "python3".into(), PathBuf::from)
}

/// Does what the command line asks for.
///
/// # Errors
/// [`pipeline::ConfigError`] for a folder that may not be written, and [`BadInput`] for a model that cannot be read or has no graph,
/// and for pairs that cannot be read.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Target::Onnx = arguments.to;
    let model = &arguments.model;
    let out = arguments.out.clone().unwrap_or_else(|| beside(model));
    folder::check_output(model, &out, arguments.force)?;
    let pairs = compare::read_pairs(&arguments.pairs)?;
    let hub = ::models::hub_base(model)?;
    let saved = load_ranker_on(model, hub.as_deref(), &InputChoice::default());
    let saved = saved.map_err(|error| BadInput(error.to_string()))?;
    let precisions = match arguments.precision {
        Precision::F32 => &[Precision::F32][..],
        Precision::Int8 => &[Precision::F32, Precision::Int8],
    };
    folder::write((model, &saved), &out, precisions)?;
    for &precision in precisions {
        let path = out.join(folder::GRAPHS).join(folder::file_name(precision));
        tracing::info!("export: {}", path.display());
    }
    if !pairs.is_empty() {
        compare::compare(&saved, (&out, precisions), &pairs, &arguments.python)?;
    }
    Ok(())
}

/// The folder that a model is exported to unless another one is named.
fn beside(model: &Path) -> PathBuf {
    let mut name = model.file_name().unwrap_or(model.as_os_str()).to_owned();
    name.push("-onnx");
    model.with_file_name(name)
}
