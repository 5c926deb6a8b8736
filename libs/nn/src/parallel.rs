//! Independent pieces of work, one thread each.

use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// The results of `work` for every number below `count`, in their order. Each runs on one thread from its start to its
/// end, but a single one has all threads: threads that do not meet within a pass waste less time than threads that share
/// each small operation.
pub(crate) fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> Result<T> + Sync) -> Result<Vec<T>> {
    share_in_parallel(0..count, count, work)
}

/// As [`in_parallel`] for all `count` numbers, of which this rank of a group works on `share`.
pub(crate) fn share_in_parallel<T: Send>(
    share: Range<usize>,
    count: usize,
    work: impl Fn(usize) -> Result<T> + Sync,
) -> Result<Vec<T>> {
    let workers = workers()?;
    if count < 2 || workers.len() < 2 {
        return share.map(work).collect();
    }
    let next = AtomicUsize::new(share.start);
    let take_turns = || -> Vec<(usize, Result<T>)> {
        let numbers =
            std::iter::from_fn(|| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|&number| number < share.end));
        numbers.map(|number| (number, work(number))).collect()
    };
    let mut done: Vec<(usize, Result<T>)> = std::thread::scope(|scope| {
        let start = |worker: &'static ThreadPool| scope.spawn(move || worker.install(take_turns));
        let started: Vec<_> = workers.iter().take(share.len()).map(start).collect();
        let ended = started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        ended.flatten().collect()
    });
    done.sort_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

/// One pool of a single thread for each thread of the global pool: operations that share their work find nobody to share
/// it with.
fn workers() -> Result<&'static [ThreadPool]> {
    static WORKERS: OnceLock<std::result::Result<Vec<ThreadPool>, String>> = OnceLock::new();
    let start = || {
        let pools = (0..rayon::current_num_threads()).map(|_| ThreadPoolBuilder::new().num_threads(1).build());
        pools.collect::<std::result::Result<_, _>>().map_err(|error| error.to_string())
    };
    WORKERS.get_or_init(start).as_deref().map_err(|error| Error::Training(format!("starting threads: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_keeps_its_order_and_its_first_error() {
        assert_eq!(in_parallel(20, |number| Ok(number * number)).unwrap()[19], 361);
        let refuse = |number| if number % 7 == 3 { Err(Error::Batch(format!("{number}"))) } else { Ok(()) };
        assert_eq!(in_parallel(20, refuse).unwrap_err().to_string(), "batch: 3");
    }
}
