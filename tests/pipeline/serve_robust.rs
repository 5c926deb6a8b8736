//! `serve` against clients that break off, hold on, or send too much: each gets a clear answer, and nothing dies or grows.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::serving::{Serving, documents};

/// What memory may grow by.
const FLAT: u64 = 64 << 20;

/// A whole request with this body.
fn request(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

#[test]
fn bodies_and_lists_that_are_too_large_are_refused_and_not_kept() {
    let serving = Serving::start(&["--deadline-ms", "60000"]);
    send_too_much(&serving);
    let before = serving.memory();
    send_too_much(&serving);
    let grown = serving.memory().saturating_sub(before);
    assert!(grown < FLAT, "{grown}");
    assert_eq!(serving.get("/health").status, 200);
}

/// Sends bodies and lists of every kind that is too large, and the largest that are not.
fn send_too_much(serving: &Serving) {
    let large = vec![b' '; 100 << 20];
    for path in ["/rerank", "/v2/rerank"] {
        serving.post_bytes(path, &large).with_status(413);
        let said = send_chunks(serving, path, &large);
        assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    }
    let many = vec!["red shoes"; 10_000];
    serving.post("/rerank", &json!({ "query": "red", "texts": many })).with_status(422);
    serving.post("/v1/rerank", &json!({ "query": "red", "documents": many })).with_status(400);
    let long = "red shoes for the school ".repeat(40_000);
    assert!(long.len() >= 1_000_000);
    let answer = serving.post("/rerank", &json!({ "query": "red", "texts": [long, "old"] })).with_status(200);
    assert_eq!(answer.as_array().unwrap().len(), 2);
    let deep = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
    serving.post_bytes("/rerank", &deep).with_status(422);
}

/// Sends a body without telling its length beforehand; returns the answer.
fn send_chunks(serving: &Serving, path: &str, body: &[u8]) -> String {
    let mut stream = serving.connect();
    let head = "Host: x\r\nConnection: close\r\nTransfer-Encoding: chunked";
    write!(stream, "POST {path} HTTP/1.1\r\n{head}\r\n\r\n").unwrap();
    for chunk in body.chunks(8 << 20) {
        write!(stream, "{:x}\r\n", chunk.len()).unwrap();
        stream.write_all(chunk).unwrap();
        stream.write_all(b"\r\n").unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).unwrap();
    said
}

#[test]
fn slow_and_half_open_connections_are_closed() {
    let serving = Serving::start(&["--read-timeout-ms", "500"]);
    let body = json!({ "query": "red", "texts": ["shoes"] }).to_string();
    let whole = request("/rerank", body.as_bytes());
    let half_body = &whole[..whole.len() - 5];
    let cases: [(&[u8], &str); 4] = [
        (b"", ""),
        (b"POST /rerank HT", ""),
        (b"POST /rerank HTTP/1.1\r\nHost: x\r\n", ""),
        (half_body, "HTTP/1.1 408 "),
    ];
    for (sent, expected) in cases {
        let began = Instant::now();
        let said = serving.exchange(sent);
        assert!(said.starts_with(expected) && (expected.is_empty() == said.is_empty()), "{said}");
        let took = began.elapsed();
        assert!((Duration::from_millis(300)..Duration::from_secs(20)).contains(&took), "{took:?}");
    }
    // One that sends a byte now and then is no faster.
    let mut stream = serving.connect();
    stream.write_all(b"POST /rerank HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n").unwrap();
    let began = Instant::now();
    while stream.write_all(b" ").is_ok() && began.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(began.elapsed() < Duration::from_secs(20));
    // What is no HTTP is told so.
    assert!(
        serving.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n").starts_with("HTTP/1.1 400 ")
    );
    assert_eq!(serving.get("/health").status, 200);
}

#[test]
fn clients_that_go_away_leave_nothing_behind() {
    let mut serving = Serving::start_with(64, &["--max-connections", "16"], |_| {});
    let body = json!({ "query": "red", "texts": documents(500) }).to_string();
    let whole = request("/rerank", body.as_bytes());
    let mut open = Vec::new();
    for round in 0..40 {
        let mut stream = serving.connect();
        stream.write_all(&whole[..whole.len() - round % 2]).unwrap();
        // A process that is killed closes its connections without reading.
        open.push(stream);
        if open.len() == 8 {
            open.iter().for_each(|stream| stream.shutdown(Shutdown::Both).unwrap());
            open.clear();
        }
    }
    let ranks = serving.post("/rerank", &json!({ "query": "red", "texts": documents(5) }));
    ranks.with_status(200);
    serving.wait_for_line("a client that is gone", |line| line["status"] == 499);
    let began = Instant::now();
    while serving.counter("disranker_connections") > 2.0 || serving.counter("disranker_queue_tokens") > 0.0 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", serving.get("/metrics").text);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn no_more_connections_are_open_than_may_be() {
    let serving = Serving::start(&["--max-connections", "2", "--read-timeout-ms", "500"]);
    // All hold on; the request waits until they are closed.
    let _held: Vec<_> = (0..4).map(|_| serving.connect()).collect();
    let began = Instant::now();
    assert_eq!(serving.get("/health").status, 200);
    assert!(began.elapsed() > Duration::from_millis(300), "{:?}", began.elapsed());
}
