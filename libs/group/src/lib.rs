//! The processes that train together, which are called ranks: this one alone, or those of an MPI program (feature `mpi`).
//!
//! All ranks run the same program on the same inputs, and call the functions of this crate in the same order, from their main
//! thread. Rank 0 alone decides what depends on the state of files, and writes; the others follow it.

#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(feature = "mpi")]
mod ranks;
mod sum;
mod transport;

use std::ops::Range;
use std::sync::OnceLock;

pub use crate::sum::pairwise;
use crate::transport::Transport;

#[cfg(feature = "mpi")]
pub use crate::ranks::with_ranks;

/// What connects this process with the others; none if it is alone.
static TRANSPORT: OnceLock<Box<dyn Transport>> = OnceLock::new();

fn transport() -> Option<&'static dyn Transport> {
    TRANSPORT.get().map(|transport| &**transport)
}

/// The number of ranks, at least 1.
pub fn size() -> usize {
    transport().map_or(1, Transport::size)
}

/// The number of this rank, from 0.
pub fn rank() -> usize {
    transport().map_or(0, Transport::rank)
}

/// True for the rank that locks, logs, writes checkpoints and commits.
pub fn is_first() -> bool {
    rank() == 0
}

/// The part of `count` pieces of work that this rank does, where each rank does about as many.
pub fn share(count: usize) -> Range<usize> {
    let at = |rank: usize| count * rank / size();
    at(rank())..at(rank() + 1)
}

/// The values of all ranks, one rank after the other.
pub fn gather(own: Vec<f32>) -> Vec<f32> {
    let Some(transport) = transport() else { return own };
    to_values(&transport::gather(transport, &to_bytes(&own)).concat())
}

/// The bytes that rank 0 has made. A failure of rank 0 is its own: the others wait for it until the program is ended.
///
/// # Errors
/// What `make` returns on rank 0.
pub fn of_first<E>(make: impl FnOnce() -> Result<Vec<u8>, E>) -> Result<Vec<u8>, E> {
    let Some(transport) = transport() else { return make() };
    let own = if is_first() { make()? } else { Vec::new() };
    Ok(transport::broadcast(transport, own))
}

/// What rank 0 decides.
///
/// # Errors
/// As [`of_first`].
pub fn first_decides<E>(decide: impl FnOnce() -> Result<bool, E>) -> Result<bool, E> {
    Ok(of_first(|| Ok(vec![u8::from(decide()?)]))? == [1])
}

/// The number that rank 0 has found.
pub fn number_of_first(own: f64) -> f64 {
    let Some(transport) = transport() else { return own };
    let bytes = transport::broadcast(transport, own.to_le_bytes().to_vec());
    bytes.try_into().map_or(own, f64::from_le_bytes)
}

/// The values that rank 0 has made.
///
/// # Errors
/// As [`of_first`].
pub fn values_of_first<E>(make: impl FnOnce() -> Result<Vec<f32>, E>) -> Result<Vec<f32>, E> {
    if size() == 1 {
        return make();
    }
    Ok(to_values(&of_first(|| Ok(to_bytes(&make()?)))?))
}

/// The first rank whose `value` is not that of rank 0.
pub fn different(value: &[u8]) -> Option<usize> {
    let gathered = transport::gather(transport()?, value);
    gathered.iter().position(|other| *other != gathered[0])
}

/// Adds up what the first `contributing` ranks hold in `values`, in pairs, see [`pairwise`]; every rank then has the sum. What
/// the other ranks hold does not count.
pub fn sum(values: &mut [f32], contributing: usize) {
    if let Some(transport) = transport() {
        sum::over_ranks(transport, values, contributing);
    }
}

/// Ends the program on all ranks with this exit code, where there are several; returns where there is one.
pub fn abort(code: u8) {
    if let Some(transport) = transport() {
        transport.abort(i32::from(code));
    }
}

fn to_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn to_values(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}
