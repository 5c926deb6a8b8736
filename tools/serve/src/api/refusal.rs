//! Errors as each API has them.

use std::time::Duration;

use axum::http::header::{CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

use super::{cohere, tei};
use crate::body::json;
use crate::job::Failure;

/// Whose errors a route has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// Of text-embeddings-inference.
    Tei,
    /// Of Cohere, and of Jina.
    Cohere,
}

/// The kind of an error, as text-embeddings-inference names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) enum ErrorType {
    /// The server ends.
    Unhealthy,
    /// The model failed.
    Backend,
    /// More work waits than can be done in time.
    Overloaded,
    /// The request is not as it should be.
    Validation,
    /// The texts could not be tokenized.
    Tokenizer,
    /// Nothing is asked for.
    Empty,
}

/// Why a request gets no scores.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    /// One line.
    pub(crate) message: String,
    error_type: ErrorType,
    /// In place of the status that the kind has.
    status: Option<StatusCode>,
    retry_after: Option<Duration>,
    /// The request's body was not read to its end.
    unread: bool,
}

impl Refusal {
    fn of(error_type: ErrorType, message: String) -> Refusal {
        Refusal { message, error_type, status: None, retry_after: None, unread: false }
    }

    /// The request is not as it should be.
    pub(crate) fn validation(message: impl Into<String>) -> Refusal {
        Refusal::of(ErrorType::Validation, message.into())
    }

    /// The request is no JSON.
    pub(crate) fn syntax(message: String) -> Refusal {
        Refusal::with(StatusCode::BAD_REQUEST, message)
    }

    /// Nothing is asked for.
    pub(crate) fn empty(message: &str) -> Refusal {
        Refusal::of(ErrorType::Empty, message.into())
    }

    /// The request is not as it should be, which has a status of its own.
    pub(crate) fn with(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status: Some(status), ..Refusal::validation(message) }
    }

    /// The server ends.
    pub(crate) fn unhealthy() -> Refusal {
        Refusal::of(ErrorType::Unhealthy, "unhealthy".into())
    }

    /// This one, after which the connection is closed.
    pub(crate) fn unread(self) -> Refusal {
        Refusal { unread: true, ..self }
    }

    /// The status in an API.
    pub(crate) fn status(&self, api: Api) -> StatusCode {
        let of_kind = match (self.error_type, api) {
            (ErrorType::Unhealthy, _) => StatusCode::SERVICE_UNAVAILABLE,
            (ErrorType::Backend, Api::Tei) => StatusCode::FAILED_DEPENDENCY,
            (ErrorType::Backend, Api::Cohere) => StatusCode::INTERNAL_SERVER_ERROR,
            (ErrorType::Overloaded, _) => StatusCode::TOO_MANY_REQUESTS,
            (ErrorType::Tokenizer | ErrorType::Validation, Api::Tei) => StatusCode::UNPROCESSABLE_ENTITY,
            (ErrorType::Empty, _) | (ErrorType::Tokenizer | ErrorType::Validation, Api::Cohere) => {
                StatusCode::BAD_REQUEST
            }
        };
        self.status.unwrap_or(of_kind)
    }

    /// The answer of an API.
    pub(crate) fn into_response(self, api: Api) -> Response {
        let status = self.status(api);
        let body = match api {
            Api::Tei => json(&tei::ErrorResponse { error: self.message, error_type: self.error_type }),
            Api::Cohere => json(&cohere::ErrorResponse { detail: self.message.clone(), message: self.message }),
        };
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        if let Some(after) = self.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs_f64().ceil() as u64));
        }
        if self.unread {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        let message = failure.to_string();
        match failure {
            Failure::TooLong { .. } => Refusal::validation(message),
            Failure::Overloaded { retry_after, .. } => {
                Refusal { retry_after: Some(retry_after), ..Refusal::of(ErrorType::Overloaded, message) }
            }
            Failure::Tokenizer(_) => Refusal::of(ErrorType::Tokenizer, message),
            Failure::Backend(_) => Refusal::of(ErrorType::Backend, message),
        }
    }
}
