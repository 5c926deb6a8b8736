//! The command `grade`: a sample of a run, graded by a language model.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use toml::Table;

use crate::no_log::without_log;
use crate::process::{Outcome, kill, start, wait_until, was_killed};
use crate::sandbox::Sandbox;
use crate::scoring_teachers::strings;
use crate::small_server::{Answer, server};

const OUT: [&str; 2] = ["--out", "grades.tsv"];

fn says(text: &str) -> Answer {
    json!({ "choices": [{ "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] }).into()
}

/// The first thing that the user says: the prompt about a pair.
fn prompt(body: &Value) -> String {
    let messages = body["messages"].as_array().unwrap();
    let prompt = messages.iter().find(|message| message["role"] == "user").unwrap();
    prompt["content"].as_str().unwrap().to_string()
}

/// The grade of a prompt: any rule will do that gives all four.
fn rule(prompt: &str) -> usize {
    prompt.bytes().map(usize::from).sum::<usize>() / 7 % 4
}

/// Sets `[grade]`, with these servers and these keys beside them.
fn configure(sandbox: &Sandbox, servers: &str, keys: &str) {
    let table = format!("servers = {{ api = 'chat', retries = 0, backoff_seconds = 0.01, {servers} }}\n{keys}");
    let table: Table = toml::from_str(&table).unwrap();
    sandbox.edit_config(|config| drop(config.insert("grade".into(), table.into())));
}

fn grade(sandbox: &Sandbox, arguments: &[&str]) -> Outcome {
    sandbox.try_stage("grade", &[&OUT, arguments].concat())
}

/// The rows of an output by its columns.
fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("query-id\tcorpus-id\tscore\tjudged\tquery"));
    lines.map(|line| line.split('\t').map(String::from).collect()).collect()
}

/// One less the disagreement by what is to be expected of all pairs of grades.
fn kappa(pairs: &[(f64, f64)], power: i32) -> f64 {
    let apart = |a: f64, b: f64| (a - b).abs().powi(power);
    let found: f64 = pairs.iter().map(|&(a, b)| apart(a, b)).sum();
    let expected: f64 = pairs.iter().map(|(a, _)| pairs.iter().map(|(_, b)| apart(*a, *b)).sum::<f64>()).sum();
    1.0 - found * pairs.len() as f64 / expected
}

#[test]
fn grades_are_judgments_and_compared_with_those_of_people() {
    let sandbox = Sandbox::finished();
    // One query in eight is never graded.
    let unclear = |prompt: &str| prompt.lines().find(|line| line.starts_with("Search query: ")).unwrap().len() % 8 == 0;
    let address = server(move |path, body| {
        assert_eq!((path, &body["model"]), ("/v1/chat/completions", &json!("judge")));
        let prompt = prompt(body);
        if unclear(&prompt) { says("It depends.") } else { says(&format!("Grade: {}", rule(&prompt))) }
    });
    configure(&sandbox, &format!("addresses = [{address:?}], model = 'judge'"), "queries = 12\ndocuments = 9");
    let Outcome { stdout, stderr, .. } = grade(&sandbox, &[]).succeeded();
    let rows = rows(&sandbox.path("grades.tsv"));
    let answers = fs::read_to_string(sandbox.path("grades.tsv.answers.jsonl")).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ungraded = answers.iter().filter(|answer| answer["grade"].is_null()).count();
    assert!(ungraded > 0 && answers.len() == rows.len() + ungraded && answers.len() <= 12 * 9, "{ungraded}");
    assert!(
        stderr.contains(&format!("{ungraded} of {} answers have no grade and are left out", answers.len())),
        "{stderr}"
    );
    assert!(stderr.contains("expected a grade from 0 to 3, found \"It depends.\""), "{stderr}");
    assert!(stdout.contains(&format!(" none {ungraded:>9}\n")), "{stdout}");

    // The judgments of the run, which were drawn from the simulated world.
    let judgments = sandbox.table("ingest", "judgments");
    let pairs = strings(&judgments, "query_id").into_iter().zip(strings(&judgments, "doc_id"));
    let judged: BTreeMap<_, _> = pairs.zip(judgments.int32s("grade").unwrap().values().iter().copied()).collect();
    let mut both = Vec::new();
    for row in &rows {
        let known = judged.get(&(row[0].clone(), row[1].clone()));
        assert_eq!(row[3], known.map_or(String::new(), ToString::to_string));
        both.extend(known.map(|&known| (f64::from(known.min(3)), row[2].parse().unwrap())));
    }
    let expected = format!(
        "weighted kappa of {} pairs: quadratic {:.3}, linear {:.3}\n",
        both.len(),
        kappa(&both, 2),
        kappa(&both, 1)
    );
    assert!(both.len() > 10 && both.len() < rows.len() && stdout.ends_with(&expected), "{stdout} {expected}");

    // Another draw of the same sample is the same, and a larger one contains it.
    let again = sandbox.try_stage("grade", &["--out", "again.tsv"]).succeeded();
    assert_eq!(
        (again.stdout, fs::read(sandbox.path("again.tsv")).unwrap()),
        (stdout, fs::read(sandbox.path("grades.tsv")).unwrap())
    );
    sandbox.try_stage("grade", &["--out", "more.tsv", "--set", "grade.queries=20"]).succeeded();
    let more = self::rows(&sandbox.path("more.tsv"));
    assert!(more.len() > rows.len() && rows.iter().all(|row| more.contains(row)));

    // With judged documents alone, every grade is compared.
    let judged = sandbox.try_stage("grade", &["--out", "judged.tsv", "--set", "grade.from=[\"judged\"]"]).succeeded();
    let pairs = self::rows(&sandbox.path("judged.tsv")).len();
    assert!(judged.stdout.contains(&format!("weighted kappa of {pairs} pairs")), "{}", judged.stdout);

    let by_text = "format = 'tsv'\ncolumns = { query = 'query', doc_id = 'corpus-id', grade = 'score' }";
    assert_read_back(&sandbox, by_text);
}

#[test]
fn grades_of_queries_with_ids_are_judgments_by_id() {
    let sandbox = without_log();
    sandbox.stage("ingest", &[]);
    let address = server(|_, body| says(&rule(&prompt(body)).to_string()));
    configure(&sandbox, &format!("addresses = [{address:?}]"), "queries = 6");
    grade(&sandbox, &[]).succeeded();
    let ids: BTreeSet<String> = rows(&sandbox.path("grades.tsv")).into_iter().map(|row| row[0].clone()).collect();
    // The numbers of test queries.
    assert!(ids.len() == 6 && ids.iter().all(|id| (17..=24).contains(&id.parse::<usize>().unwrap())), "{ids:?}");
    assert_read_back(&sandbox, "format = 'beir'\nqueries = 'queries.jsonl'");
}

/// Requires that ingest reads the grades of the output as judgments.
fn assert_read_back(sandbox: &Sandbox, format: &str) {
    let table: Table = toml::from_str(&format!("paths = ['grades.tsv']\n{format}")).unwrap();
    sandbox.edit_config(|config| {
        drop(config["ingest"].as_table_mut().unwrap().insert("judgments".into(), table.into()));
    });
    sandbox.stage("ingest", &[]);
    let table = sandbox.table("ingest", "judgments");
    let grades = table.int32s("grade").unwrap().values().to_vec();
    let mut read: Vec<(String, i32)> = strings(&table, "doc_id").into_iter().zip(grades).collect();
    let written = rows(&sandbox.path("grades.tsv")).into_iter();
    let mut written: Vec<(String, i32)> = written.map(|row| (row[1].clone(), row[2].parse().unwrap())).collect();
    read.sort();
    written.sort();
    assert_eq!(read, written);
}

#[test]
fn a_killed_run_asks_for_no_grade_again() {
    let sandbox = Sandbox::finished();
    let requests = Arc::new(AtomicUsize::new(0));
    let (count, slow) = (requests.clone(), Arc::new(Mutex::new(true)));
    let pause = slow.clone();
    let address = server(move |_, body| {
        count.fetch_add(1, Ordering::SeqCst);
        if *pause.lock().unwrap() {
            std::thread::sleep(Duration::from_millis(50));
        }
        says(&rule(&prompt(body)).to_string())
    });
    configure(&sandbox, &format!("addresses = [{address:?}]"), "queries = 10\ndocuments = 10");
    let answers = sandbox.path("grades.tsv.answers.jsonl");
    let lines = || fs::read_to_string(&answers).unwrap_or_default().lines().count();
    let mut child = start(sandbox.command("grade", &OUT));
    wait_until(&mut child, "20 answers", || lines() >= 20);
    assert!(was_killed(kill(child)) && !sandbox.path("grades.tsv").exists());
    std::thread::sleep(Duration::from_millis(200));
    let (kept, before) = (lines(), requests.load(Ordering::SeqCst));
    *slow.lock().unwrap() = false;
    let stderr = grade(&sandbox, &[]).succeeded().stderr;
    let pairs = rows(&sandbox.path("grades.tsv")).len();
    assert!(stderr.contains(&format!("{kept} of {pairs} pairs are answered already")), "{stderr}");
    assert!(kept < pairs && before - kept <= 4, "{before} requests, {kept} answers, {pairs} pairs");
    assert_eq!(requests.load(Ordering::SeqCst) - before, pairs - kept);

    // A finished output stays unless told otherwise; what was answered is not asked again.
    let refused = grade(&sandbox, &[]);
    assert!(refused.error(2).contains("grades.tsv: expected no such file, found one"), "{}", refused.stderr);
    let (whole, asked) = (fs::read(sandbox.path("grades.tsv")).unwrap(), requests.load(Ordering::SeqCst));
    grade(&sandbox, &["--force"]).succeeded();
    assert_eq!((fs::read(sandbox.path("grades.tsv")).unwrap(), requests.load(Ordering::SeqCst)), (whole, asked));
    // Another prompt is another question.
    grade(&sandbox, &["--force", "--set", "grade.prompt.max_tokens=7"]).succeeded();
    assert_eq!(requests.load(Ordering::SeqCst), asked + pairs);
}

#[test]
fn unusable_configurations_and_servers_are_named() {
    let sandbox = Sandbox::finished();
    let refused = |code: i32, expected: &str| {
        let outcome = grade(&sandbox, &[]);
        let line = outcome.error(code);
        assert!(line.contains(expected), "{line}");
        assert!(!sandbox.path("grades.tsv").exists());
    };
    refused(2, "tiny.toml: expected the table [grade] with the servers that grade, found none");
    configure(&sandbox, "addresses = ['http://localhost:1'], key_env = 'NO_SUCH_KEY'", "");
    refused(
        2,
        "grade.servers: key_env: expected a key in the environment variable NO_SUCH_KEY, found no such variable",
    );
    configure(&sandbox, "addresses = ['http://127.0.0.1:1']", "");
    refused(1, "expected a server that answers, found none: http://127.0.0.1:1");
    configure(&sandbox, "addresses = ['localhost']", "");
    refused(2, "grade.servers: expected usable servers, found addresses: expected URLs such as http://host:8000");
    configure(&sandbox, "addresses = ['http://localhost:1']", "from = ['bm25', 'bm25']");
    refused(2, "grade.from: expected one or more of judged, shown and bm25, each once");
    configure(&sandbox, "addresses = ['http://localhost:1']", "prompt = { template = 'none.txt' }");
    refused(2, "none.txt: expected a readable template");
    let other = server(|_, _| json!({ "text": "3" }));
    configure(&sandbox, &format!("addresses = [{other:?}]"), "");
    refused(1, "expected a text in choices[0].message.content, found {\"text\":\"3\"}");
    let unclear = server(|_, _| says("It depends."));
    configure(&sandbox, &format!("addresses = [{unclear:?}]"), "queries = 1");
    refused(1, "grade.prompt: expected grades from 0 to 3, found none");
    self_signed(&sandbox, refused);
}

/// A server whose certificate nobody vouches for.
fn self_signed(sandbox: &Sandbox, refused: impl Fn(i32, &str)) {
    let (key, certificate) = (sandbox.path("key.pem"), sandbox.path("certificate.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    make.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    if !make.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().is_ok_and(|made| made.status.success()) {
        println!("skipped: openssl is not there");
        return;
    }
    // A port that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut serve = Command::new("openssl");
    serve
        .args(["s_server", "-quiet", "-accept", &port.to_string()])
        .arg("-key")
        .arg(&key)
        .arg("-cert")
        .arg(&certificate);
    let mut server = serve.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    // Until the server listens, connections are refused and repeated.
    configure(sandbox, &format!("addresses = ['https://localhost:{port}']"), "");
    sandbox.edit_config(|config| {
        let servers = config["grade"]["servers"].as_table_mut().unwrap();
        servers.insert("retries".into(), 8.into());
    });
    refused(1, "expected a TLS connection with a certificate of a public authority, found");
    server.kill().unwrap();
    server.wait().unwrap();
}
