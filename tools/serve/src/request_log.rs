//! One log line, and the metrics, of each request.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;

use crate::metrics::Metrics;
use crate::routes::Shared;

/// The status that is logged of a client that went away before its answer, as nginx has it.
const CLIENT_GONE: u16 = 499;
/// What is logged of a path that has no route: its own text would be the client's.
const NO_ROUTE: &str = "unknown";

/// What a request was, for the log: an extension of its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Worked {
    pub(crate) documents: usize,
    pub(crate) tokens: usize,
    pub(crate) queue: Duration,
}

/// A request that has no answer yet.
struct Open {
    path: String,
    method: String,
    begun: Instant,
    metrics: Arc<Metrics>,
    answered: Option<(u16, Option<Worked>)>,
}

/// Logs and counts a request, also one that is given up.
pub(crate) async fn log(State(server): Shared, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map_or(NO_ROUTE, MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let mut open = Open { path, method, begun: Instant::now(), metrics: server.metrics.clone(), answered: None };
    let response = next.run(request).await;
    open.answered = Some((response.status().as_u16(), response.extensions().get::<Worked>().copied()));
    response
}

impl Drop for Open {
    fn drop(&mut self) {
        let (status, worked) = self.answered.unwrap_or((CLIENT_GONE, None));
        let took = self.begun.elapsed();
        self.metrics.answered(&self.path, status);
        let (method, path, ms) = (&self.method, &self.path, milliseconds(took));
        let Some(Worked { documents, tokens, queue }) = worked else {
            match path.as_str() {
                // Probes come every few seconds.
                "/health" | "/ping" | "/metrics" => tracing::debug!(method, path, status, ms, "request"),
                _ => tracing::info!(method, path, status, ms, "request"),
            }
            return;
        };
        self.metrics.documents.inc_by(documents as u64);
        self.metrics.request_seconds.observe(took.as_secs_f64());
        self.metrics.queue_seconds.observe(queue.as_secs_f64());
        let queue_ms = milliseconds(queue);
        tracing::info!(method, path, status, documents, tokens, ms, queue_ms, "request");
    }
}

/// To a tenth.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
