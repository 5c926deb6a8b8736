//! `serve` with more work than it can do.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::serving::{Serving, documents};

/// Documents of a request.
const DOCUMENTS: usize = 200;
const DEADLINE: Duration = Duration::from_millis(800);
const LOAD: Duration = Duration::from_secs(4);

fn body() -> Value {
    json!({ "query": "cheap red shoes", "texts": documents(DOCUMENTS) })
}

#[test]
fn at_twice_its_capacity_it_answers_in_time_or_refuses_at_once() {
    let deadline = DEADLINE.as_millis().to_string();
    let serving = Serving::start_with(128, &["--deadline-ms", &deadline], |_| {});
    let began = Instant::now();
    for _ in 0..5 {
        serving.post("/rerank", &body()).with_status(200);
    }
    let each = began.elapsed() / 5;
    let answers = Mutex::new(Vec::new());
    let began = Instant::now();
    std::thread::scope(|scope| {
        let mut asked = 0;
        while began.elapsed() < LOAD {
            scope.spawn(|| {
                let began = Instant::now();
                let answer = serving.post("/rerank", &body());
                answers.lock().unwrap().push((answer, began.elapsed()));
            });
            asked += 1;
            std::thread::sleep((each / 2 * asked).saturating_sub(began.elapsed()));
        }
    });
    let answers = answers.into_inner().unwrap();
    let (accepted, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|(answer, _)| answer.status == 200);
    for (answer, _) in &refused {
        let said = answer.with_status(429);
        assert_eq!(said["error_type"], "Overloaded");
        let after: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
        assert!((1..60).contains(&after), "{after}");
    }
    let mut times: Vec<Duration> = accepted.iter().map(|(_, time)| *time).collect();
    times.sort();
    let p99 = times[(times.len() * 99).div_ceil(100) - 1];
    println!("{each:?} a request; {} accepted, {} refused, p99 {p99:?}", accepted.len(), refused.len());
    // The client's own share of the time is not the server's.
    assert!(p99 <= DEADLINE + Duration::from_millis(200), "{p99:?}");
    // It refuses no more than it must, nor collapses.
    let capacity = LOAD.as_secs_f64() / each.as_secs_f64();
    assert!(!refused.is_empty() && accepted.len() as f64 > 0.4 * capacity, "{} of {capacity}", accepted.len());
}

#[test]
fn what_can_never_be_done_in_time_is_told_so() {
    let serving = Serving::start_with(128, &["--deadline-ms", "20"], |_| {});
    let texts = vec!["red shoes blue lamp cheap for the house"; 1000];
    let refused =
        serving.post("/v2/rerank", &json!({ "query": "cheap red shoes", "documents": texts })).with_status(429);
    let message = refused["message"].as_str().unwrap();
    assert!(message.starts_with("the request alone takes about ") && message.contains("send fewer"), "{message}");
}
