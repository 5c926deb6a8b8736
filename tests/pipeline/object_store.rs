//! Inputs in object stores. moto, a server on this machine, answers as S3 does, and as Google Cloud Storage, whose XML interface is
//! the same. Runs where `DISRANKER_OBJECTS_PYTHON` names a Python with the packages of objects/requirements.txt, and
//! `fetch-objects` is built.

use std::collections::BTreeMap;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use files::sha256_of_file;
use parquet::file::reader::SerializedFileReader;

use crate::process::{self, Outcome, binary, command, finish};
use crate::real_servers::scores;
use crate::sandbox::{CONFIG, Sandbox};
use crate::score_pairs::MODEL;
use crate::scoring_teachers::teacher;

/// Long enough for Python on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// The secret of the tests' user.
const SECRET: &str = "a-secret-that-nobody-prints";

/// The key of user ids, without which no two runs have the same ones.
const USER_KEY: &str = "0123456789abcdef0123456789abcdef";

/// What a signed request has; the server looks at no signature.
const SIGNED: &str =
    "AWS4-HMAC-SHA256 Credential=tester/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";

/// A server of objects with one bucket, `bucket`, and a cache of its own; it ends with the test.
struct Store {
    process: Child,
    address: String,
    cache: tempfile::TempDir,
}

impl Store {
    /// Starts a server; without what it takes, the reason is printed.
    fn start() -> Option<Store> {
        let Some(python) = std::env::var_os("DISRANKER_OBJECTS_PYTHON").map(PathBuf::from) else {
            println!("skipped: DISRANKER_OBJECTS_PYTHON names no Python with objects/requirements.txt");
            return None;
        };
        if !binary("ingest").with_file_name("fetch-objects").exists() {
            println!("skipped: fetch-objects is not built: `just build-objects`");
            return None;
        }
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Command::new(python.with_file_name("moto_server"));
        server.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = server.spawn().unwrap();
        let address = format!("http://127.0.0.1:{port}");
        let store = Store { process, address, cache: tempfile::tempdir().unwrap() };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < PATIENCE, "moto does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        ureq::put(format!("{}/bucket", store.address)).send_empty().unwrap();
        Some(store)
    }

    /// Stores an object.
    fn put(&self, key: &str, content: &[u8]) {
        // Public, as the tests sign no request to Google Cloud Storage.
        let request = ureq::put(format!("{}/bucket/{key}", self.address)).header("x-amz-acl", "public-read");
        let request = request.header("content-type", "application/octet-stream").header("authorization", SIGNED);
        request.send(content).unwrap();
    }

