//! The server `serve` as a process, with a small model.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nn::cross_encoder::{CrossEncoder, Execution};
use nn::folder::{Settings, save_ranker};
use nn::models::{Head, Model, Sizes, from_sizes};
use nn::text::{Kind, Scoring, Texts, Tokenizer, Window};
use serde_json::Value;

use crate::process::command;

/// Long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Most tokens of a sequence of the models here.
pub(crate) const WINDOW: usize = 32;

/// Words that the models here know.
pub(crate) const WORDS: [&str; 8] =
    ["red shoes", "blue lamp", "cheap", "school", "a table", "green", "for the house", "old"];

/// Writes a small BERT with random weights.
pub(crate) fn save_model(folder: &Path, hidden_size: usize, seed: u64) {
    let tokenizer = Tokenizer::train_word_piece(WORDS.iter(), 80).unwrap();
    let scoring = Scoring::of(Kind::Encoder, Window::LongestFirst { max_length: WINDOW });
    let sizes = Sizes {
        hidden_size,
        intermediate_size: 4 * hidden_size,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: None,
        max_tokens: WINDOW,
        dropout: 0.1,
    };
    let model = Model::new(from_sizes(Kind::Encoder, &sizes, &tokenizer).unwrap(), Head::Score, seed).unwrap();
    save_ranker(folder, &model, &tokenizer, &Settings { scoring, standardisation: None }, "# A ranker").unwrap();
}

/// The logits of a model's own library for a query and documents.
pub(crate) fn logits(folder: &Path, query: &str, documents: &[String]) -> Vec<f32> {
    let texts = documents.iter().map(|document| Texts { query, title: "", summary: document });
    let cross_encoder = CrossEncoder::open(folder, Execution::default()).unwrap();
    cross_encoder.score(&texts.collect::<Vec<_>>()).unwrap()
}

/// `count` documents of different lengths.
pub(crate) fn documents(count: usize) -> Vec<String> {
    let word = |number: usize| WORDS[number % WORDS.len()];
    (0..count).map(|i| (0..i % 7 + 1).map(|j| word(i * 3 + i / 7 + j * j)).collect::<Vec<_>>().join(" ")).collect()
}

/// A server of one test.
pub(crate) struct Serving {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) process: Child,
    pub(crate) address: String,
    agent: ureq::Agent,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// Requires a status; returns the body.
    #[track_caller]
    pub(crate) fn with_status(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json()
    }
}

impl Serving {
    /// Serves a tiny model.
    pub(crate) fn start(arguments: &[&str]) -> Serving {
        Serving::start_with(16, arguments, |_| {})
    }

    /// Serves a model of this width, whose folder is `model`, with what `change` changes of the command.
    pub(crate) fn start_with(hidden_size: usize, arguments: &[&str], change: impl FnOnce(&mut Command)) -> Serving {
        let folder = tempfile::tempdir().unwrap();
        save_model(&folder.path().join("model"), hidden_size, 42);
        Serving::start_in(folder, arguments, change)
    }

    /// Serves what is in the folder `model` of `folder`.
    pub(crate) fn start_in(
        folder: tempfile::TempDir,
        arguments: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Serving {
        let own = ["--model", "model", "--port", "0", "--log-format", "json"];
        let mut command = command(folder.path(), "serve", &[&own[..], arguments].concat());
        let log = File::create(folder.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).env_remove("DISRANKER_API_KEYS");
        change(&mut command);
        let process = command.spawn().unwrap();
        let settings = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        let agent = settings.proxy(None).build().new_agent();
        let mut serving = Serving { folder, process, address: String::new(), agent };
        let listening = |line: &Value| line["address"].as_str().map(str::to_owned);
        serving.address = serving.wait_for_line("the address", |line| listening(line).is_some())["address"]
            .as_str()
            .unwrap()
            .to_owned();
        serving
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.folder.path().join("model")
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// The first log line of this kind, waiting for it.
    #[track_caller]
    pub(crate) fn wait_for_line(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let log = self.log();
            let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if let Some(line) = lines.into_iter().find(|line| is_it(line)) {
                return line;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("ended ({status}) before {what}: {log}");
            }
            assert!(began.elapsed() < PATIENCE, "no {what}: {log}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(self.agent.get(self.url(path)).call().unwrap())
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_bytes(path, body.to_string().as_bytes())
    }

    #[track_caller]
    pub(crate) fn post_bytes(&self, path: &str, body: &[u8]) -> Answer {
        self.post_with(path, body, &[])
    }

    #[track_caller]
    pub(crate) fn post_with(&self, path: &str, body: &[u8], headers: &[(&str, &str)]) -> Answer {
        let request = headers
            .iter()
            .fold(self.agent.post(self.url(path)), |request, (name, value)| request.header(*name, *value));
        answer(request.send(body).unwrap_or_else(|error| panic!("{path}: {error}: {}", self.log())))
    }

    /// A connection to which anything may be sent.
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream
    }

    /// Sends bytes, and returns all that comes until the server closes the connection.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).unwrap();
        let mut said = Vec::new();
        // A reset after the answer is an end too.
        let _ = stream.read_to_end(&mut said);
        String::from_utf8(said).unwrap()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status().unwrap();
        assert!(status.success(), "{status}");
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() * 1024
    }

    /// A counter of `/metrics`.
    pub(crate) fn counter(&self, name: &str) -> f64 {
        let text = self.get("/metrics").text;
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn answer(mut response: ureq::http::Response<ureq::Body>) -> Answer {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, text: response.body_mut().read_to_string().unwrap() }
}
