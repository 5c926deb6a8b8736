//! The routes and what they do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::time::{Instant, timeout_at};

use crate::api::cohere::{self, Version};
use crate::api::tei::{self, Info, Labels, ModelType};
use crate::api::{Api, Refusal, parse};
use crate::arguments::Limits;
use crate::body::{self, json};
use crate::job::{Failure, Pair, Reading, Scored};
use crate::keys::Keys;
use crate::metrics::{MEDIA_TYPE, Metrics};
use crate::queue::Queue;
use crate::ranker::Ranker;
use crate::reload::Served;
use crate::request_log::{self, Worked};
use crate::{openapi, page};

/// What all requests share.
pub(crate) struct Server {
    pub(crate) queue: Arc<Queue>,
    pub(crate) served: Arc<Served>,
    pub(crate) keys: Keys,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limits: Limits,
    /// No new connections are taken.
    pub(crate) ends: AtomicBool,
}

/// The server as a handler gets it.
pub(crate) type Shared = State<Arc<Server>>;

/// All routes. The page is open because a browser cannot send a key for it; it asks for one.
pub(crate) fn router(server: Arc<Server>) -> Router {
    let with_key = Router::new()
        .route("/", post(rerank))
        .route("/rerank", post(rerank))
        .route("/predict", post(predict))
        .route("/v1/rerank", post(rerank_v1))
        .route("/v2/rerank", post(rerank_v2))
        .route("/info", get(info))
        .route("/openapi.json", get(async || json(&openapi::document())))
        .route_layer(from_fn_with_state(server.clone(), ask_for_key));
    Router::new()
        .route("/", get(async || page::response()))
        .route("/health", get(health))
        .route("/ping", get(health))
        .route("/metrics", get(metrics))
        .merge(with_key)
        .fallback(unknown)
        .layer(from_fn_with_state(server.clone(), request_log::log))
        .with_state(server)
}

async fn rerank(State(server): Shared, request: Request) -> Response {
    let pairs = |request: &tei::RerankRequest| Ok((request.pairs()?, request.reading()));
    answer(&server, request, Api::Tei, pairs, |request, scored, _| request.ranks(&scored.logits)).await
}

async fn predict(State(server): Shared, request: Request) -> Response {
    let pairs = |request: &tei::PredictRequest| Ok((request.pairs()?, request.reading()));
    let predictions = |request: tei::PredictRequest, scored: &Scored, ranker: &Ranker| {
        request.predictions(&scored.logits, &ranker.label)
    };
    answer(&server, request, Api::Tei, pairs, predictions).await
}

async fn rerank_v1(State(server): Shared, request: Request) -> Response {
    rerank_cohere(&server, request, Version::V1).await
}

async fn rerank_v2(State(server): Shared, request: Request) -> Response {
    rerank_cohere(&server, request, Version::V2).await
}

async fn rerank_cohere(server: &Server, request: Request, version: Version) -> Response {
    let pairs = |request: &cohere::RerankRequest| Ok((request.pairs()?, request.reading()));
    let name = server.served.loader.name();
    let response =
        |request: cohere::RerankRequest, scored: &Scored, _: &Ranker| request.response(version, scored, &name);
    answer(server, request, Api::Cohere, pairs, response).await
}

async fn info(State(server): Shared) -> Response {
    let (ranker, loader, limits) = (server.served.ranker(), &server.served.loader, &server.limits);
    json(&Info {
        model_id: loader.folder().display().to_string(),
        model_sha: ranker.identity.clone(),
        model_dtype: loader.precision(),
        served_model_name: loader.name(),
        model_type: ModelType::Reranker(Labels::of(&ranker.label)),
        max_concurrent_requests: limits.connections,
        max_input_length: ranker.max_tokens(),
        max_batch_tokens: limits.batch_tokens,
        max_batch_requests: None,
        max_client_batch_size: limits.documents,
        auto_truncate: true,
        tokenization_workers: rayon::current_num_threads(),
        version: env!("CARGO_PKG_VERSION"),
        sha: None,
        docker_label: None,
    })
}

