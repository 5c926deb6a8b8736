//! Pools of rerank servers against servers on this machine.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::mock::{Answer, Mock, Request, config, lists, numbers};
use remote::Pool;
use remote::pool::Api;
use serde_json::{Value, json};

/// The numbers that the documents' texts are, as scores.
fn honest(request: &Request) -> Answer {
    let field = |name: &str| request.body[name].as_array().cloned();
    let texts = field("texts").or(field("documents")).or(field("text_2")).unwrap();
    let name = if request.body.get("documents").is_some() { "relevance_score" } else { "score" };
    let score = |text: &Value| text.as_str().unwrap().parse::<f64>().unwrap();
    // The best first, as servers order them.
    let mut items: Vec<Value> =
        texts.iter().enumerate().map(|(at, text)| json!({ "index": at, name: score(text) })).collect();
    items.reverse();
    Answer::Json(match request.path.as_str() {
        _ if request.body.get("texts").is_some() => json!(items),
        _ if request.body.get("documents").is_some() => json!({ "id": "1", "results": items }),
        _ => json!({ "data": items, "object": "list" }),
    })
}

fn scores(texts: &[Vec<String>]) -> Vec<Vec<f64>> {
    texts.iter().map(|texts| texts.iter().map(|text| text.parse().unwrap()).collect()).collect()
}

/// Some lists of unequal lengths.
fn some_texts() -> Vec<Vec<String>> {
    (0..24).map(|at| numbers(100 * at..100 * at + at % 7)).collect()
}

/// The message of a list of three documents that goes wrong.
fn message(pool: &mut Pool) -> String {
    pool.score(&lists(&[numbers(0..3)])).unwrap_err().to_string()
}

fn message_for(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (String, usize) {
    let server = Mock::start(answer);
    let message = message(&mut Pool::new(&config(Api::Tei, &[&server])).unwrap());
    (message.replace(&server.address, "SERVER"), server.count())
}

#[test]
fn all_apis_give_scores_in_the_order_of_the_documents() {
    for (api, path) in [(Api::Tei, "/rerank"), (Api::Rerank, "/rerank"), (Api::VllmScore, "/score")] {
        let servers = [Mock::start(honest), Mock::start(honest)];
        let mut config = config(api, &[&servers[0], &servers[1]]);
        config.batch = Some(2);
        config.model = (api != Api::Tei).then(|| "m".to_string());
        config.extra.insert("truncate".into(), false.into());
        let texts = some_texts();
        assert_eq!(Pool::new(&config).unwrap().score(&lists(&texts)).unwrap(), scores(&texts));
        for request in servers.iter().flat_map(|server| std::mem::take(&mut *server.requests.lock().unwrap())) {
            assert_eq!(request.path, path);
            assert_eq!(request.body["truncate"], false);
            assert_eq!(request.body.get("model").is_some(), api != Api::Tei);
            assert_eq!(request.body.get("raw_scores").is_some(), api == Api::Tei);
        }
    }
}

#[test]
fn nothing_is_asked_for_empty_lists() {
    let server = Mock::start(honest);
    let mut pool = Pool::new(&config(Api::Tei, &[&server])).unwrap();
    assert_eq!(pool.score(&[]).unwrap(), Vec::<Vec<f64>>::new());
    assert_eq!(pool.score(&lists(&[vec![], vec![]])).unwrap(), vec![Vec::<f64>::new(); 2]);
    assert_eq!(server.count(), 0);
}

#[test]
fn the_faster_server_does_more() {
    let slow = Mock::start(|request| {
        sleep(Duration::from_millis(60));
        honest(request)
    });
    let fast = Mock::start(honest);
    let mut config = config(Api::Tei, &[&slow, &fast]);
    config.concurrency = 1;
    let texts = some_texts();
    assert_eq!(Pool::new(&config).unwrap().score(&lists(&texts)).unwrap(), scores(&texts));
    assert!(fast.count() > slow.count(), "{} and {}", fast.count(), slow.count());
}

#[test]
fn the_others_do_the_work_of_a_server_that_dies() {
    let dying = Mock::start(|request| if request.number < 3 { honest(request) } else { Answer::HangUp });
    let well = Mock::start(|request| {
        sleep(Duration::from_millis(20));
        honest(request)
    });
    let mut pool = Pool::new(&config(Api::Tei, &[&dying, &well])).unwrap();
    let texts: Vec<Vec<String>> = (0..80).map(|at| numbers(at..at + 2)).collect();
    assert_eq!(pool.score(&lists(&texts)).unwrap(), scores(&texts));
    let left = pool.left_out();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].server, format!("{}/rerank", dying.address));
    assert!(left[0].reason.contains("(query q"), "{}", left[0].reason);
    // A later call does not ask it again.
    let count = dying.count();
    assert_eq!(pool.score(&lists(&texts)).unwrap(), scores(&texts));
    assert_eq!(dying.count(), count);
}

