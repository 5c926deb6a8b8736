//! Sums whose order does not depend on how the terms are divided among processes.

use crate::transport::Transport;

/// Values of a bucket, of which each rank adds up its share: what a rank receives is as large again.
const BUCKET: usize = 1 << 20;

/// The sum of `terms` in pairs of neighbours, the sums of these in pairs, and so on; an odd one waits for the next round.
/// `None` without a term.
///
/// Where the terms lie in blocks whose length is a power of two, the sums of the blocks come out on the way, so that blocks can be
/// added up apart, and their sums by the same rule, to the same bits.
///
/// # Errors
/// What `add` returns.
pub fn pairwise<T, E>(mut terms: Vec<T>, add: impl Fn(T, T) -> Result<T, E>) -> Result<Option<T>, E> {
    while terms.len() > 1 {
        let mut rest = terms.into_iter();
        let mut sums = Vec::with_capacity(rest.len().div_ceil(2));
        while let Some(left) = rest.next() {
            sums.push(match rest.next() {
                Some(right) => add(left, right)?,
                None => left,
            });
        }
        terms = sums;
    }
    Ok(terms.pop())
}

/// See [`sum`](crate::sum). Each rank receives its share of a bucket from all others, adds it up, and sends the sum to all: as many
/// bytes as an all-reduce, whose order of terms MPI leaves open.
pub(crate) fn over_ranks(transport: &dyn Transport, values: &mut [f32], contributing: usize) {
    let size = transport.size();
    let most = values.len().min(BUCKET).div_ceil(size) * size;
    let (mut all, mut received) = (vec![0.0; most], vec![0.0; most]);
    for bucket in values.chunks_mut(BUCKET) {
        let share = bucket.len().div_ceil(size);
        let (all, received) = (&mut all[..share * size], &mut received[..share * size]);
        all[..bucket.len()].copy_from_slice(bucket);
        all[bucket.len()..].fill(0.0);
        transport.all_to_all(all, received);
        let terms: Vec<&mut [f32]> = received.chunks_mut(share).take(contributing).collect();
        let own = pairwise(terms, |sum, term| {
            sum.iter_mut().zip(&*term).for_each(|(sum, term)| *sum += term);
            Ok::<_, std::convert::Infallible>(sum)
        });
        if let Ok(Some(own)) = own {
            transport.all_gather_values(own, all);
        }
        bucket.copy_from_slice(&all[..bucket.len()]);
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Barrier, Mutex};

    use proptest::prelude::*;

    use super::*;
    use crate::{to_bytes, to_values, transport};

    /// Ranks that are threads of this process.
    #[derive(Debug, Clone)]
    struct Threads {
        rank: usize,
        barrier: Arc<Barrier>,
        sent: Arc<Mutex<Vec<Vec<u8>>>>,
    }

    impl Threads {
        fn run<T: Send>(size: usize, work: impl Fn(&Threads) -> T + Sync) -> Vec<T> {
            let (barrier, sent) = (Arc::new(Barrier::new(size)), Arc::new(Mutex::new(vec![Vec::new(); size])));
            std::thread::scope(|scope| {
                let ranks: Vec<_> = (0..size)
                    .map(|rank| Threads { rank, barrier: barrier.clone(), sent: sent.clone() })
                    .map(|own| scope.spawn(|| work(&{ own })))
                    .collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
            })
        }

        /// What every rank sent.
        fn exchange(&self, own: Vec<u8>) -> Vec<Vec<u8>> {
            self.sent.lock().unwrap()[self.rank] = own;
            self.barrier.wait();
            let all = self.sent.lock().unwrap().clone();
            self.barrier.wait();
            all
        }
    }

    impl Transport for Threads {
        fn rank(&self) -> usize {
            self.rank
        }

        fn size(&self) -> usize {
            self.sent.lock().unwrap().len()
        }

        fn all_gather(&self, own: &[u8], all: &mut [u8]) {
            all.copy_from_slice(&self.exchange(own.to_vec()).concat());
        }

        fn all_gather_values(&self, own: &[f32], all: &mut [f32]) {
            all.copy_from_slice(&to_values(&self.exchange(to_bytes(own)).concat()));
        }

        fn all_to_all(&self, own: &[f32], received: &mut [f32]) {
            let sent = self.exchange(to_bytes(own));
            let share = received.len() / sent.len();
            for (part, sent) in received.chunks_mut(share).zip(sent) {
                part.copy_from_slice(&to_values(&sent)[self.rank * share..(self.rank + 1) * share]);
            }
        }

        fn broadcast(&self, bytes: &mut [u8]) {
            bytes.copy_from_slice(&self.exchange(bytes.to_vec())[0]);
        }

        fn abort(&self, _: i32) {}
    }

    fn add(a: f32, b: f32) -> Result<f32, Infallible> {
        Ok(a + b)
    }

    #[test]
    fn neighbours_are_added_first() {
        let join = |a: String, b: String| Ok::<_, Infallible>(format!("({a}{b})"));
        let sum = |terms: &str| pairwise(terms.chars().map(String::from).collect(), join).unwrap();
        assert_eq!(sum(""), None);
        assert_eq!(sum("a").unwrap(), "a");
        assert_eq!(sum("abc").unwrap(), "((ab)c)");
        assert_eq!(sum("abcdefg").unwrap(), "(((ab)(cd))((ef)g))");
    }

    #[test]
    fn bytes_of_any_length_arrive() {
        let gathered = Threads::run(3, |rank| transport::gather(rank, &vec![rank.rank as u8; 2 * rank.rank]));
        assert!(gathered.iter().all(|all| *all == [vec![], vec![1, 1], vec![2, 2, 2, 2]]));
        let sent = Threads::run(3, |rank| transport::broadcast(rank, if rank.rank == 0 { vec![7, 8] } else { vec![] }));
        assert_eq!(sent, vec![vec![7, 8]; 3]);
    }

    proptest! {
        /// However the terms are divided among ranks of 1, 2, 4 or 8 threads, the bits are those of one process.
        #[test]
        fn ranks_and_threads_give_the_same_bits(
            (size, terms, length, seed) in (1_usize..6, 1_usize..25, 1_usize..9, 0_u64..1000),
        ) {
            let term = |shard: usize, place: usize| ((seed as usize + 31 * shard + 7 * place) as f32 * 0.37).sin() * 1e3;
            let of = |shards: std::ops::Range<usize>, place: usize| {
                pairwise(shards.map(|shard| term(shard, place)).collect(), add).unwrap()
            };
            let expected: Vec<u32> = (0..length).map(|place| of(0..terms, place).unwrap().to_bits()).collect();
            for threads in [1, 2, 4, 8].into_iter().filter(|threads| threads * size >= terms) {
                let sums = Threads::run(size, |rank| {
                    let shards = (rank.rank * threads).min(terms)..((rank.rank + 1) * threads).min(terms);
                    let own = |place| of(shards.clone(), place).unwrap_or(f32::NAN);
                    let mut own: Vec<f32> = (0..length).map(own).collect();
                    over_ranks(rank, &mut own, terms.div_ceil(threads));
                    own.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
                });
                prop_assert!(sums.iter().all(|sum| *sum == expected), "{} threads", threads);
            }
        }
    }
}
