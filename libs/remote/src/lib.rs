//! Teachers behind HTTP: rerank servers ([`Pool::score`]) and chat servers ([`chat`]) that share one transport, which spreads
//! requests over servers, repeats what failed for a passing reason, and goes on without a server that stays away.
//!
//! All calls block. Nothing here knows where queries and documents come from; messages name them by the ids they are given with.
//! The environment variables `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` apply, but not to servers on this machine.

// Unit tests may unwrap: a failure is reported as a failed test.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod chat;
pub mod pool;

mod config;
mod error;
mod http;
mod list;
mod queue;
mod rerank;
mod wait;

pub use error::{Error, LeftOut};
pub use list::{List, Text};
pub use pool::Pool;