    /// Stores every file of a folder.
    fn put_folder(&self, folder: &Path, key: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, name) = (entry.as_ref().unwrap().path(), entry.unwrap().file_name().into_string().unwrap());
            self.put(&format!("{key}/{name}"), &fs::read(path).unwrap());
        }
    }

    /// `command` with the environment by which it reads this server.
    fn read_by(&self, mut command: Command) -> Command {
        command.env("DISRANKER_OBJECT_CACHE", self.cache.path()).env("DISRANKER_USER_KEY", USER_KEY);
        command.envs([("AWS_ACCESS_KEY_ID", "tester"), ("AWS_SECRET_ACCESS_KEY", SECRET), ("AWS_ALLOW_HTTP", "true")]);
        command.env("AWS_ENDPOINT", &self.address);
        command.envs([("GOOGLE_SKIP_SIGNATURE", "true"), ("GOOGLE_ALLOW_HTTP", "true")]);
        command.env("GOOGLE_BASE_URL", &self.address);
        command
    }

    /// Runs a stage of a sandbox.
    fn stage(&self, sandbox: &Sandbox, stage: &str, arguments: &[&str]) -> Outcome {
        finish(self.read_by(sandbox.command(stage, arguments)))
    }

    /// The copy of an object.
    fn copy(&self, key: &str) -> PathBuf {
        self.cache.path().join("files/s3/bucket").join(key)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs `ingest` of `configs/sample.toml` over files below `at`, into a run below `root`.
fn sample(store: &Store, root: &Path, at: &str) -> Outcome {
    let config = Path::new("../configs/sample.toml").canonicalize().unwrap();
    let settings = [
        format!("run.root={:?}", root.display().to_string()),
        format!("ingest.log.paths=[{:?}]", format!("{at}/log*.jsonl")),
        format!("ingest.documents.paths=[{:?}]", format!("{at}/documents.jsonl")),
        format!("ingest.judgments.paths=[{:?}]", format!("{at}/qrels.tsv")),
        format!("ingest.judgments.queries={:?}", format!("{at}/queries.jsonl")),
    ];
    let mut arguments = vec!["--config", config.to_str().unwrap()];
    arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
    finish(store.read_by(command(root, "ingest", &arguments)))
}

/// SHA-256 of the files of a run of the sample over files below `at`; of the two tables that name the files, the rows, without `at`.
fn tables(root: &Path, at: &str) -> BTreeMap<String, String> {
    let ingest = root.join("sample/ingest");
    let mut found = BTreeMap::new();
    for table in fs::read_dir(&ingest).unwrap().map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir()) {
        let name = table.file_name().into_string().unwrap();
        for file in fs::read_dir(table.path()).unwrap().map(|entry| entry.unwrap().path()) {
            let file_name = format!("{name}/{}", file.file_name().unwrap().to_str().unwrap());
            let names_files = ["impressions", "rejects"].contains(&name.as_str());
            let content = if names_files { rows(&file).replace(at, "") } else { sha256_of_file(&file).unwrap() };
            found.insert(file_name, content);
        }
    }
    assert!(found.len() > 8 && found["rejects/part-00000.parquet"].contains("/log.jsonl"), "{found:?}");
    found
}

/// The rows of a table, as text.
fn rows(table: &Path) -> String {
    let rows = SerializedFileReader::new(fs::File::open(table).unwrap()).unwrap().into_iter();
    rows.map(|row| format!("{}\n", row.unwrap())).collect()
}

#[test]
fn logs_in_a_bucket_give_the_tables_of_local_files() {
    let Some(store) = Store::start() else { return };
    let folder = Path::new("../data/sample");
    let names = ["log.jsonl", "documents.jsonl", "qrels.tsv", "queries.jsonl"];
    for name in names {
        store.put(&format!("raw/{name}"), &fs::read(folder.join(name)).unwrap());
    }
    store.put("raw/_temporary/log2.jsonl", b"hidden");
    let root = || tempfile::tempdir().unwrap();
    let (local, s3, gs) = (root(), root(), root());
    let here = folder.canonicalize().unwrap().to_str().unwrap().to_string();
    sample(&store, local.path(), &here).succeeded();
    let expected = tables(local.path(), &here);
    for (scheme, run) in [("s3", &s3), ("gs", &gs)] {
        let at = format!("{scheme}://bucket/raw");
        let said = sample(&store, run.path(), &at).succeeded().stderr;
        assert_eq!(said.matches("fetching 1 object, 1 MiB, into").count(), names.len(), "{said}");
        assert_eq!(tables(run.path(), &at), expected);
        let manifest = fs::read_to_string(run.path().join("sample/ingest/manifest.json")).unwrap();
        assert!(manifest.contains(&format!("\"{scheme}://bucket/raw/log.jsonl\"")), "{manifest}");
    }

    let at = "s3://bucket/raw";
    let again = || sample(&store, s3.path(), at).succeeded().stderr;
    let said = again();
    assert!(said.contains("ingest: up to date") && !said.contains("fetching"), "{said}");
    // Not all of its bytes are UTF-8.
    let log = fs::read(folder.join("log.jsonl")).unwrap();
    let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();
    store.put("raw/log.jsonl", &lines[..lines.len() - 1].concat());
    let said = again();
    assert!(said.contains("fetching 1 object") && said.contains("ingest: done in"), "{said}");
    assert_ne!(tables(s3.path(), at), expected);
    store.put("raw/log.jsonl", &log);
    assert!(again().contains("ingest: done in"));
    assert_eq!(tables(s3.path(), at), expected);

    // Another file that the pattern matches.
    store.put("raw/log3.jsonl", lines[0]);
    let said = again();
    assert!(said.contains("fetching 1 object") && said.contains("ingest: done in"), "{said}");
}

