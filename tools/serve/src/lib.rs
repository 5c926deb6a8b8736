//! Serves a cross-encoder over HTTP, by the rerank APIs of text-embeddings-inference, Cohere and Jina.
//!
//! A request becomes pairs of texts, which wait in one queue. A worker thread takes as many pairs as a batch has tokens, of one
//! request or of many, tokenizes and scores them on all threads, and answers. How long that will take is estimated when a request
//! comes: one that cannot be answered before its deadline is refused at once.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod api;
mod arguments;
mod body;
mod connections;
mod job;
mod keys;
mod metrics;
mod openapi;
mod page;
mod queue;
mod ranker;
mod reload;
mod request_log;
mod routes;
mod speed;
mod worker;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::Context;

pub use arguments::Arguments;

use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::ranker::Loader;
use crate::reload::Served;
use crate::routes::Server;

/// Threads that read requests and write answers, beside those that score.
const IO_THREADS: usize = 2;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// [`pipeline::ConfigError`] for bad API keys, [`pipeline::BadInput`] for a folder without a ranker, and an address that
/// cannot be listened on.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    models::keep_freed_memory();
    let keys = Keys::of_environment()?;
    let loader = Loader::new(arguments);
    let (ranker, speed) = loader.load()?;
    let metrics = Arc::new(Metrics::new());
    metrics.served(&ranker.identity);
    let queue = Arc::new(Queue::new(speed, arguments.queue_limits(), metrics.clone()));
    let served = Arc::new(Served::new(ranker, loader, queue.clone(), metrics.clone()));
    let worker = worker::start(queue.clone(), arguments.batch_tokens())?;
    let reload = reload::start(served.clone(), arguments.watch)?;
    let (limits, ends) = (arguments.limits(), AtomicBool::new(false));
    let server = Arc::new(Server { queue: queue.clone(), served, keys, metrics, limits, ends });
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .enable_all()
        .build()
        .context("starting the threads that answer failed")?;
    let outcome = runtime.block_on(connections::serve(arguments, server, reload));
    queue.close();
    // What the worker panicked with was logged when it did.
    let _ = worker.join();
    outcome
}
