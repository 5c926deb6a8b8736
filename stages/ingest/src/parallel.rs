//! Work on numbered items by all cores.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::Result;

/// What a number of threads collect: the first error by item, or nothing.
#[derive(Debug, Default)]
pub(crate) struct FirstError<K> {
    error: Mutex<Option<(K, anyhow::Error)>>,
    seen: AtomicBool,
}

impl<K: Ord> FirstError<K> {
    /// Notes the outcome of an item.
    pub(crate) fn note(&self, item: K, outcome: Result<()>) {
        if let Err(error) = outcome {
            self.seen.store(true, Ordering::Relaxed);
            let mut first = self.error.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if first.as_ref().is_none_or(|(known, _)| item < *known) {
                *first = Some((item, error));
            }
        }
    }

    /// True if no further item need be begun.
    pub(crate) fn is_set(&self) -> bool {
        self.seen.load(Ordering::Relaxed)
    }

    /// The error of the first item that has one.
    pub(crate) fn into_result(self) -> Result<()> {
        let first = self.error.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        first.map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// Calls `work` for each of `items` items on `threads` threads, which take them in order. Each thread has a state of its own.
///
/// # Errors
/// The error of the first item that has one.
pub(crate) fn for_each<S>(
    items: usize,
    threads: usize,
    begin: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<()> + Sync,
    end: impl Fn(S) -> Result<()> + Sync,
) -> Result<()> {
    let (next, errors) = (AtomicUsize::new(0), FirstError::default());
    let run = || {
        let mut state = begin();
        while !errors.is_set() {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= items {
                break;
            }
            errors.note(item, work(&mut state, item));
        }
        errors.note(items, end(state));
    };
    std::thread::scope(|scope| {
        (1..threads.clamp(1, items.max(1))).for_each(|_| {
            scope.spawn(run);
        });
        run();
    });
    errors.into_result()
}
