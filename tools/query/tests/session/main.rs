//! A run on disk, asked through SQL.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

mod access;
mod damage;
mod fixture;
mod odd;
mod run;
mod values;
