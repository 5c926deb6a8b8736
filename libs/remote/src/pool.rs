//! Servers that share the work of a call.
//!
//! Each server has as many threads as requests at once; a thread takes the next task when it is free, so that faster servers do
//! more. What fails for a reason that may pass is asked again, on another server if there is one.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Instant;

use serde_json::{Map, Value};

pub use crate::config::{Api, PoolConfig};
use crate::error::{Error, LeftOut, excerpt};
use crate::http::{Reply, Server, servers};
use crate::queue::{Health, Next, Patience, Queue, Task};

/// Servers that answer the same requests. Between calls it remembers which servers were left out.
pub struct Pool {
    pub(crate) config: PoolConfig,
    servers: Vec<Server>,
    health: Vec<Health>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("config", &self.config).field("health", &self.health).finish_non_exhaustive()
    }
}

/// Work of one or more requests, one after the other.
pub(crate) trait Work: Send {
    /// The fields of the next request, but for `model` and `extra`.
    fn body(&self) -> Map<String, Value>;
    /// Takes the answer to it; true if another request follows. After an error the same request is sent again.
    fn take(&mut self, answer: &Value) -> Result<bool, Bad>;
    /// The ids of the query and of the documents that the next request is about.
    fn ids(&self) -> (&str, Vec<&str>);
}

/// What is wrong with an answer.
#[derive(Debug, PartialEq)]
pub(crate) struct Bad {
    /// The id of the document that it is wrong about, if it is one.
    pub(crate) document: Option<String>,
    pub(crate) expected: String,
    pub(crate) found: String,
    pub(crate) remedy: &'static str,
}

/// What to do about an answer of another form than the API's.
pub(crate) const OTHER_API: &str = "check that `api` and `addresses` name what the server understands";

impl Pool {
    /// A pool as configured. No server is asked yet.
    ///
    /// # Errors
    /// [`Error::Config`] for a bad value, [`Error::NoKey`] if the variable of `key_env` holds no key.
    pub fn new(config: &PoolConfig) -> Result<Pool, Error> {
        config.check()?;
        let servers = servers(config)?;
        let health = servers.iter().map(|server| Health::new(server.name().into())).collect();
        Ok(Pool { config: config.clone(), servers, health })
    }

    /// The servers that failed too often in a row in this call or an earlier one.
    #[must_use]
    pub fn left_out(&self) -> Vec<LeftOut> {
        self.health.iter().filter_map(Health::left_out).collect()
    }

    /// An error unless the servers understand one of these.
    pub(crate) fn require_api(&self, apis: &[Api]) -> Result<(), Error> {
        if apis.contains(&self.config.api) {
            return Ok(());
        }
        let expected: Vec<&str> = apis.iter().map(|api| api.name()).collect();
        Err(Error::Config { key: "api", expected: expected.join(" or "), found: self.config.api.name().into() })
    }

    /// Does all work and returns it in the same order.
    ///
    /// # Errors
    /// The first that stops the work; requests on the way are waited for, up to the timeout.
    pub(crate) fn run<W: Work>(&mut self, works: Vec<W>) -> Result<Vec<W>, Error> {
        let threads = self.config.concurrency.min(works.len());
        let patience = Patience { retries: self.config.retries, backoff: self.config.backoff() };
        let call = Call {
            queue: Mutex::new(Queue::new(works, &mut self.health, patience)),
            changed: Condvar::new(),
            config: &self.config,
        };
        thread::scope(|scope| {
            let places = self.servers.iter().enumerate().flat_map(|at| std::iter::repeat_n(at, threads));
            for (place, server) in places {
                let call = &call;
                let started = thread::Builder::new().spawn_scoped(scope, move || call.serve(place, server));
                if let Err(cause) = started {
                    call.change(|queue| queue.stop(Error::Threads { cause }));
                    break;
                }
            }
        });
        call.queue.into_inner().unwrap_or_else(PoisonError::into_inner).finish()
    }
}

/// What the threads of a call share.
struct Call<'a, W> {
    queue: Mutex<Queue<'a, W>>,
    changed: Condvar,
    config: &'a PoolConfig,
}

impl<'a, W: Work> Call<'a, W> {
    fn lock(&self) -> MutexGuard<'_, Queue<'a, W>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Queue<'a, W>)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    /// A thread of a server: asks until nothing is left to ask.
    fn serve(&self, place: usize, server: &Server) {
        while let Some(mut task) = self.wait_for_task(place) {
            let (began, body) = (Instant::now(), self.body(&task.work));
            let reply = server.post(&body);
            let subject = || subject(&task.work, None);
            let name = || server.name().to_string();
            match reply {
                Reply::Answer(answer) => match take(&mut task.work, &answer) {
                    Ok(needs_more) => self.change(|queue| queue.answered(place, task, needs_more)),
                    Err(bad) => {
                        let error = bad_answer(name(), &task.work, bad);
                        self.change(|queue| queue.answered_badly(place, task, error));
                    }
                },
                Reply::Failed(failure) => {
                    let subject = subject();
                    self.change(|queue| queue.failed(place, task, subject, failure, began));
                }
                Reply::Refused(status, body) => {
                    let (server, subject, remedy) = (name(), subject(), remedy(status));
                    self.change(|queue| queue.stop(Error::Refused { server, subject, status, body, remedy }));
                }
                Reply::Untrusted(cause) => self.change(|queue| queue.stop(Error::Tls { server: name(), cause })),
            }
        }
    }

    fn wait_for_task(&self, place: usize) -> Option<Task<W>> {
        let mut queue = self.lock();
        loop {
            match queue.next(place, Instant::now()) {
                Next::Ask(task) => return Some(task),
                Next::Stop => return None,
                Next::Wait(None) => queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Next::Wait(Some(time)) => {
                    queue = self.changed.wait_timeout(queue, time).unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    fn body(&self, work: &W) -> Vec<u8> {
        let mut fields = work.body();
        if let Some(model) = &self.config.model {
            fields.insert("model".into(), model.as_str().into());
        }
        fields.extend(self.config.extra.iter().map(|(field, value)| (field.clone(), value.clone())));
        Value::Object(fields).to_string().into_bytes()
    }
}

fn take(work: &mut impl Work, answer: &[u8]) -> Result<bool, Bad> {
    let read = serde_json::from_slice(answer).map_err(|cause| Bad {
        document: None,
        expected: "an answer in JSON".into(),
        found: format!("{cause}: {}", excerpt(answer)),
        remedy: OTHER_API,
    });
    work.take(&read?)
}

fn bad_answer(server: String, work: &impl Work, bad: Bad) -> Error {
    let subject = subject(work, bad.document.as_deref());
    Error::BadAnswer { server, subject, expected: bad.expected, found: bad.found, remedy: bad.remedy }
}

/// Query and documents of a request in words.
fn subject(work: &impl Work, document: Option<&str>) -> String {
    let (query, documents) = work.ids();
    let documents = document.map_or(documents, |one| vec![one]);
    match documents.as_slice() {
        [] => format!("query {query}"),
        [one] => format!("query {query}, document {one}"),
        [first, .., last] => format!("query {query}, documents {first} to {last} ({})", documents.len()),
    }
}

fn remedy(status: u16) -> &'static str {
    match status {
        300..=399 => "write the address that it points to",
        401 | 403 => "check the key in the variable of `key_env`",
        404 | 405 => "check `api`, `addresses` and `model`",
        413 => "lower `batch`, or shorten the texts",
        _ => "check `api`, or correct what the server complains about",
    }
}