#[test]
fn without_any_server_the_message_names_all_and_their_reasons() {
    let busy = Mock::start(|_| Answer::Status(503, "", "model is loading"));
    let mut config = config(Api::Tei, &[&busy]);
    config.addresses.push("http://127.0.0.1:1".into());
    let mut pool = Pool::new(&config).unwrap();
    for _ in 0..2 {
        let message = message(&mut pool);
        assert!(message.starts_with("addresses: expected a server that answers, found none: "), "{message}");
        let busy = format!("{}/rerank (status 503: model is loading (query q0, documents d0 to d2 (3)))", busy.address);
        assert!(message.contains(&busy), "{message}");
        assert!(message.contains("http://127.0.0.1:1/rerank (connection refused (query q0"), "{message}");
    }
    assert_eq!(busy.count(), 3);
}

#[test]
fn passing_failures_are_waited_for() {
    for (status, header, least) in [(429, "Retry-After: 0.3", 300), (503, "", 10), (500, "", 10), (408, "", 10)] {
        let server = Mock::start(move |request| match request.number {
            0 => Answer::Status(status, header, "later"),
            _ => honest(request),
        });
        let began = Instant::now();
        let texts = [numbers(0..3)];
        assert_eq!(Pool::new(&config(Api::Tei, &[&server])).unwrap().score(&lists(&texts)).unwrap(), scores(&texts));
        assert!(began.elapsed() >= Duration::from_millis(least), "{status}");
        assert_eq!(server.count(), 2);
    }
}

#[test]
fn failures_side_by_side_count_once() {
    // Eight requests at once are refused, which is one failure of three that are allowed.
    let server = Mock::start(|request| match request.number {
        0..8 => {
            sleep(Duration::from_millis(100));
            Answer::Status(429, "", "")
        }
        _ => honest(request),
    });
    let mut config = config(Api::Tei, &[&server]);
    (config.concurrency, config.retries) = (8, 1);
    let texts: Vec<Vec<String>> = (0..8).map(|at| numbers(at..at + 1)).collect();
    assert_eq!(Pool::new(&config).unwrap().score(&lists(&texts)).unwrap(), scores(&texts));
}

#[test]
fn what_repeating_does_not_change_is_not_repeated() {
    let long = "Ω".repeat(1000);
    let long: &'static str = long.leak();
    for (status, remedy) in
        [(400, "`api`"), (401, "key_env"), (403, "key_env"), (404, "model"), (413, "batch"), (422, "`api`")]
    {
        let (message, count) = message_for(move |_| Answer::Status(status, "", long));
        let start =
            format!("SERVER/rerank, query q0, documents d0 to d2 (3): expected status 200, found status {status}: ΩΩΩ");
        assert!(message.starts_with(&start), "{message}");
        assert_eq!(message.matches('Ω').count(), 200, "{message}");
        assert!(message.contains(remedy), "{message}");
        assert_eq!(count, 1);
    }
    let (message, _) = message_for(|_| Answer::Status(307, "Location: https://elsewhere/", ""));
    assert!(message.contains("status 307: moved to https://elsewhere/"), "{message}");
}

