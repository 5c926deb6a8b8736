//! Pools of servers, against servers of the tests on this machine.

// A failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

mod chat;
mod mock;
mod pool;
