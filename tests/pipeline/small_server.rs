//! Servers on this machine that answer as a test says.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::Value;

/// What a server answers: status and body.
pub(crate) struct Answer(pub(crate) u16, pub(crate) String);

impl From<Value> for Answer {
    fn from(body: Value) -> Answer {
        Answer(200, body.to_string())
    }
}

/// A server that answers each request by `answer` of its path and body, for as long as the test runs. Returns its address.
pub(crate) fn server<A: Into<Answer>>(answer: impl Fn(&str, &Value) -> A + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            // A client that goes away ends its connection alone.
            std::thread::spawn(move || serve(&stream, &*answer));
        }
    });
    address
}

fn serve<A: Into<Answer>>(mut stream: &TcpStream, answer: &impl Fn(&str, &Value) -> A) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    while reader.read_line(&mut first).is_ok_and(|bytes| bytes > 0) {
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header).ok()?;
            if header.trim().is_empty() {
                break;
            }
            if let Some(value) = header.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let Answer(status, body) = answer(first.split(' ').nth(1)?, &serde_json::from_slice(&body).unwrap()).into();
        let head = "Content-Type: application/json\r\nContent-Length";
        write!(stream, "HTTP/1.1 {status} Test\r\n{head}: {}\r\n\r\n{body}", body.len()).ok()?;
        first.clear();
    }
    Some(())
}
