//! The server of a student under load beside `infinity`, in turn: the same model, requests and clients, by the load generator
//! `oha`.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Value, json};

use crate::python;

const REQUIREMENTS: &str = include_str!("../serve_requirements.txt");

/// The load generator's version.
const OHA: &str = "1.16.0";
/// How long a server may take to listen.
const PATIENCE: Duration = Duration::from_secs(300);
const WORDS: [&str; 10] = ["red", "shoes", "cheap", "table", "lamp", "garden", "school", "blue", "repair", "music"];

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// The folder of the student that both serve
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// Documents of a request
    #[arg(long, default_value_t = 50)]
    documents: usize,
    /// Words of a document
    #[arg(long, default_value_t = 40)]
    words: usize,
    /// Clients that ask at once, each as soon as it has its answer
    #[arg(long, default_value_t = 8)]
    clients: usize,
    /// Seconds of a round
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// Precision of this library's server, as its option `--precision` takes it; infinity computes in f32
    #[arg(long, default_value = "int8")]
    precision: String,
    /// Rounds of each side, in turn
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
}

/// A server at work; it is killed at the end.
struct Server {
    process: Child,
    port: u16,
    log: PathBuf,
}

/// What a round of load saw.
#[derive(Debug, Clone, Copy)]
struct Seen {
    requests_per_second: f64,
    /// Seconds.
    p50: f64,
    p99: f64,
}

impl Serve {
    /// Measures and prints a table.
    pub(crate) fn run(&self) -> Result<()> {
        let oha = oha()?;
        let python = python::interpreter_with("DISRANKER_SERVERS_PYTHON", "bench-servers", REQUIREMENTS)?;
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        let model = self.model.canonicalize().with_context(|| self.model.display().to_string())?;
        let own = std::env::current_exe().context("finding this program")?.with_file_name("serve");
        let mut ours = Command::new(own);
        ours.arg("--model").arg(&model).args(["--deadline-ms", "600000", "--log-format", "json"]);
        ours.args(["--precision", &self.precision]);
        let ours = Server::start("disranker", ours, folder.path())?;
        let mut infinity = Command::new(python.with_file_name("infinity_emb"));
        infinity.args(["v2", "--engine", "torch", "--device", "cpu", "--dtype", "float32", "--model-id"]).arg(&model);
        infinity.envs([("DO_NOT_TRACK", "1"), ("INFINITY_ANONYMOUS_USAGE_STATS", "0"), ("HF_HUB_OFFLINE", "1")]);
        let infinity = Server::start("infinity", infinity, folder.path())?;
        let documents: Vec<String> = (0..self.documents).map(|number| self.document(number)).collect();
        let query = WORDS[..3].join(" ");
        let body = |texts: &str| json!({ "model": model, "query": query, texts: documents }).to_string();
        // infinity's request has the form of Cohere's.
        let load = |server: &Server, body: &str, seconds| self.load(&oha, server, body, seconds, folder.path());
        let (to_ours, to_infinity) = (body("texts"), body("documents"));
        load(&ours, &to_ours, 2)?;
        load(&infinity, &to_infinity, 2)?;
        let rounds = (0..self.rounds)
            .map(|_| Ok((load(&ours, &to_ours, self.seconds)?, load(&infinity, &to_infinity, self.seconds)?)));
        println!("{}", table(&rounds.collect::<Result<Vec<_>>>()?));
        Ok(())
    }

    fn document(&self, number: usize) -> String {
        let words = (0..self.words).map(|word| WORDS[(number * 7 + word * (number % 3 + 1)) % WORDS.len()]);
        words.collect::<Vec<_>>().join(" ")
    }

    /// One round of load on a server.
    fn load(&self, oha: &Path, server: &Server, body: &str, seconds: u64, folder: &Path) -> Result<Seen> {
        let file = folder.join("body.json");
        python::write(&file, body)?;
        let mut command = Command::new(oha);
        command.args(["--no-tui", "--output-format", "json", "--method", "POST", "-T", "application/json"]);
        command.args(["-z", &format!("{seconds}s"), "-w", "-c", &self.clients.to_string(), "-D"]).arg(&file);
        command.arg(format!("http://127.0.0.1:{}/rerank", server.port));
        let output = command.output().with_context(|| format!("{command:?}: starting failed"))?;
        ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
        let seen: Value = serde_json::from_slice(&output.stdout).context("the answer of oha")?;
        let statuses = &seen["statusCodeDistribution"];
        let is_whole = statuses.as_object().is_some_and(|statuses| statuses.keys().all(|status| status == "200"));
        ensure!(is_whole, "expected status 200 alone, found {statuses}; see {}", server.log.display());
        let number = |pointer: &str| {
            seen.pointer(pointer).and_then(Value::as_f64).with_context(|| format!("no {pointer} in {seen}"))
        };
        Ok(Seen {
            requests_per_second: number("/summary/requestsPerSec")?,
            p50: number("/latencyPercentiles/p50")?,
            p99: number("/latencyPercentiles/p99")?,
        })
    }
}

impl Server {
    /// Starts a server on a free port and waits until it listens.
    fn start(name: &str, mut command: Command, folder: &Path) -> Result<Server> {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = folder.join(format!("{name}.log"));
        let out = File::create(&log).with_context(|| log.display().to_string())?;
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
        command.stdin(Stdio::null()).stdout(out.try_clone()?).stderr(out);
        let process = command.spawn().with_context(|| format!("{command:?}: starting failed"))?;
        let mut server = Server { process, port, log };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let has_ended = server.process.try_wait()?.is_some();
            if has_ended || began.elapsed() > PATIENCE {
                bail!("{name} does not listen: {}", fs::read_to_string(&server.log).unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The load generator of the user's cache, which is installed where it is missing.
fn oha() -> Result<PathBuf> {
    let folder = python::cached(&format!("oha-{OHA}"))?;
    let program = folder.join("bin/oha");
    if !program.exists() {
        eprintln!("installing oha {OHA} into {}", folder.display());
        let mut install = Command::new("cargo");
        install.args(["install", "--locked", "--quiet", "oha", "--version", OHA, "--root"]).arg(&folder);
        python::run(&mut install, "install it there otherwise")?;
    }
    Ok(program)
}

/// The medians of both sides and their ratio, where more than 1 is in our favour.
fn table(rounds: &[(Seen, Seen)]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header(["", "disranker", "infinity", "ratio"]);
    let mut row = |name: &str, of: fn(&Seen) -> f64, more_is_better: bool, digits: usize| {
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let ours = median(rounds.iter().map(|(ours, _)| of(ours)).collect());
        let theirs = median(rounds.iter().map(|(_, theirs)| of(theirs)).collect());
        let ratio = if more_is_better { ours / theirs } else { theirs / ours };
        table.add_row([
            name.to_owned(),
            format!("{ours:.digits$}"),
            format!("{theirs:.digits$}"),
            format!("{ratio:.2}"),
        ]);
    };
    row("requests/s", |seen| seen.requests_per_second, true, 2);
    row("p50, ms", |seen| seen.p50 * 1000.0, false, 0);
    row("p99, ms", |seen| seen.p99 * 1000.0, false, 0);
    for index in 1..=3 {
        if let Some(column) = table.column_mut(index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
