//! What can go wrong in this crate.

use std::path::PathBuf;

/// The result of every fallible function of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// candle prints a backtrace below its message where one is asked for.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Tensor(error)
    }
}

/// An error of this crate; each message names what was found and what was expected.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A tensor operation failed.
    #[error("{}", first_line(.0))]
    Tensor(candle_core::Error),
    /// A loss on scores refused its input.
    #[error("loss: {0}")]
    Loss(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file is not valid safetensors.
    #[error("{}: not a safetensors file: {source}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// The parser's answer.
        source: safetensors::SafeTensorError,
    },
    /// A model file lacks a weight the architecture has.
    #[error(
        "{}: weight `{name}` {shape:?} is missing, {found} others were found: is the config.json beside it of this model?",
        path.display()
    )]
    MissingWeight {
        /// The file, or the first of several.
        path: PathBuf,
        /// The weight's name.
        name: String,
        /// The shape expected.
        shape: Vec<usize>,
        /// How many weights the file has.
        found: usize,
    },
    /// A model file has a weight the architecture does not have.
    #[error(
        "{}: weight `{name}` is not part of this architecture: take the config.json of this model, or remove a weight that \
         nothing reads",
        path.display()
    )]
    ExtraWeight {
        /// The file.
        path: PathBuf,
        /// The weight's name.
        name: String,
    },
    /// A weight has another shape than the configuration says.
    #[error("{}: weight `{name}` has shape {found:?}, expected {expected:?} from config.json", path.display())]
    WeightShape {
        /// The file.
        path: PathBuf,
        /// The weight's name.
        name: String,
        /// The shape expected.
        expected: Vec<usize>,
        /// The shape found.
        found: Vec<usize>,
    },
    /// A weight has a type that cannot be widened to `f32`.
    #[error("{}: weight `{name}` has type {found}, expected F32, F16 or BF16", path.display())]
    WeightType {
        /// The file.
        path: PathBuf,
        /// The weight's name.
        name: String,
        /// The type found.
        found: String,
    },
    /// A weight was asked for that the model does not have.
    #[error("the model has no weight `{0}`")]
    UnknownWeight(String),
    /// A configuration is impossible.
    #[error("{field} = {found}: expected {expected}")]
    Config {
        /// The field of config.json.
        field: &'static str,
        /// The value found.
        found: String,
        /// What the value must be.
        expected: String,
    },
    /// A configuration is not the JSON this crate reads.
    #[error("config.json: {0}")]
    ConfigJson(#[from] serde_json::Error),
    /// A field of a configuration holds a value of another kind.
    #[error("{field}: {source}")]
    ConfigField {
        /// The field, with those around it.
        field: String,
        /// The parser's answer.
        source: serde_json::Error,
    },
    /// A model's configuration is one this crate does not compute.
    #[error("{}: {source}", path.display())]
    ConfigFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<Error>,
    },
    /// A batch is malformed.
    #[error("batch: {0}")]
    Batch(String),
    /// The model has no head for what was asked.
    #[error("the model has a {found} head, but a {expected} head is needed")]
    Head {
        /// The head the model has.
        found: &'static str,
        /// The head the call needs.
        expected: &'static str,
    },
    /// A file does not hold what it should.
    #[error("{}: expected {expected}, found {found}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What it should hold, or be.
        expected: String,
        /// What it holds.
        found: String,
    },
    /// A decoder of another library, whose folder does not say how it reads a query and a document.
    #[error(
        "{}: expected a ranker whose input template is known, found a decoder whose folder has no disranker.json, no modules \
         of sentence-transformers and no chat template with the roles query and document; give the text it was trained on as \
         its template, such as {example:?}, or {:?} for the tokenizer's own pair",
        path.display(), crate::text::Template::PAIR
    )]
    UnknownTemplate {
        /// The folder.
        path: PathBuf,
        /// A template of the kind that is missing.
        example: String,
    },
    /// The tokenizer could not be trained, read or applied.
    #[error("tokenizer: {0}")]
    Tokenizer(String),
    /// A weight got no gradient from the loss.
    #[error("weight `{0}` got no gradient: the loss does not depend on it")]
    MissingGradient(String),
    /// A weight got a gradient that is infinite or not a number.
    #[error("weight `{0}` got a gradient that is not finite: lower the learning rate")]
    NonFiniteGradient(String),
    /// A loss, a validation value or a score is infinite or not a number.
    #[error("{what} is {value}: lower the learning rate, or look for bad values in the training data")]
    NonFinite {
        /// What the value is, and of which step or row.
        what: String,
        /// The value.
        value: f64,
    },
    /// A training made a model that gives all documents of a list the same score.
    #[error(
        "after step {step}, all documents of a list have the same score, to {spread:.1e} of its size: the model ranks nothing"
    )]
    Collapsed {
        /// Steps taken.
        step: usize,
        /// How much the scores differ.
        spread: f64,
    },
    /// Two ranks of a training hold different weights after the same steps.
    #[error(
        "after step {step}, rank {rank} has other weights than rank 0, though both took the same steps: train on machines with \
         processors of one kind"
    )]
    RanksDiffer {
        /// The rank.
        rank: usize,
        /// Steps taken.
        step: usize,
    },
    /// The optimizer's state belongs to other weights.
    #[error("weight `{name}` has {found} values, the optimizer holds moments for {expected}")]
    Moments {
        /// The weight.
        name: String,
        /// Values the moments are for.
        expected: usize,
        /// Values the weight has.
        found: usize,
    },
    /// A training configuration is impossible.
    #[error("training: {0}")]
    Training(String),
    /// An error of the calling code, passed through: a task that cannot read its data, an observer that ends the run.
    #[error(transparent)]
    Caller(Box<dyn std::error::Error + Send + Sync>),
}
