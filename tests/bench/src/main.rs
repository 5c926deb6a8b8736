//! Measures the compute core, the stage `ingest`, the metrics and the server beside other libraries.

// Tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod evaluate;
mod ingest;
mod inputs;
mod memory;
mod peers;
mod python;
mod record;
mod serve;
mod side;
mod work;
mod worker;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use nn::ops::Precision;

use crate::evaluate::Evaluate;
use crate::ingest::Ingest;
use crate::memory::{Memory, Training};
use crate::peers::Peers;
use crate::serve::Serve;
use crate::work::Work;

/// Measures the compute core, the stage ingest, the metrics and the server beside other libraries
#[derive(Debug, Parser)]
#[command(name = "bench", version)]
enum Command {
    /// Does the same work here and in PyTorch, transformers, sentence-transformers, ONNX Runtime and OpenVINO, in turn
    Peers(Peers),
    /// Trains with and without what saves memory: low-rank updates, and layers computed again
    Memory(Memory),
    /// Turns a made-up log of each format into tables here, in DuckDB and in polars, in turn
    Ingest(Ingest),
    /// Measures a made-up run on its judgments here, in ranx and in pytrec_eval, in turn
    Evaluate(Evaluate),
    /// Loads the server of a student and infinity with the same requests, in turn
    Serve(Serve),
    /// Our side of `evaluate`: reads `round` from each line of stdin, answers with a line of JSON
    #[command(hide = true)]
    Measure {
        /// Where judgments and run are
        folder: PathBuf,
    },
    /// One training of `memory`: prints its peak memory in bytes
    #[command(hide = true)]
    Train {
        /// How to train
        training: Training,
    },
    /// One round of a side of `ingest`: runs a program, and prints its time and memory as a line of JSON
    #[command(hide = true)]
    Measured {
        /// The program and its arguments
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// One side of a measurement: reads `round` from each line of stdin, answers with a line of JSON
    #[command(hide = true)]
    Worker {
        /// What to do
        work: Work,
        /// Where its model and inputs are
        folder: PathBuf,
        /// What matrix products multiply
        #[arg(long, value_parser = precision)]
        precision: Precision,
    },
}

fn precision(name: &str) -> Result<Precision, String> {
    match name {
        "f32" => Ok(Precision::F32),
        "bf16" => Ok(Precision::Bf16),
        "int8" => Ok(Precision::Int8),
        other => Err(format!("{other}: expected f32, bf16 or int8")),
    }
}

fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Peers(peers) => peers.run(),
        Command::Memory(memory) => memory.run(),
        Command::Ingest(ingest) => ingest.run(),
        Command::Evaluate(evaluate) => evaluate.run(),
        Command::Serve(serve) => serve.run(),
        Command::Measure { folder } => evaluate::measure(&folder),
        Command::Measured { command } => ingest::measured(&command),
        Command::Train { training } => training.run(),
        Command::Worker { work, folder, precision } => worker::run(work, &folder, precision),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
