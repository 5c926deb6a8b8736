//! The sides of the comparison: processes that turn a folder of raw files into tables.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::pipeline_file;
use super::sink::Format;
use crate::python::write;

/// The sides, ours first.
pub(crate) const NAMES: [&str; 3] = ["ours", "duckdb", "polars"];
const SCRIPT: &str = include_str!("../../ingest_peers.py");

/// What a process took, from its start to its end.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Usage {
    /// Wall time.
    pub(crate) seconds: f64,
    /// CPU time of all threads, of user and system.
    pub(crate) cpu_seconds: f64,
    /// Highest resident memory.
    pub(crate) peak_bytes: u64,
}

/// Numbers that a side's tables add up to, by name.
type Counts = BTreeMap<String, String>;

/// How to run each side.
pub(crate) struct Sides {
    program: PathBuf,
    python: PathBuf,
    script: PathBuf,
    threads: usize,
}

impl Sides {
    /// Sides whose script is written into `folder`; without a `program`, ours is the one beside this one.
    pub(crate) fn new(program: Option<PathBuf>, python: PathBuf, folder: &Path, threads: usize) -> Result<Sides> {
        let program = match program {
            Some(program) => program,
            None => std::env::current_exe().context("finding this program")?.with_file_name("ingest"),
        };
        if !program.is_file() {
            bail!("{}: expected the program of the stage ingest; name it by --program", program.display());
        }
        let script = folder.join("ingest_peers.py");
        write(&script, SCRIPT)?;
        Ok(Sides { program, python, script, threads })
    }

    /// Threads of each side.
    pub(crate) fn threads(&self) -> usize {
        self.threads
    }

    /// Does the work once, and removes what it wrote.
    pub(crate) fn round(&self, side: &str, format: Format, data: &Path) -> Result<Usage> {
        let usage = self.work(side, format, data)?;
        clear(side, data)?;
        eprintln!(
            "{side}: {:.1} s, {:.1} s of CPU time, {} MB",
            usage.seconds,
            usage.cpu_seconds,
            usage.peak_bytes / 1_000_000
        );
        Ok(usage)
    }

    /// Does the work once without measuring it: what its tables add up to.
    pub(crate) fn counted(&self, side: &str, format: Format, data: &Path) -> Result<Counts> {
        self.work(side, format, data)?;
        let mut command = Command::new(&self.python);
        command.arg(&self.script).arg("count").arg(output(side, data));
        let counts = answer(side, &mut command)?;
        clear(side, data)?;
        Ok(counts)
    }

    fn work(&self, side: &str, format: Format, data: &Path) -> Result<Usage> {
        // A process of its own has no other children to tell this one's CPU time and memory from.
        let mut command = Command::new(std::env::current_exe().context("finding this program")?);
        command.args(["measured", "--"]);
        if side == NAMES[0] {
            command.arg(&self.program).arg("--config").arg(data.join(pipeline_file::NAME));
        } else {
            command.arg(&self.python).arg(&self.script).args([side, format.name()]).arg(data);
            command.arg(output(side, data)).arg(self.threads.to_string());
        }
        answer(side, &mut command)
    }
}

/// Where a side writes its tables.
fn output(side: &str, data: &Path) -> PathBuf {
    let run = data.join(pipeline_file::ROOT).join(side);
    if side == NAMES[0] { run.join("ingest") } else { run }
}

fn clear(side: &str, data: &Path) -> Result<()> {
    let run = data.join(pipeline_file::ROOT).join(side);
    fs::remove_dir_all(&run).with_context(|| format!("{}: removing failed", run.display()))
}

/// Runs a command: the line of JSON that it prints.
fn answer<T: DeserializeOwned>(side: &str, command: &mut Command) -> Result<T> {
    let output = command.output().with_context(|| format!("{side}: starting failed"))?;
    if !output.status.success() {
        bail!("{side} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{side}: answered {:?}", String::from_utf8_lossy(&output.stdout)))
}

/// Checks that all sides found the same, in the order of [`NAMES`].
pub(crate) fn agree(counts: &[Counts]) -> Result<()> {
    let Some((ours, peers)) = counts.split_first() else { return Ok(()) };
    let names = counts.iter().flat_map(BTreeMap::keys);
    let mut differences = Vec::new();
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        for (peer, theirs) in NAMES[1..].iter().zip(peers) {
            if ours.get(name) != theirs.get(name) {
                let number = |counts: &Counts| counts.get(name).cloned().unwrap_or_else(|| "none".into());
                differences.push(format!("{name}: {} here, {} in {peer}", number(ours), number(theirs)));
            }
        }
    }
    if differences.is_empty() { Ok(()) } else { bail!("the sides differ: {}", differences.join("; ")) }
}

/// Runs a program and prints its [`Usage`]; the only child of its process.
///
/// # Errors
/// If the program cannot be started or fails.
pub(crate) fn measured(command: &[std::ffi::OsString]) -> Result<()> {
    let [program, arguments @ ..] = command else { bail!("no program to measure") };
    let started = Instant::now();
    let mut command = Command::new(program);
    let status = command.args(arguments).stdout(Stdio::null()).status().context("starting failed")?;
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        bail!("{}: ended with {status}", program.display());
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("asking for the CPU time")?;
    let time = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    // Linux counts in KiB, macOS in bytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    let usage = Usage {
        seconds,
        cpu_seconds: time(usage.user_time()) + time(usage.system_time()),
        peak_bytes: usage.max_rss().unsigned_abs() as u64 * unit,
    };
    println!("{}", serde_json::to_string(&usage)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(pairs: &[(&str, &str)]) -> Counts {
        pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn differences_name_the_peer_and_both_numbers() {
        let ours = counts(&[("clicks", "3"), ("rows", "9")]);
        assert!(agree(&[ours.clone(), ours.clone(), ours.clone()]).is_ok());
        let error = agree(&[ours.clone(), ours, counts(&[("clicks", "4")])]).unwrap_err().to_string();
        let expected = "the sides differ: clicks: 3 here, 4 in polars; rows: 9 here, none in polars";
        assert_eq!(error, expected);
    }
}
