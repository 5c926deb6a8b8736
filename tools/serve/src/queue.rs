//! The queue of pairs that wait for the worker.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::arguments::QueueLimits;
use crate::job::{Failure, Job, Pair, Reading, Scored};
use crate::metrics::Metrics;
use crate::ranker::Ranker;
use crate::speed::{Cost, Speed, Took};

/// The share of the deadline that the estimate may fill: if estimates are a little low, what was taken is still answered in time.
const SHARE_OF_DEADLINE: f64 = 0.8;

/// Where the answer of a job comes.
pub(crate) type Answer = oneshot::Receiver<Result<Scored, Failure>>;

/// Requests in the order they came.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<Waiting>,
    /// Told when there is a job, or the queue is closed.
    changed: Condvar,
    limits: QueueLimits,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Pairs in the queue.
    waiting: Cost,
    /// Pairs that the worker has taken.
    at_work: Cost,
    speed: Speed,
    closed: bool,
}

/// A job of which the worker has taken some pairs.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) job: Job,
    /// How many of its pairs that are not scored yet.
    pub(crate) pairs: usize,
}

impl Queue {
    pub(crate) fn new(speed: Speed, limits: QueueLimits, metrics: Arc<Metrics>) -> Queue {
        let (waiting, at_work) = (Cost::default(), Cost::default());
        let state = Waiting { jobs: VecDeque::new(), waiting, at_work, speed, closed: false };
        Queue { state: Mutex::new(state), changed: Condvar::new(), limits, metrics }
    }

    /// Puts pairs into the queue, if they will have their scores before the deadline.
    ///
    /// # Errors
    /// [`Failure::Overloaded`].
    pub(crate) fn submit(&self, ranker: Arc<Ranker>, pairs: Vec<Pair>, reading: Reading) -> Result<Answer, Failure> {
        let mut state = self.lock();
        if state.closed {
            return Err(Failure::Backend("the server ends".into()));
        }
        let bytes = pairs.iter().map(|pair| pair.query.len() + pair.document.len());
        let costs: Vec<Cost> = bytes.map(|bytes| state.speed.cost(bytes, ranker.most_tokens())).collect();
        let cost = costs.iter().copied().sum();
        state.admit(cost, &self.limits)?;
        state.waiting += cost;
        let (reply, answer) = oneshot::channel();
        let entered = Instant::now();
        state.jobs.push_back(Job { ranker, pairs, reading, costs, entered, scored: Scored::default(), reply });
        self.tell(&state);
        self.changed.notify_one();
        Ok(answer)
    }

    /// The pairs that come first, of one model and up to `tokens` tokens, but at least one pair. Waits for one; without any to
    /// come, there is nothing.
    pub(crate) fn take(&self, tokens: usize) -> Option<Vec<Part>> {
        let mut state = self.lock();
        loop {
            let batch = state.take(tokens);
            self.tell(&state);
            if !batch.is_empty() {
                return Some(batch);
            }
            if state.closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Puts back the job of which not all pairs are scored, and learns what the batch took, where it was whole.
    pub(crate) fn finished(&self, unfinished: Option<Job>, took: Option<&Took>) {
        let mut state = self.lock();
        state.at_work = Cost::default();
        if let Some(job) = unfinished {
            state.jobs.push_front(job);
        }
        if let Some(took) = took {
            state.speed.learn(took);
        }
    }

    /// Counts a batch.
    pub(crate) fn observe(&self, took: &Took) {
        self.metrics.batch_tokens.observe(took.tokens as f64);
        self.metrics.tokens.inc_by(took.tokens as u64);
    }

    /// The pairs of a job that failed will not be taken.
    pub(crate) fn forget(&self, job: &Job, taken: usize) {
        let left: Cost = job.rest()[taken..].iter().copied().sum();
        self.lock().waiting -= left;
    }

    /// From now on, another model is served.
    pub(crate) fn set_speed(&self, speed: Speed) {
        self.lock().speed = speed;
    }

    /// Nothing is taken any more; the worker ends when the queue is empty.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn tell(&self, state: &Waiting) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.queue_tokens.set(number(state.waiting.tokens));
        self.metrics.queue_requests.set(number(state.jobs.len()));
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Refuses what cannot be answered in time.
    fn admit(&self, cost: Cost, limits: &QueueLimits) -> Result<(), Failure> {
        let most = limits.deadline.mul_f64(SHARE_OF_DEADLINE);
        let (wait, alone) = (self.speed.time(self.waiting + self.at_work), self.speed.time(cost));
        let refused = |message| Err(Failure::Overloaded { message, retry_after: wait.max(Duration::from_secs(1)) });
        if alone > most {
            let (alone, deadline) = (alone.as_secs_f64(), limits.deadline.as_secs_f64());
            return refused(format!(
                "the request alone takes about {alone:.1} s, the deadline is {deadline:.1} s: send fewer or shorter documents"
            ));
        }
        if wait + alone > most {
            return refused(format!("overloaded: about {:.1} s of work wait", wait.as_secs_f64()));
        }
        if !self.jobs.is_empty() && self.waiting.tokens + cost.tokens > limits.tokens {
            return refused(format!("overloaded: about {} tokens wait", self.waiting.tokens));
        }
        Ok(())
    }

    fn take(&mut self, tokens: usize) -> Vec<Part> {
        let mut batch: Vec<Part> = Vec::new();
        let mut taken = Cost::default();
        while let Some(job) = self.jobs.pop_front() {
            if job.reply.is_closed() {
                self.waiting -= job.rest().iter().copied().sum();
                continue;
            }
            let other_model = batch.first().is_some_and(|part| !Arc::ptr_eq(&part.job.ranker, &job.ranker));
            let mut room = tokens.saturating_sub(taken.tokens);
            let fits = |cost: &&Cost| {
                let fits = cost.tokens <= room;
                room = room.saturating_sub(cost.tokens);
                fits
            };
            let mut pairs = job.rest().iter().take_while(fits).count();
            if other_model {
                pairs = 0;
            } else if batch.is_empty() {
                pairs = pairs.max(1);
            }
            if pairs == 0 {
                self.jobs.push_front(job);
                break;
            }
            let (cost, is_whole) = (job.rest()[..pairs].iter().copied().sum(), pairs == job.rest().len());
            taken += cost;
            self.waiting -= cost;
            batch.push(Part { job, pairs });
            if !is_whole {
                break;
            }
        }
        self.at_work = taken;
        batch
    }
}
