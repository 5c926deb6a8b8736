//! Another model while requests come, and the end of a server.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::serving::{Serving, documents, logits, save_model};

const QUERY: &str = "cheap red shoes";

/// The number of log lines that name another model.
fn changes(serving: &Serving) -> usize {
    serving.log().matches("another model is served").count()
}

#[track_caller]
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(60), "not {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A folder with two models and the link `model` to the first.
fn two_models() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, seed) in [("first", 1), ("second", 2)] {
        save_model(&folder.path().join(name), 16, seed);
    }
    symlink("first", folder.path().join("model")).unwrap();
    folder
}

/// Makes the link `model` one to `target`, at once.
fn swap(serving: &Serving, target: &str) {
    let link = serving.folder.path().join("link");
    symlink(target, &link).unwrap();
    fs::rename(link, serving.model()).unwrap();
}

#[test]
fn another_model_is_loaded_under_load_and_no_request_is_lost() {
    let serving = Serving::start_in(two_models(), &[], |_| {});
    let texts = documents(30);
    let expected = ["first", "second"].map(|name| logits(&serving.folder.path().join(name), QUERY, &texts));
    let body = json!({ "inputs": texts.iter().map(|text| [QUERY, text]).collect::<Vec<_>>(), "raw_scores": true });
    let ends = AtomicBool::new(false);
    let of_models = std::thread::scope(|scope| {
        let ask = || {
            let mut found = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                let answer = serving.post("/predict", &body).with_status(200);
                let scores =
                    answer.as_array().unwrap().iter().map(|labels| labels[0]["score"].as_f64().unwrap() as f32);
                let scores: Vec<f32> = scores.collect();
                // All scores of a request are of one model.
                found.push(expected.iter().position(|expected| *expected == scores).unwrap());
            }
            found
        };
        let clients: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        for (round, target) in ["second", "first", "second"].into_iter().enumerate() {
            swap(&serving, target);
            serving.signal("HUP");
            wait_until("another model", || changes(&serving) > round);
            std::thread::sleep(Duration::from_millis(50));
        }
        ends.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(of_models.contains(&0) && of_models.contains(&1), "{of_models:?}");
    assert_eq!(serving.counter("disranker_model_loads_total{outcome=\"changed\"}"), 3.0);
    let sha = serving.get("/info").with_status(200)["model_sha"].as_str().unwrap().to_owned();
    assert!(serving.get("/metrics").text.contains(&format!("disranker_model_info{{sha256=\"{sha}\"}} 1")));
}

#[test]
fn a_broken_folder_changes_nothing() {
    let mut serving = Serving::start_in(two_models(), &[], |_| {});
    let sha = || serving.get("/info").with_status(200)["model_sha"].clone();
    let before = sha();
    fs::create_dir(serving.folder.path().join("broken")).unwrap();
    swap(&serving, "broken");
    serving.signal("HUP");
    let failed = "disranker_model_loads_total{outcome=\"failed\"} 1";
    wait_until("an error", || serving.get("/metrics").text.contains(failed));
    assert_eq!(sha(), before);
    serving.post("/rerank", &json!({ "query": "red", "texts": ["shoes"] })).with_status(200);
    let error = serving.wait_for_line("an error", |line| line["level"] == "ERROR");
    assert!(error["message"].as_str().unwrap().starts_with("model: the model was not changed: "), "{error}");
}

#[test]
fn a_watched_folder_is_loaded_when_it_changes() {
    let serving = Serving::start_in(two_models(), &["--watch"], |_| {});
    let sha = || serving.get("/info").with_status(200)["model_sha"].clone();
    let first = sha();
    swap(&serving, "second");
    wait_until("the second model", || sha() != first);
    // Files that change in their place.
    for entry in fs::read_dir(serving.folder.path().join("first")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, serving.folder.path().join("second").join(path.file_name().unwrap())).unwrap();
    }
    wait_until("the first model", || sha() == first);
}

#[test]
fn a_signal_ends_it_when_what_it_took_is_answered() {
    for signal in ["TERM", "INT"] {
        let mut serving = Serving::start_with(128, &["--deadline-ms", "60000"], |_| {});
        let body = json!({ "query": QUERY, "texts": documents(1000) });
        std::thread::scope(|scope| {
            let clients: Vec<_> =
                (0..6).map(|_| scope.spawn(|| serving.post("/rerank", &body).with_status(200))).collect();
            // All are read when five wait behind the first.
            wait_until("six requests", || serving.counter("disranker_queue_requests") == 5.0);
            serving.signal(signal);
            for client in clients {
                assert_eq!(client.join().unwrap().as_array().unwrap().len(), 1000);
            }
        });
        let status = serving.process.wait().unwrap();
        assert_eq!((status.code(), status.signal()), (Some(0), None), "{}", serving.log());
        assert!(std::net::TcpStream::connect(&serving.address).is_err());
        assert!(serving.log().contains("all requests are answered"), "{}", serving.log());
    }
}

#[test]
fn the_end_does_not_wait_for_connections_that_ask_nothing() {
    let mut serving = Serving::start(&["--deadline-ms", "500"]);
    serving.post("/rerank", &json!({ "query": "red", "texts": ["shoes"] })).with_status(200);
    let _idle = [serving.connect(), serving.connect()];
    let began = Instant::now();
    serving.signal("TERM");
    assert_eq!(serving.process.wait().unwrap().code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
}
