//! What is still to be asked, and which server may ask it: decisions alone, without threads or network.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::error::{Error, LeftOut};
use crate::http::Failure;
use crate::wait::backoff;

/// What is known of a server.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    name: String,
    /// Failures since its last answer; those of requests that ran side by side count as one.
    failures: u32,
    last_failure: Option<Instant>,
    /// When it may be asked again.
    rests_until: Option<Instant>,
    left_out: Option<String>,
}

impl Health {
    pub(crate) fn new(name: String) -> Health {
        Health { name, failures: 0, last_failure: None, rests_until: None, left_out: None }
    }

    /// The reason if the server gets no more requests.
    pub(crate) fn left_out(&self) -> Option<LeftOut> {
        self.left_out.clone().map(|reason| LeftOut { server: self.name.clone(), reason })
    }
}

/// When to give up, and how long to wait before.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    pub(crate) retries: u32,
    pub(crate) backoff: Duration,
}

/// A piece of work and what happened to it.
pub(crate) struct Task<W> {
    pub(crate) work: W,
    place: usize,
    /// Failures that may be its own fault.
    failures: u32,
    had_bad_answer: bool,
    /// The server that failed it last: another one tries next, if there is one.
    failed_on: Option<usize>,
}

/// What a server's thread does next.
pub(crate) enum Next<W> {
    Ask(Task<W>),
    /// Look again after this time, or when something changed.
    Wait(Option<Duration>),
    Stop,
}

/// The work of a call.
pub(crate) struct Queue<'a, W> {
    waiting: VecDeque<Task<W>>,
    /// Tasks that wait or are being asked.
    open: usize,
    done: Vec<(usize, W)>,
    error: Option<Error>,
    /// True when an answer could be used.
    had_answer: bool,
    servers: &'a mut [Health],
    patience: Patience,
}

impl<'a, W> Queue<'a, W> {
    pub(crate) fn new(works: Vec<W>, servers: &'a mut [Health], patience: Patience) -> Queue<'a, W> {
        let task = |(place, work)| Task { work, place, failures: 0, had_bad_answer: false, failed_on: None };
        let waiting: VecDeque<Task<W>> = works.into_iter().enumerate().map(task).collect();
        let mut queue =
            Queue { open: waiting.len(), waiting, done: Vec::new(), error: None, had_answer: false, servers, patience };
        queue.stop_without_servers();
        queue
    }

    /// The next task for a server.
    pub(crate) fn next(&mut self, server: usize, now: Instant) -> Next<W> {
        let health = &self.servers[server];
        if self.error.is_some() || self.open == 0 || health.left_out.is_some() {
            return Next::Stop;
        }
        if let Some(rest) =
            health.rests_until.and_then(|until| until.checked_duration_since(now)).filter(|rest| !rest.is_zero())
        {
            return Next::Wait(Some(rest));
        }
        let mut others = self.servers.iter().enumerate().filter(|(other, _)| *other != server);
        let has_others = others.any(|(_, health)| health.left_out.is_none());
        let may_ask = |task: &Task<W>| !has_others || task.failed_on != Some(server);
        let place = self.waiting.iter().position(may_ask);
        place.and_then(|place| self.waiting.remove(place)).map_or(Next::Wait(None), Next::Ask)
    }

    /// A task has its answer, and maybe needs another one.
    pub(crate) fn answered(&mut self, server: usize, task: Task<W>, needs_more: bool) {
        self.servers[server].failures = 0;
        self.had_answer = true;
        if needs_more {
            // First, so that work in hand is finished before more is begun.
            self.waiting.push_front(Task { failures: 0, had_bad_answer: false, failed_on: None, ..task });
        } else {
            self.open -= 1;
            self.done.push((task.place, task.work));
        }
    }

    /// An answer cannot be used: it is asked for once more, since a proxy or a server may have stumbled. It is asked for last, but
    /// first where no answer could be used yet: servers that are not what the configuration says are then found out soon.
    pub(crate) fn answered_badly(&mut self, server: usize, task: Task<W>, error: Error) {
        self.servers[server].failures = 0;
        if task.had_bad_answer {
            return self.stop(error);
        }
        tracing::info!("{error}; asking once more");
        let again = Task { had_bad_answer: true, failed_on: Some(server), ..task };
        match self.had_answer {
            true => self.waiting.push_back(again),
            false => self.waiting.push_front(again),
        }
    }

    /// A request failed that began at this time.
    pub(crate) fn failed(
        &mut self,
        server: usize,
        mut task: Task<W>,
        subject: String,
        failure: Failure,
        began: Instant,
    ) {
        let health = &mut self.servers[server];
        let retries = self.patience.retries;
        let was_well = health.failures == 0;
        let now = Instant::now();
        // Of requests that ran side by side one counts.
        if health.last_failure.is_none_or(|last| began >= last) {
            health.failures += 1;
            health.last_failure = Some(now);
        }
        let wait = backoff(self.patience.backoff, health.failures).max(failure.asked_wait.unwrap_or_default());
        health.rests_until = health.rests_until.max(now.checked_add(wait));
        // Only a server that serves others puts the blame on a request.
        if failure.may_be_the_request && was_well {
            task.failures += 1;
        }
        let failures = health.failures;
        tracing::info!(
            "{}: {}; failure {failures} in a row, next request in {} s",
            health.name,
            failure.reason,
            wait.as_secs_f64()
        );
        if failures > retries && health.left_out.is_none() {
            tracing::warn!(
                "{}: left out after {failures} failures in a row, the last: {} ({subject})",
                health.name,
                failure.reason
            );
            health.left_out = Some(format!("{} ({subject})", failure.reason));
        }
        if task.failures > retries && health.left_out.is_none() {
            let (server, failures, reason) = (health.name.clone(), task.failures, failure.reason);
            return self.stop(Error::Failing { server, subject, failures, reason });
        }
        self.stop_without_servers();
        // Last, so that other requests show whether the server or the request is the cause.
        self.waiting.push_back(Task { failed_on: Some(server), ..task });
    }

    /// Ends everything; the first error is kept.
    pub(crate) fn stop(&mut self, error: Error) {
        self.error.get_or_insert(error);
    }

    fn stop_without_servers(&mut self) {
        let servers: Vec<LeftOut> = self.servers.iter().filter_map(Health::left_out).collect();
        if servers.len() == self.servers.len() {
            self.stop(Error::NoServerLeft { servers });
        }
    }

    /// The work in its first order, when no thread asks any more.
    pub(crate) fn finish(mut self) -> Result<Vec<W>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.done.sort_by_key(|(place, _)| *place);
        Ok(self.done.into_iter().map(|(_, work)| work).collect())
    }
}
