//! The bodies of requests and answers.

use std::time::Duration;

use axum::body::Body;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::response::IntoResponse;
use http_body_util::BodyExt;
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::api::Refusal;

/// A value as the JSON body of an answer.
pub(crate) fn json(value: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(value) {
        Ok(bytes) => ([(CONTENT_TYPE, "application/json")], bytes).into_response(),
        Err(error) => {
            tracing::error!("internal error: an answer is no JSON: {error}; please report it");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// Reads a body of at most `most` bytes, which has to come in time. A longer one is read to its end, in time, but not kept: a
/// client that is still sending would not see the refusal.
///
/// # Errors
/// A refusal of what is too long, too slow or broken off.
pub(crate) async fn read(headers: &HeaderMap, mut body: Body, most: usize, time: Duration) -> Result<Vec<u8>, Refusal> {
    let deadline = Instant::now() + time;
    let announced = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let mut is_too_long = announced.is_some_and(|length| length > most as u64);
    let mut kept = Vec::new();
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => break,
            Ok(Some(Err(_))) => return Err(Refusal::with(StatusCode::BAD_REQUEST, "the body ends early").unread()),
            Err(_) if is_too_long => return Err(too_long(most).unread()),
            Err(_) => {
                let message = format!("the body did not come within {} ms", time.as_millis());
                return Err(Refusal::with(StatusCode::REQUEST_TIMEOUT, message).unread());
            }
        };
        let Ok(data) = frame.into_data() else { continue };
        is_too_long |= kept.len() + data.len() > most;
        if is_too_long {
            kept = Vec::new();
        } else {
            kept.extend_from_slice(&data);
        }
    }
    if is_too_long { Err(too_long(most)) } else { Ok(kept) }
}

fn too_long(most: usize) -> Refusal {
    Refusal::with(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is longer than {most} bytes"))
}