#[test]
fn a_killed_fetch_goes_on() {
    let Some(store) = Store::start() else { return };
    let sandbox = Sandbox::new();
    let line = format!("{{\"query\": \"{}\"}}\n", "x".repeat(1000));
    let content = line.repeat((100 << 20) / line.len());
    store.put("big/log.jsonl", content.as_bytes());
    let arguments = ["--set", "ingest.log.paths=['s3://bucket/big/*.jsonl']"];
    let mut child = process::start(store.read_by(sandbox.command("ingest", &arguments)));
    let partial = store.cache.path().join("partial");
    let is_noted = || {
        let mut files = fs::read_dir(&partial).into_iter().flatten().flatten().map(|entry| entry.path());
        files.any(|path| path.extension().is_some_and(|extension| extension == "kept"))
    };
    process::wait_until(&mut child, "a piece", is_noted);
    assert!(process::was_killed(process::kill(child)));
    assert!(!store.copy("big/log.jsonl").exists(), "killed too late");
    let said = store.stage(&sandbox, "ingest", &arguments).stderr;
    let (_, rest) = said.split_once("fetching 1 object, ").unwrap();
    let left: u64 = rest.split(' ').next().unwrap().parse().unwrap();
    assert!(left < 100, "{said}");
    assert!(fs::read(store.copy("big/log.jsonl")).unwrap() == content.as_bytes());
    assert!(!partial.exists());
}

#[test]
fn what_is_missing_is_one_line() {
    let Some(store) = Store::start() else { return };
    let sandbox = Sandbox::new();
    store.put("logs/a.jsonl", b"{}");
    let refused = |code: i32, url: &str, change: &dyn Fn(&mut Command)| {
        let mut command = store.read_by(sandbox.command("ingest", &["--set", &format!("ingest.log.paths=['{url}']")]));
        change(&mut command);
        let outcome = finish(command);
        assert!(!outcome.stderr.contains(SECRET), "{}", outcome.stderr);
        let line = outcome.error(code).to_string();
        assert!(line.contains(url), "{line}");
        line
    };
    let none = |_: &mut Command| {};
    for url in ["s3://bucket/logs/b.jsonl", "s3://bucket/logs/*.csv", "gs://bucket/nothing/**/*"] {
        let line = refused(3, url, &none);
        assert!(line.contains("expected at least one file, found none; correct ingest.log.paths"), "{line}");
    }
    for url in ["s3://no-such-bucket/a.jsonl", "s3://no-such-bucket/*.jsonl", "gs://no-such-bucket/*.jsonl"] {
        let line = refused(3, url, &none);
        assert!(line.contains("expected the bucket no-such-bucket, found none"), "{line}");
    }
    for url in ["s3a://bucket/a.jsonl", "https://host/a.jsonl", "s3://bucket", "s3://bucket/../a"] {
        assert!(refused(2, url, &none).contains("expected s3://bucket/path or gs://bucket/path"));
    }
    let line = refused(3, "s3://bucket/logs/a.jsonl", &|command| {
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1");
    });
    assert!(line.contains("expected credentials in the environment, found none"), "{line}");
    let line = refused(3, "s3://bucket/logs/a.jsonl", &|command| {
        command.env_remove("AWS_ALLOW_HTTP");
    });
    assert!(line.contains("set AWS_ALLOW_HTTP=true"), "{line}");
    // From now on the server looks at keys, and knows none.
    ureq::post(format!("{}/moto-api/reset-auth", store.address)).send("0").unwrap();
    let line = refused(3, "s3://bucket/logs/*.jsonl", &none);
    assert!(line.contains("expected credentials that the store knows, found others"), "{line}");
    let line = sandbox.try_stage("check", &["--set", "run.root='s3://bucket/runs'"]).error(2).to_string();
    assert!(line.contains("run.root: expected a path of this machine, found s3://bucket/runs"), "{line}");
}

