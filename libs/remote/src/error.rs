//! What can go wrong, each as one line.

use std::path::PathBuf;

/// Characters of a server's answer that a message quotes.
const EXCERPT: usize = 200;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A key of the configuration has a value that it cannot have.
    #[error("{key}: expected {expected}, found {found}; correct the key")]
    Config {
        /// The key, relative to its table.
        key: &'static str,
        /// What is allowed.
        expected: String,
        /// The value.
        found: String,
    },
    /// The variable of `key_env` cannot be used as a key.
    #[error(
        "key_env: expected a key in the environment variable {variable}, found {found}; set the variable, or remove key_env"
    )]
    NoKey {
        /// The variable.
        variable: String,
        /// What is wrong with it, without its value.
        found: &'static str,
    },
    /// A template file cannot be read.
    #[error("{}: expected a readable template, found: {cause}; correct the path or the file", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        cause: std::io::Error,
    },
    /// A template lacks a part or has one too many.
    #[error("{name}: expected {expected}, found {found}; correct the template")]
    Template {
        /// The file, or which built-in template.
        name: String,
        /// What is needed.
        expected: String,
        /// What the template has.
        found: String,
    },
    /// A server refused a request for a reason that repeating it does not change.
    #[error("{server}, {subject}: expected status 200, found status {status}: {body}; {remedy}")]
    Refused {
        /// The server's address.
        server: String,
        /// Query and documents of the request.
        subject: String,
        /// The HTTP status.
        status: u16,
        /// The first characters of the answer.
        body: String,
        /// What to do about this status.
        remedy: &'static str,
    },
    /// No trusted connection could be made.
    #[error(
        "{server}: expected a TLS connection with a certificate of a public authority, found: {cause}; correct the \
         certificate or the address, or use http:// if the network is trusted"
    )]
    Tls {
        /// The server's address.
        server: String,
        /// The reason.
        cause: String,
    },
    /// An answer cannot be used, even when asked for again.
    #[error("{server}, {subject}: expected {expected}, found {found}; {remedy}")]
    BadAnswer {
        /// The server's address.
        server: String,
        /// Query and documents that the answer is wrong about.
        subject: String,
        /// What the answer must have.
        expected: String,
        /// What it has.
        found: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A request failed again and again on servers that answer others.
    #[error(
        "{server}, {subject}: expected an answer, found {failures} failures, the last: {reason}; look into the server's log"
    )]
    Failing {
        /// The server that failed last.
        server: String,
        /// Query and documents of the request.
        subject: String,
        /// How often the request failed.
        failures: u32,
        /// The last reason.
        reason: String,
    },
    /// All servers were left out.
    #[error(
        "addresses: expected a server that answers, found none: {}; start the servers or correct the addresses",
        reasons(servers)
    )]
    NoServerLeft {
        /// Each server and why it was left out.
        servers: Vec<LeftOut>,
    },
    /// The system starts no more threads.
    #[error("concurrency: expected threads for all requests, found: {cause}; lower the key")]
    Threads {
        /// The system's reason.
        cause: std::io::Error,
    },
}

impl Error {
    /// True if configuration, key or template are wrong, false if servers failed.
    #[must_use]
    pub fn is_bad_input(&self) -> bool {
        use Error::{Config, NoKey, Template, Unreadable};
        matches!(self, Config { .. } | NoKey { .. } | Template { .. } | Unreadable { .. })
    }
}

/// A server that failed too often in a row and gets no more requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// The server's address.
    pub server: String,
    /// Why its last request failed, and which one it was.
    pub reason: String,
}

fn reasons(servers: &[LeftOut]) -> String {
    let each: Vec<String> = servers.iter().map(|left| format!("{} ({})", left.server, left.reason)).collect();
    each.join(", ")
}

/// The first characters of a server's answer, on one line.
pub(crate) fn excerpt(answer: &[u8]) -> String {
    // Every character has at most four bytes.
    let start = &answer[..answer.len().min(4 * EXCERPT)];
    let text: String = String::from_utf8_lossy(start).chars().take(EXCERPT).collect();
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let text = text.trim();
    if text.is_empty() { "nothing".into() } else { text.into() }
}
