//! What Prometheus reads.

use std::sync::Mutex;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// The media type of [`Metrics::text`].
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A route and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    path: String,
    status: u16,
}

/// What came of loading a folder again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Load {
    outcome: String,
}

/// The model that is served.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Model {
    sha256: String,
}

/// Counters, gauges and histograms of the server.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    loads: Family<Load, Counter>,
    model: Family<Model, Gauge>,
    served: Mutex<Option<Model>>,
    pub(crate) documents: Counter,
    pub(crate) tokens: Counter,
    pub(crate) batch_tokens: Histogram,
    pub(crate) request_seconds: Histogram,
    pub(crate) queue_seconds: Histogram,
    pub(crate) queue_tokens: Gauge,
    pub(crate) queue_requests: Gauge,
    pub(crate) connections: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Metrics {
        let seconds = || Histogram::new(exponential_buckets(0.001, 2.0, 15));
        let mut registry = Registry::with_prefix("disranker");
        let metrics = Metrics {
            requests: Family::default(),
            loads: Family::default(),
            model: Family::default(),
            served: Mutex::new(None),
            documents: Counter::default(),
            tokens: Counter::default(),
            batch_tokens: Histogram::new(exponential_buckets(64.0, 2.0, 12)),
            request_seconds: seconds(),
            queue_seconds: seconds(),
            queue_tokens: Gauge::default(),
            queue_requests: Gauge::default(),
            connections: Gauge::default(),
            registry: Registry::default(),
        };
        let clone = &metrics;
        registry.register("requests", "Requests by route and status", clone.requests.clone());
        registry.register("documents", "Documents scored", clone.documents.clone());
        registry.register("tokens", "Tokens that went through the model", clone.tokens.clone());
        registry.register("batch_tokens", "Tokens of a batch", clone.batch_tokens.clone());
        let (request, queue) = (clone.request_seconds.clone(), clone.queue_seconds.clone());
        registry.register_with_unit("request", "Time of requests with scores", Unit::Seconds, request);
        registry.register_with_unit("queue", "Time that requests with scores waited", Unit::Seconds, queue);
        registry.register("queue_tokens", "Tokens that wait, estimated", clone.queue_tokens.clone());
        registry.register("queue_requests", "Requests that wait", clone.queue_requests.clone());
        registry.register("connections", "Open connections", clone.connections.clone());
        registry.register("model_loads", "Loads of the folder while serving", clone.loads.clone());
        registry.register("model_info", "The model that is served", clone.model.clone());
        Metrics { registry, ..metrics }
    }

    /// Counts an answer.
    pub(crate) fn answered(&self, path: &str, status: u16) {
        self.requests.get_or_create(&Answered { path: path.to_owned(), status }).inc();
    }

    /// Counts a load of the folder.
    pub(crate) fn load(&self, outcome: &str) {
        self.loads.get_or_create(&Load { outcome: outcome.to_owned() }).inc();
    }

    /// Names the model that is served.
    pub(crate) fn served(&self, identity: &str) {
        let model = Model { sha256: identity.to_owned() };
        self.model.get_or_create(&model).set(1);
        let mut served = self.served.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(earlier) = served.replace(model.clone()).filter(|earlier| *earlier != model) {
            self.model.remove(&earlier);
        }
    }

    /// All of them in the text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
