//! Work on numbered items by all cores.

use std::collections::BTreeMap;
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

/// What items give, taken in their order although threads finish them in any.
#[derive(Debug)]
pub(crate) struct InOrder<T> {
    next: usize,
    waiting: BTreeMap<usize, T>,
}

impl<T> Default for InOrder<T> {
    fn default() -> InOrder<T> {
        InOrder { next: 0, waiting: BTreeMap::new() }
    }
}

impl<T> InOrder<T> {
    /// The number of items that were taken.
    pub(crate) fn taken(&self) -> usize {
        self.next
    }

    /// Adds what `item` gives, and calls `take` for all whose turn it is.
    ///
    /// # Errors
    /// Those of `take`.
    pub(crate) fn add(&mut self, item: usize, given: T, mut take: impl FnMut(T) -> Result<()>) -> Result<()> {
        self.waiting.insert(item, given);
        while let Some(given) = self.waiting.remove(&self.next) {
            take(given)?;
            self.next += 1;
        }
        Ok(())
    }
}

/// Calls `make` for each of `items` items on `threads` threads, and `take` with what it gives, in the order of the items.
///
/// # Errors
/// The error of the first item that has one.
pub(crate) fn in_order<T: Send>(
    items: usize,
    threads: usize,
    make: impl Fn(usize) -> Result<T> + Sync,
    take: impl FnMut(T) -> Result<()> + Send,
) -> Result<()> {
    let taking = Mutex::new((InOrder::default(), take));
    let work = |(): &mut (), item: usize| {
        let given = make(item)?;
        let (order, take) = &mut *locked(&taking);
        order.add(item, given, take)
    };
    for_each(items, threads, || (), work, |()| Ok(()))
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
