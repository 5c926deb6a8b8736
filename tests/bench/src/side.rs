//! One side of a measurement: a process that does the work when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What a side says when its model is loaded.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Ready {
    /// Loss of the first batch without dropout, or scores of the first batch: what both sides must agree on.
    pub(crate) check: Vec<f64>,
}

/// What a side says after a round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Round {
    /// Wall time.
    pub(crate) seconds: f64,
    /// Highest resident memory so far.
    pub(crate) peak_bytes: u64,
    /// Wall time of each request, where a round is requests in turn.
    #[serde(default)]
    pub(crate) requests: Vec<f64>,
}

impl Round {
    /// The time that this share of the requests took at most.
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.requests.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(place.saturating_sub(1)).copied().unwrap_or(self.seconds)
    }
}

/// A running side; ends with its value.
pub(crate) struct Side {
    name: String,
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Side {
    /// Starts a process with this many threads and waits until it is ready.
    pub(crate) fn start(name: &str, command: &mut Command, threads: usize) -> Result<(Side, Ready)> {
        for variable in ["RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"] {
            command.env(variable, threads.to_string());
        }
        // candle's own pool is left out, as the stages do.
        command.env("CANDLE_NUM_THREADS", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().with_context(|| format!("{name}: starting failed"))?;
        let (Some(input), Some(output)) = (process.stdin.take(), process.stdout.take()) else {
            bail!("{name}: started without pipes");
        };
        let mut side = Side { name: name.to_owned(), process, input, output: BufReader::new(output) };
        let ready = side.answer()?;
        Ok((side, ready))
    }

    /// Who it is.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Does the work once.
    pub(crate) fn round(&mut self) -> Result<Round> {
        writeln!(self.input, "round").with_context(|| format!("{} ended early", self.name))?;
        self.answer()
    }

    fn answer<T: DeserializeOwned>(&mut self) -> Result<T> {
        let mut line = String::new();
        let length = self.output.read_line(&mut line).with_context(|| format!("{}: no answer", self.name))?;
        if length == 0 {
            bail!("{} ended early; see its message above", self.name);
        }
        serde_json::from_str(&line).with_context(|| format!("{}: answered {line:?}", self.name))
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // A side that has ended already needs no end.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