async fn health(State(server): Shared) -> Response {
    if server.ends.load(Ordering::Relaxed) {
        return Refusal::unhealthy().into_response(Api::Tei);
    }
    StatusCode::OK.into_response()
}

async fn metrics(State(server): Shared) -> Response {
    ([(CONTENT_TYPE, MEDIA_TYPE)], server.metrics.text()).into_response()
}

async fn unknown(request: Request) -> Response {
    let message = "no such path; GET /openapi.json lists all";
    Refusal::with(StatusCode::NOT_FOUND, message).into_response(api_of(request.uri().path()))
}

/// Refuses a request without one of the keys.
async fn ask_for_key(State(server): Shared, request: Request, next: Next) -> Response {
    if server.keys.admit(request.headers()) {
        return next.run(request).await;
    }
    let message = "expected the header `Authorization: Bearer <key>` with a key of this server";
    Refusal::with(StatusCode::UNAUTHORIZED, message).into_response(api_of(request.uri().path()))
}

fn api_of(path: &str) -> Api {
    if path.starts_with("/v1/") || path.starts_with("/v2/") { Api::Cohere } else { Api::Tei }
}

/// Reads a request, has its pairs scored, and answers.
async fn answer<Q: DeserializeOwned, A: Serialize>(
    server: &Server,
    request: Request,
    api: Api,
    pairs: impl FnOnce(&Q) -> Result<(Vec<Pair>, Reading), Refusal>,
    respond: impl FnOnce(Q, &Scored, &Ranker) -> A,
) -> Response {
    let respond = async {
        let (head, body) = request.into_parts();
        let body = body::read(&head.headers, body, server.limits.body_bytes, server.limits.read_timeout).await?;
        let begun = Instant::now();
        let request: Q = parse(&body)?;
        drop(body);
        let (pairs, reading) = pairs(&request)?;
        let characters: usize =
            pairs.iter().map(|pair| pair.query.chars().count() + pair.document.chars().count()).sum();
        let (ranker, scored) = score(server, pairs, reading, begun).await?;
        let mut response = json(&respond(request, &scored, &ranker));
        describe(response.headers_mut(), &scored, characters, begun.elapsed());
        let (documents, tokens, queue) = (scored.logits.len(), scored.tokens, scored.queue);
        response.extensions_mut().insert(Worked { documents, tokens, queue });
        Ok::<_, Refusal>(response)
    };
    respond.await.unwrap_or_else(|refusal| refusal.into_response(api))
}

/// The scores of pairs, if they come before the deadline of a request that was read at `begun`.
async fn score(
    server: &Server,
    pairs: Vec<Pair>,
    reading: Reading,
    begun: Instant,
) -> Result<(Arc<Ranker>, Scored), Refusal> {
    let (count, limits) = (pairs.len(), &server.limits);
    if count > limits.documents {
        let most = limits.documents;
        return Err(Refusal::validation(format!("batch size {count} > maximum allowed batch size {most}")));
    }
    let ranker = server.served.ranker();
    let scored = server.queue.submit(ranker.clone(), pairs, reading)?;
    let late = || {
        let message = format!("overloaded: no scores within {} ms", limits.deadline.as_millis());
        Failure::Overloaded { message, retry_after: Duration::from_secs(1) }
    };
    let scored = timeout_at(begun + limits.deadline, scored).await.map_err(|_| late())?;
    let scored = scored.map_err(|_| Failure::Backend("the worker ended".into()))??;
    Ok((ranker, scored))
}

/// The headers that text-embeddings-inference has.
fn describe(headers: &mut HeaderMap, scored: &Scored, characters: usize, total: Duration) {
    headers.insert("x-compute-type", HeaderValue::from_static("cpu"));
    let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let numbers = [
        ("x-compute-time", milliseconds(total)),
        ("x-compute-characters", characters as u64),
        ("x-compute-tokens", scored.tokens as u64),
        ("x-total-time", milliseconds(total)),
        ("x-tokenization-time", milliseconds(scored.tokenization)),
        ("x-queue-time", milliseconds(scored.queue)),
        ("x-inference-time", milliseconds(scored.inference)),
    ];
    for (name, number) in numbers {
        headers.insert(name, HeaderValue::from(number));
    }
}
