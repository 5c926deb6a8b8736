//! Servers on this machine that answer as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use remote::pool::{Api, PoolConfig};
use remote::{List, Text};
use serde_json::Value;

/// A request as a server read it.
pub(crate) struct Request {
    /// The number of the request, from 0, over all connections.
    pub(crate) number: usize,
    pub(crate) path: String,
    pub(crate) headers: String,
    pub(crate) body: Value,
}

/// What a server does with a request.
pub(crate) enum Answer {
    Json(Value),
    Text(String),
    /// Status, a further header line or nothing, body.
    Status(u16, &'static str, &'static str),
    /// Closes the connection without an answer.
    HangUp,
}

/// A server that runs until the test process ends, and its requests.
pub(crate) struct Mock {
    pub(crate) address: String,
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl Mock {
    pub(crate) fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer, number) = (requests.clone(), Arc::new(answer), Arc::new(AtomicUsize::new(0)));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, answer, number) = (seen.clone(), answer.clone(), number.clone());
                // A client that goes away ends its connection alone.
                thread::spawn(move || serve(stream.ok()?, &seen, &*answer, &number));
            }
        });
        Mock { address, requests }
    }

    /// How many requests came.
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

/// Answers the requests of one connection, which is kept open as HTTP/1.1 has it.
fn serve(
    stream: TcpStream,
    seen: &Mutex<Vec<Request>>,
    answer: &dyn Fn(&Request) -> Answer,
    number: &AtomicUsize,
) -> Option<()> {
    let mut writer = stream.try_clone().ok()?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut headers = String::new();
        while !headers.ends_with("\r\n\r\n") {
            if reader.read_line(&mut headers).ok()? == 0 {
                return None;
            }
        }
        let path = headers.split(' ').nth(1)?.to_string();
        let headers = headers.to_lowercase();
        let length = headers.lines().find_map(|line| line.strip_prefix("content-length: "))?.parse().ok()?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = serde_json::from_slice(&body).unwrap();
        let request = Request { number: number.fetch_add(1, Ordering::SeqCst), path, headers, body };
        let answer = answer(&request);
        seen.lock().unwrap().push(request);
        let (status, header, body) = match answer {
            Answer::Json(value) => (200, "", value.to_string()),
            Answer::Text(text) => (200, "", text),
            Answer::Status(status, header, body) => (status, header, body.to_string()),
            Answer::HangUp => return None,
        };
        let header = if header.is_empty() { String::new() } else { format!("{header}\r\n") };
        let answer = format!("HTTP/1.1 {status} Test\r\n{header}Content-Length: {}\r\n\r\n{body}", body.len());
        writer.write_all(answer.as_bytes()).ok()?;
    }
}

/// A configuration that waits for milliseconds where others wait for seconds.
pub(crate) fn config(api: Api, servers: &[&Mock]) -> PoolConfig {
    let addresses = servers.iter().map(|server| server.address.clone()).collect();
    PoolConfig { backoff_seconds: 0.01, retries: 2, timeout_seconds: 20.0, ..PoolConfig::new(api, addresses) }
}

/// Queries `q0`, `q1`, ... with documents `d0`, `d1`, ... whose texts are numbers.
pub(crate) fn lists(texts: &[Vec<String>]) -> Vec<List<'_>> {
    const QUERIES: [&str; 8] = ["q0", "q1", "q2", "q3", "q4", "q5", "q6", "q7"];
    const DOCUMENTS: [&str; 10] = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9"];
    let all = texts.iter().enumerate();
    all.map(|(at, texts)| List {
        query: Text { id: QUERIES[at % 8], text: "which number?" },
        documents: texts.iter().enumerate().map(|(at, text)| Text { id: DOCUMENTS[at % 10], text }).collect(),
    })
    .collect()
}

/// The texts `start..end` as numbers.
pub(crate) fn numbers(numbers: impl IntoIterator<Item = usize>) -> Vec<String> {
    numbers.into_iter().map(|number| number.to_string()).collect()
}
