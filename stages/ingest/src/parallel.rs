//! Work on numbered items by all cores.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
            let mut first = locked(&self.error);
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
        let first = unlocked(self.error);
        first.map_or(Ok(()), |(_, error)| Err(error))
    }
}

/// The value behind a lock. A thread that panicked while it held the lock ends the whole stage, so that nobody reads what it left.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The value that a lock held, as [`locked`] has it.
pub(crate) fn unlocked<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `run` on `threads` threads, of which the caller's is one.
pub(crate) fn on_threads(threads: usize, run: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        (1..threads).for_each(|_| {
            scope.spawn(&run);
        });
        run();
    });
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
    on_threads(threads.clamp(1, items.max(1)), run);
    errors.into_result()
}
