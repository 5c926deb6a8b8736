//! How long work will take, from how long work took.

use std::iter::Sum;
use std::ops::{Add, AddAssign, SubAssign};
use std::time::Duration;

/// Weight of the newest batch in what is expected.
const NEWEST: f64 = 0.3;
/// Fewest bytes whose time says something about the tokenizer's speed.
const TELLING_BYTES: usize = 16 << 10;

/// What is to be read and scored.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Cost {
    /// Bytes of texts.
    pub(crate) bytes: usize,
    /// Tokens, as expected before the texts are tokenized.
    pub(crate) tokens: usize,
}

impl Add for Cost {
    type Output = Cost;

    fn add(self, other: Cost) -> Cost {
        Cost { bytes: self.bytes + other.bytes, tokens: self.tokens + other.tokens }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Cost) {
        *self = *self + other;
    }
}

impl SubAssign for Cost {
    fn sub_assign(&mut self, other: Cost) {
        self.bytes -= other.bytes;
        self.tokens -= other.tokens;
    }
}

impl Sum for Cost {
    fn sum<I: Iterator<Item = Cost>>(costs: I) -> Cost {
        costs.fold(Cost::default(), Add::add)
    }
}

/// What a batch took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Took {
    /// Bytes that were tokenized, and the time of it.
    pub(crate) bytes: usize,
    pub(crate) tokenization: Duration,
    /// Tokens that were scored, and the time of it.
    pub(crate) tokens: usize,
    pub(crate) inference: Duration,
    /// Bytes and tokens of the pairs that were not cut.
    pub(crate) whole: Cost,
}

/// The speed of this machine with the model that is served.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Speed {
    bytes_per_second: f64,
    tokens_per_second: f64,
    tokens_per_byte: f64,
    /// Fewest tokens whose time says something about the model's speed.
    telling_tokens: usize,
}

impl Speed {
    /// The speed of a first batch of many pairs. Batches with fewer tokens than `telling_tokens` will say nothing about it.
    pub(crate) fn of(first: &Took, telling_tokens: usize) -> Speed {
        let per_second = |count: usize, time: Duration| count.max(1) as f64 / time.as_secs_f64().max(1e-6);
        Speed {
            bytes_per_second: per_second(first.bytes, first.tokenization),
            tokens_per_second: per_second(first.tokens, first.inference),
            tokens_per_byte: first.whole.tokens.max(1) as f64 / first.whole.bytes.max(1) as f64,
            telling_tokens,
        }
    }

    /// Learns from a batch.
    pub(crate) fn learn(&mut self, took: &Took) {
        let renew = |old: &mut f64, count: usize, by: f64| {
            *old += NEWEST * (count as f64 / by.max(1e-6) - *old);
        };
        if took.bytes >= TELLING_BYTES {
            renew(&mut self.bytes_per_second, took.bytes, took.tokenization.as_secs_f64());
        }
        if took.tokens >= self.telling_tokens {
            renew(&mut self.tokens_per_second, took.tokens, took.inference.as_secs_f64());
        }
        if took.whole.bytes > 0 {
            renew(&mut self.tokens_per_byte, took.whole.tokens, took.whole.bytes as f64);
        }
    }

    /// What texts of so many bytes are expected to cost, of which at most `most` tokens are read.
    pub(crate) fn cost(&self, bytes: usize, most: usize) -> Cost {
        let tokens = (bytes as f64 * self.tokens_per_byte).ceil() as usize;
        Cost { bytes, tokens: tokens.clamp(1, most.max(1)) }
    }

    /// How long work takes.
    pub(crate) fn time(&self, cost: Cost) -> Duration {
        let seconds = cost.bytes as f64 / self.bytes_per_second + cost.tokens as f64 / self.tokens_per_second;
        Duration::from_secs_f64(seconds.min(1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(bytes: usize, tokens: usize, milliseconds: u64) -> Took {
        let time = Duration::from_millis(milliseconds);
        Took { bytes, tokenization: time, tokens, inference: time, whole: Cost { bytes, tokens } }
    }

    #[test]
    fn time_is_that_of_reading_and_of_scoring() {
        let speed = Speed::of(&took(1_000_000, 1000, 1000), 500);
        assert_eq!(speed.time(Cost { bytes: 500_000, tokens: 2000 }), Duration::from_millis(2500));
        assert_eq!(speed.cost(10_000, 512), Cost { bytes: 10_000, tokens: 10 });
        assert_eq!(speed.cost(10_000_000, 512).tokens, 512);
        assert_eq!(speed.cost(0, 512).tokens, 1);
    }

    #[test]
    fn a_slower_machine_is_learnt_from_large_batches_alone() {
        let mut speed = Speed::of(&took(1_000_000, 1000, 1000), 500);
        let work = Cost { bytes: 0, tokens: 1000 };
        speed.learn(&took(100, 499, 100_000));
        assert_eq!(speed.time(work), Duration::from_secs(1));
        for _ in 0..30 {
            speed.learn(&took(100, 1000, 4000));
        }
        let seconds = speed.time(work).as_secs_f64();
        assert!((3.99..=4.01).contains(&seconds), "{seconds}");
    }
}
