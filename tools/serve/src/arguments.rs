//! The command line.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use clap::builder::RangedU64ValueParser;
use pipeline::LogFormat;
use pipeline::config::Precision;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error, StrDeserializer};

/// What `--help` ends with.
const AFTER_HELP: &str = "Environment: DISRANKER_API_KEYS, comma-separated keys of which each request must have one as \
`Authorization: Bearer <key>`; without it, no key is asked for.\n\
Signals: SIGTERM and SIGINT end the server when it has answered what it took; SIGHUP loads the model's folder again.\n\
Exit codes: 0 ended by a signal, 1 failed, 2 bad usage, 3 no usable model in the folder.";

/// Tokens of a batch for each thread, where the command line does not say how many.
const BATCH_TOKENS_OF_THREAD: usize = 1024;

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "serve", version, about = "Serves a cross-encoder over HTTP", after_help = AFTER_HELP)]
pub struct Arguments {
    /// The folder of the ranker: a student of a run, or any cross-encoder of sentence-transformers or transformers
    #[arg(long, value_name = "DIR")]
    pub model: PathBuf,
    /// The address to listen on; 0.0.0.0 for all of this machine
    #[arg(long, default_value = "127.0.0.1")]
    pub host: IpAddr,
    /// The port to listen on; 0 for a free one, which the log tells
    #[arg(long, default_value_t = 8080)]
    pub port: u16,
    /// Precision of matrix products: f32, bf16, auto for bf16 where the processor has instructions for it, or int8
    #[arg(long, default_value = "f32", value_parser = precision)]
    pub precision: Precision,
    /// Threads that score; 0 for one on each core
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Most tokens that go through the model at once, but at least one pair on each thread [default: 1024 for each thread]
    #[arg(long, value_parser = at_least_1())]
    pub max_batch_tokens: Option<usize>,
    /// Milliseconds from a request's last byte to its answer; a request that would take longer is refused with status 429
    #[arg(long, default_value_t = 5000, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_600_000))]
    pub deadline_ms: u64,
    /// Most tokens that wait; a request that would make it more is refused with status 429
    #[arg(long, default_value_t = 1_000_000, value_parser = at_least_1())]
    pub max_queue_tokens: usize,
    /// Most documents of a request
    #[arg(long, default_value_t = 1000, value_parser = at_least_1())]
    pub max_documents: usize,
    /// Most bytes of a request's body
    #[arg(long, default_value_t = 4 << 20, value_parser = at_least_1())]
    pub max_body_bytes: usize,
    /// Most connections at once; others wait until one ends
    #[arg(long, default_value_t = 256, value_parser = at_least_1())]
    pub max_connections: usize,
    /// Milliseconds that a client has to send the head of a request, and again to send its body; a connection without requests
    /// is closed after as long
    #[arg(long, default_value_t = 30_000, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_600_000))]
    pub read_timeout_ms: u64,
    /// Loads the model's folder again when its files change, or the folder that a symbolic link names
    #[arg(long)]
    pub watch: bool,
    /// How log lines are written to stderr
    #[arg(long, value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// What requests may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) deadline: Duration,
    pub(crate) read_timeout: Duration,
    pub(crate) documents: usize,
    pub(crate) body_bytes: usize,
    /// For `/info`.
    pub(crate) connections: usize,
    /// For `/info`.
    pub(crate) batch_tokens: usize,
}

/// What may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct QueueLimits {
    pub(crate) deadline: Duration,
    pub(crate) tokens: usize,
}

impl Arguments {
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            deadline: self.deadline(),
            read_timeout: self.read_timeout(),
            documents: self.max_documents,
            body_bytes: self.max_body_bytes,
            connections: self.max_connections,
            batch_tokens: self.batch_tokens(),
        }
    }

    pub(crate) fn queue_limits(&self) -> QueueLimits {
        QueueLimits { deadline: self.deadline(), tokens: self.max_queue_tokens }
    }

    pub(crate) fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    pub(crate) fn read_timeout(&self) -> Duration {
        Duration::from_millis(self.read_timeout_ms)
    }

    /// Tokens of a batch.
    pub(crate) fn batch_tokens(&self) -> usize {
        self.max_batch_tokens.unwrap_or(BATCH_TOKENS_OF_THREAD * rayon::current_num_threads())
    }
}

fn at_least_1() -> impl clap::builder::TypedValueParser<Value = usize> {
    RangedU64ValueParser::<usize>::new().range(1..)
}

/// A precision by the name that pipeline files have for it.
fn precision(name: &str) -> Result<Precision, String> {
    let name: StrDeserializer<'_, Error> = name.into_deserializer();
    Precision::deserialize(name).map_err(|error| error.to_string())
}
