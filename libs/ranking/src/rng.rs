//! Seeded random streams.
//!
//! A run has one seed. Everything random in it (initialisation, dropout, shuffling, simulation, resampling) draws from
//! a stream of its own, named by a purpose and an index, so that adding or skipping draws in one place never moves
//! another, and a resumed run reaches the same draws from a step number alone.

use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// The generator of the stream (`seed`, `purpose`, `index`).
///
/// The three are mixed into a 256-bit ChaCha key (Bernstein, 2008): equal triples give equal streams on every platform,
/// and triples that differ anywhere give unrelated ones.
pub fn stream(seed: u64, purpose: &str, index: u64) -> ChaCha8Rng {
    let mut state = 0;
    for word in [seed, fnv1a(purpose.as_bytes()), index] {
        state = splitmix64(state ^ word);
    }
    let mut key = [0; 32];
    for bytes in key.chunks_exact_mut(8) {
        state = splitmix64(state);
        bytes.copy_from_slice(&state.to_le_bytes());
    }
    ChaCha8Rng::from_seed(key)
}

/// A uniformly random order of `0..n` (Fisher-Yates).
pub fn permutation<R: Rng + ?Sized>(rng: &mut R, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    order.shuffle(rng);
    order
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo, 1991).
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// One step of SplitMix64 (Steele, Lea and Flood, 2014): a bijection of 64-bit words.
fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One number of the stream, to seed something outside this crate.
pub fn number(seed: u64, purpose: &str, index: u64) -> u64 {
    stream(seed, purpose, index).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn first_draws(seed: u64, purpose: &str, index: u64) -> [u64; 2] {
        let mut rng = stream(seed, purpose, index);
        [rng.next_u64(), rng.next_u64()]
    }

    #[test]
    fn hashes_equal_their_published_vectors() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn streams_differ_in_each_part_of_their_name() {
        let base = first_draws(7, "dropout", 3);
        assert_eq!(base, first_draws(7, "dropout", 3));
        for other in [first_draws(8, "dropout", 3), first_draws(7, "shuffle", 3), first_draws(7, "dropout", 4)] {
            assert_ne!(base, other);
        }
        assert_ne!(first_draws(1, "", 0), first_draws(0, "", 1));
    }

    proptest! {
        #[test]
        fn a_permutation_holds_every_index_once(seed: u64, n in 0_usize..200) {
            let mut order = permutation(&mut stream(seed, "test", 0), n);
            order.sort_unstable();
            prop_assert_eq!(order, (0..n).collect::<Vec<_>>());
        }
    }
}