#[test]
fn without_the_program_it_is_said_how_to_build_it() {
    let sandbox = Sandbox::new();
    let alone = sandbox.path("ingest");
    fs::copy(binary("ingest"), &alone).unwrap();
    let mut command = Command::new(&alone);
    let log = "ingest.log.paths=['s3://bucket/log.jsonl']";
    command.current_dir(sandbox.path("")).args(["--config", CONFIG, "--set", log]);
    let outcome = finish(command);
    let line = outcome.error(2);
    assert!(line.contains("s3://bucket/log.jsonl") && line.contains("build it with `just build-objects`"), "{line}");
}

#[test]
fn models_and_pairs_in_a_bucket_score_as_local_ones() {
    let Some(store) = Store::start() else { return };
    let sandbox = Sandbox::finished();
    let pairs = "{\"query\": \"a\", \"title\": \"b\", \"summary\": \"c\"}\n{\"query\": \"d\", \"title\": \"e\", \"summary\": \"f\"}\n";
    fs::write(sandbox.path("pairs.jsonl"), pairs).unwrap();
    store.put("pairs.jsonl", pairs.as_bytes());
    store.put_folder(&sandbox.path(MODEL), "models/teacher");
    store.put("models/teacher-2/config.json", b"another model");
    let score = |model: &str, pairs: &str, out: &str| {
        let arguments = ["--model", model, "--pairs", pairs, "--out", out];
        finish(store.read_by(command(&sandbox.path(""), "score", &arguments)))
    };
    score(MODEL, "pairs.jsonl", "local.jsonl").succeeded();
    score("s3://bucket/models/teacher", "s3://bucket/pairs.jsonl", "remote.jsonl").succeeded();
    assert_eq!(fs::read(sandbox.path("local.jsonl")).unwrap(), fs::read(sandbox.path("remote.jsonl")).unwrap());
    let line = score("s3://bucket/models/none", "s3://bucket/pairs.jsonl", "x.jsonl").error(3).to_string();
    assert!(line.contains("s3://bucket/models/none: expected objects below it, found none"), "{line}");
    let line = score(MODEL, "s3://bucket/**/*.json", "x.jsonl").error(3).to_string();
    assert!(line.contains("expected one object, found several"), "{line}");

    let some = ["--set", "score.max_queries=20"];
    teacher(&sandbox, &format!("teacher = {{ use = '{MODEL}' }}"));
    sandbox.stage("score", &some);
    let scores = || scores(&sandbox.table("score", "teacher_scores"));
    let local = scores();
    teacher(&sandbox, "teacher = { use = 's3://bucket/models/teacher' }");
    let said = store.stage(&sandbox, "score", &some).succeeded().stderr;
    assert!(said.contains("score: done in") && !said.contains("fetching"), "{said}");
    assert_eq!(scores(), local);
    assert!(store.stage(&sandbox, "score", &some).succeeded().stderr.contains("score: up to date"));
    let said = store.stage(&sandbox, "check", &[]).succeeded().stdout;
    assert!(said.contains("scoring teacher: s3://bucket/models/teacher is there"), "{said}");
    let config = fs::read_to_string(sandbox.path(MODEL).join("config.json")).unwrap();
    store.put("models/teacher/config.json", config.replacen('{', "{ ", 1).as_bytes());
    let said = store.stage(&sandbox, "score", &some).succeeded().stderr;
    assert!(said.contains("fetching 1 object") && said.contains("score: done in"), "{said}");
}