#[test]
fn bad_answers_are_asked_for_once_more_and_then_named() {
    let items = |first: &str| format!(r#"[{first}, {{"index": 0, "score": 1.5}}, {{"index": 2, "score": -2}}]"#);
    for (answer, expected) in [
        (
            "<html>\nBad gateway".into(),
            "documents d0 to d2 (3): expected an answer in JSON, found expected value at line 1",
        ),
        (r#"{"results": []}"#.into(), r#"documents d0 to d2 (3): expected [{index, score}], found {"results":[]};"#),
        ("[]".into(), "document d0: expected a score, found none among 0 of 3 documents;"),
        (items(r#"{"index": 0, "score": 1.5}"#), "document d0: expected one score, found index 0 twice;"),
        (items(r#"{"index": 3, "score": 1.5}"#), r#"expected an index from 0 to 2, found {"index":3,"score":1.5};"#),
        (items(r#"{"index": -1, "score": 1.5}"#), "expected an index from 0 to 2"),
        (items(r#"{"score": 1.5}"#), "expected an index from 0 to 2"),
        (items(r#"{"index": 1, "score": null}"#), "document d1: expected a finite number in score, found null;"),
        (items(r#"{"index": 1, "score": "NaN"}"#), "document d1: expected a finite number in score, found \"NaN\";"),
        (items(r#"{"index": 1}"#), "document d1: expected a finite number in score, found none;"),
        (items(r#"{"index": 1, "score": 1e999}"#), "expected an answer in JSON, found number out of range"),
        (items(r#"{"index": 1, "score": NaN}"#), "expected an answer in JSON, found expected value"),
    ] {
        let (message, count) = message_for(move |_| Answer::Text(answer.clone()));
        assert!(message.starts_with("SERVER/rerank, query q0, document"), "{message}");
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        assert_eq!(count, 2);
    }
}

#[test]
fn another_server_answers_what_one_answered_badly() {
    let bad = Mock::start(|_| Answer::Text("oops".into()));
    let well = Mock::start(honest);
    let mut pool = Pool::new(&config(Api::Tei, &[&bad, &well])).unwrap();
    let texts = some_texts();
    assert_eq!(pool.score(&lists(&texts)).unwrap(), scores(&texts));
}

#[test]
fn servers_of_another_api_are_found_out_soon() {
    let texts: Vec<Vec<String>> = (0..200).map(|at| numbers(at..at + 2)).collect();
    let servers = [Mock::start(|_| Answer::Text("{}".into())), Mock::start(|_| Answer::Text("{}".into()))];
    for servers in [vec![&servers[0]], vec![&servers[0], &servers[1]]] {
        let before: usize = servers.iter().map(|server| server.count()).sum();
        let mut config = config(Api::Tei, &servers);
        config.concurrency = 4;
        let message = Pool::new(&config).unwrap().score(&lists(&texts)).unwrap_err().to_string();
        assert!(message.contains("expected [{index, score}], found {};"), "{message}");
        let asked = servers.iter().map(|server| server.count()).sum::<usize>() - before;
        assert!(asked <= 40, "{asked}");
    }
}

#[test]
fn a_request_that_fails_everywhere_is_named() {
    let texts: Vec<Vec<String>> = (0..40).map(|at| numbers(at..at + 1)).collect();
    let server = Mock::start(|request| {
        sleep(Duration::from_millis(5));
        if request.body["texts"][0] == "3" { Answer::Status(500, "", "CUDA error") } else { honest(request) }
    });
    let mut pool = Pool::new(&config(Api::Tei, &[&server])).unwrap();
    let message = pool.score(&lists(&texts)).unwrap_err().to_string();
    assert!(message.contains("query q3, document d0") && message.contains("status 500: CUDA error"), "{message}");
}

#[test]
fn slow_servers_are_given_up() {
    let server = Mock::start(|request| {
        sleep(Duration::from_millis(700));
        honest(request)
    });
    let mut config = config(Api::Tei, &[&server]);
    (config.timeout_seconds, config.retries) = (0.2, 1);
    let began = Instant::now();
    let message = message(&mut Pool::new(&config).unwrap());
    assert!(message.contains("no answer within 0.2 s"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_server_that_hangs_with_requests_on_their_way_is_given_up() {
    // Requests take different times, so that none of the later ones begins after all others have failed.
    let begin = Instant::now();
    let server = Mock::start(move |request| {
        let hangs = begin.elapsed() > Duration::from_millis(300);
        let number = request.body["query"].as_str().map_or(0, str::len) as u64 + begin.elapsed().as_millis() as u64;
        sleep(Duration::from_millis(if hangs { 1500 } else { 10 + number % 90 }));
        honest(request)
    });
    let mut config = config(Api::Tei, &[&server]);
    (config.timeout_seconds, config.retries, config.backoff_seconds, config.concurrency) = (0.4, 3, 0.01, 4);
    let texts = vec![numbers(0..1); 300];
    let message = Pool::new(&config).unwrap().score(&lists(&texts)).unwrap_err().to_string();
    assert!(message.contains("no answer within 0.4 s"), "{message}");
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[test]
fn the_key_is_sent_and_its_absence_is_told_before_any_request() {
    let server = Mock::start(honest);
    let mut config = config(Api::Tei, &[&server]);
    config.key_env = Some("DISRANKER_NO_SUCH_KEY".into());
    let message = Pool::new(&config).unwrap_err().to_string();
    assert!(message.contains("environment variable DISRANKER_NO_SUCH_KEY, found no such variable"), "{message}");
    config.key_env = Some("A=B".into());
    assert!(Pool::new(&config).unwrap_err().to_string().contains("a name that no variable has"));
    assert_eq!(server.count(), 0);
    // Cargo sets this one for every test.
    config.key_env = Some("CARGO_PKG_NAME".into());
    Pool::new(&config).unwrap().score(&lists(&[numbers(0..1)])).unwrap();
    let requests = server.requests.lock().unwrap();
    assert!(requests[0].headers.contains("authorization: bearer remote\r\n"), "{}", requests[0].headers);
}

#[test]
fn pools_of_chat_servers_give_no_scores() {
    let server = Mock::start(honest);
    let message = message(&mut Pool::new(&config(Api::Chat, &[&server])).unwrap());
    assert_eq!(message, "api: expected tei or rerank or vllm_score, found chat; correct the key");
}

#[test]
fn a_self_signed_certificate_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    let mut make = std::process::Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    make.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&certificate);
    if !make.output().is_ok_and(|made| made.status.success()) {
        eprintln!("skipped: openssl is not there");
        return;
    }
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut serve = std::process::Command::new("openssl");
    serve
        .args(["s_server", "-quiet", "-accept", &port.to_string()])
        .arg("-key")
        .arg(&key)
        .arg("-cert")
        .arg(&certificate);
    let mut server = serve.spawn().unwrap();
    let mut config = config(Api::Tei, &[]);
    // Until the server listens, connections are refused and repeated.
    (config.addresses, config.retries, config.backoff_seconds) = (vec![format!("https://localhost:{port}")], 8, 0.05);
    let message = message(&mut Pool::new(&config).unwrap());
    server.kill().unwrap();
    server.wait().unwrap();
    assert!(message.contains("expected a TLS connection with a certificate of a public authority"), "{message}");
    assert!(message.contains("self-signed"), "{message}");
}

#[test]
fn https_to_a_server_without_it_is_named() {
    let plain = Mock::start(honest);
    let mut config = config(Api::Tei, &[]);
    config.addresses = vec![plain.address.replace("http://", "https://")];
    (config.retries, config.timeout_seconds) = (0, 2.0);
    let message = message(&mut Pool::new(&config).unwrap());
    eprintln!("{message}");
    assert!(message.contains("https://127.0.0.1"), "{message}");
}
