//! One request to one server.

use std::time::{Duration, SystemTime};

use ureq::http::header::{AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use ureq::http::{HeaderMap, HeaderValue};
use ureq::{Agent, Body};

use crate::config::{PoolConfig, Url};
use crate::error::{Error, excerpt};
use crate::wait::retry_after;

/// Bytes of an answer; scores and short texts never come near it.
const LONGEST_ANSWER: u64 = 64 << 20;

/// A server.
pub(crate) struct Server {
    agent: Agent,
    url: Url,
    key: Option<HeaderValue>,
    timeout: Duration,
}

/// What came back for a request.
pub(crate) enum Reply {
    /// The body of an answer with a status of success.
    Answer(Vec<u8>),
    /// A failure that may pass.
    Failed(Failure),
    /// A status that repeating the request does not change, and the body, or where the server points to instead.
    Refused(u16, String),
    /// No trusted connection.
    Untrusted(String),
}

/// A failure that may pass.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why, for messages.
    pub(crate) reason: String,
    /// How long the server asks to be left alone.
    pub(crate) asked_wait: Option<Duration>,
    /// True if the request itself may be the cause.
    pub(crate) may_be_the_request: bool,
}

/// The servers of a configuration.
///
/// # Errors
/// A bad address, or a missing key.
pub(crate) fn servers(config: &PoolConfig) -> Result<Vec<Server>, Error> {
    let key = config.key_env.as_deref().map(key).transpose()?;
    let urls = config.urls()?;
    Ok(urls.into_iter().map(|url| Server::new(config, url, key.clone())).collect())
}

/// The header with the key of an environment variable.
fn key(variable: &str) -> Result<HeaderValue, Error> {
    let bad = |found| Error::NoKey { variable: variable.into(), found };
    if variable.is_empty() || variable.contains(['=', '\0']) {
        return Err(bad("a name that no variable has"));
    }
    let value = std::env::var_os(variable).ok_or_else(|| bad("no such variable"))?;
    let value = value.to_str().map(str::trim).filter(|value| !value.is_empty()).ok_or_else(|| bad("no text"))?;
    let header = HeaderValue::from_str(&format!("Bearer {value}"));
    let mut header = header.map_err(|_| bad("characters that no HTTP header has"))?;
    header.set_sensitive(true);
    Ok(header)
}

impl Server {
    fn new(config: &PoolConfig, url: Url, key: Option<HeaderValue>) -> Server {
        let timeout = config.timeout();
        let mut settings = Agent::config_builder()
            .http_status_as_error(false)
            // A redirected POST would become a GET, and the key might go to a stranger.
            .max_redirects(0)
            .timeout_global(Some(timeout))
            .max_idle_connections_per_host(config.concurrency)
            .max_idle_connections(config.concurrency)
            .user_agent(concat!("disranker/", env!("CARGO_PKG_VERSION")));
        if url.is_local {
            settings = settings.proxy(None);
        }
        Server { agent: settings.build().new_agent(), url, key, timeout }
    }

    /// Its address in messages.
    pub(crate) fn name(&self) -> &str {
        &self.url.name
    }

    /// Sends a JSON text and waits for the whole answer.
    pub(crate) fn post(&self, json: &[u8]) -> Reply {
        let mut request = self.agent.post(&self.url.whole).header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, key);
        }
        let mut response = match request.send(json) {
            Ok(response) => response,
            Err(error) => return self.failed(&error),
        };
        let status = response.status().as_u16();
        let body = match read(response.body_mut()) {
            Ok(body) => body,
            // The status says more than the loss of its explanation.
            Err(_) if !(200..300).contains(&status) => Vec::new(),
            Err(error) => return self.failed(&error),
        };
        judge(status, response.headers(), body)
    }

    fn failed(&self, error: &ureq::Error) -> Reply {
        use std::io::ErrorKind::{ConnectionRefused, InvalidData};
        use ureq::Error as E;
        let is_tls = self.url.whole.starts_with("https:");
        let reason = match error {
            E::Rustls(_) | E::Tls(_) | E::TlsRequired => return Reply::Untrusted(error.to_string()),
            // rustls's errors arrive in this kind.
            E::Io(cause) if is_tls && cause.kind() == InvalidData => return Reply::Untrusted(untrusted(cause)),
            E::Io(cause) if cause.kind() == ConnectionRefused => "connection refused".into(),
            E::Io(cause) => format!("connection lost: {cause}"),
            E::Timeout(_) => format!("no answer within {} s", self.timeout.as_secs_f64()),
            E::HostNotFound => "no such host".into(),
            other => other.to_string(),
        };
        let never_arrived = match error {
            E::Io(cause) => cause.kind() == ConnectionRefused,
            E::HostNotFound | E::ConnectionFailed => true,
            _ => false,
        };
        Reply::Failed(Failure { reason, asked_wait: None, may_be_the_request: !never_arrived })
    }
}

fn read(body: &mut Body) -> Result<Vec<u8>, ureq::Error> {
    body.with_config().limit(LONGEST_ANSWER).read_to_vec()
}

/// rustls's reason, with a plain word for the most frequent one.
fn untrusted(cause: &std::io::Error) -> String {
    let cause = cause.to_string();
    let meaning = if cause.contains("UnknownIssuer") || cause.contains("CaUsedAsEndEntity") {
        " (self-signed, or of an authority that is not public)"
    } else if cause.contains("InvalidContentType") {
        " (the server speaks no TLS: http://?)"
    } else {
        ""
    };
    format!("{cause}{meaning}")
}

fn judge(status: u16, headers: &HeaderMap, body: Vec<u8>) -> Reply {
    let header = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match status {
        200..300 => Reply::Answer(body),
        408 | 425 | 429 | 500.. => {
            let asked_wait = header(RETRY_AFTER).and_then(|text| retry_after(text, SystemTime::now()));
            let reason = format!("status {status}: {}", excerpt(&body));
            Reply::Failed(Failure { reason, asked_wait, may_be_the_request: ![425, 429, 503].contains(&status) })
        }
        300..400 => Reply::Refused(status, format!("moved to {}", header(LOCATION).unwrap_or("nowhere"))),
        _ => Reply::Refused(status, excerpt(&body)),
    }
}
