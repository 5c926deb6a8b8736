//! Samplers: which documents of a ranking are drawn.

use rand::{Rng, RngExt};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rng::permutation;

/// Which places of a ranking are drawn, each at most once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sampler {
    /// The first ones.
    #[default]
    Top,
    /// Uniformly random ones.
    Random,
    /// Random ones, each next one with a probability that falls as 1 / place: log-uniform places.
    LogRandom,
    /// The first ones for half of them, uniformly random ones of the others for the rest.
    TopAndRandom,
}

impl Sampler {
    /// Draws `count` of the places `0..n`, 0 the best, in rising order; all of them where `count` is `n` or more.
    pub fn draw<R: Rng + ?Sized>(self, rng: &mut R, n: usize, count: usize) -> Vec<usize> {
        if count >= n {
            return (0..n).collect();
        }
        let mut drawn = match self {
            Sampler::Top => (0..count).collect(),
            Sampler::Random => first(permutation(rng, n), count),
            Sampler::LogRandom => log_random(rng, n, count),
            Sampler::TopAndRandom => {
                let top = count.div_ceil(2);
                let rest = first(permutation(rng, n - top), count - top);
                (0..top).chain(rest.into_iter().map(|place| top + place)).collect()
            }
        };
        drawn.sort_unstable();
        drawn
    }
}

fn first(mut order: Vec<usize>, count: usize) -> Vec<usize> {
    order.truncate(count);
    order
}

/// Successive draws without replacement, place `p` from 0 with weight `1 / (p + 1)`: the places with the largest `u^(1 / weight)`
/// for uniform `u` (Efraimidis and Spirakis, Information Processing Letters 97, 2006), compared by their logarithms.
fn log_random<R: Rng + ?Sized>(rng: &mut R, n: usize, count: usize) -> Vec<usize> {
    let mut keys: Vec<(f64, usize)> = (0..n)
        .map(|place| {
            // Above 0, so that the logarithm is finite.
            let uniform = 1.0 - rng.random::<f64>();
            (uniform.ln() * (place + 1) as f64, place)
        })
        .collect();
    keys.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    first(keys.into_iter().map(|(_, place)| place).collect(), count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;
    use proptest::prelude::*;

    const ALL: [Sampler; 4] = [Sampler::Top, Sampler::Random, Sampler::LogRandom, Sampler::TopAndRandom];

    proptest! {
        #[test]
        fn places_are_drawn_once_and_again_the_same(n in 0_usize..40, count in 0_usize..45, seed: u64) {
            for sampler in ALL {
                let drawn = sampler.draw(&mut stream(seed, "t", 0), n, count);
                prop_assert_eq!(drawn.len(), count.min(n));
                prop_assert!(drawn.is_sorted_by(|a, b| a < b) && drawn.iter().all(|&place| place < n));
                prop_assert_eq!(drawn, sampler.draw(&mut stream(seed, "t", 0), n, count));
            }
        }

        #[test]
        fn the_first_places_are_in(n in 1_usize..40, count in 0_usize..40, seed: u64) {
            let draw = |sampler: Sampler| sampler.draw(&mut stream(seed, "t", 0), n, count);
            prop_assert_eq!(draw(Sampler::Top), (0..count.min(n)).collect::<Vec<_>>());
            prop_assert!(draw(Sampler::TopAndRandom).into_iter().take(count.div_ceil(2)).eq(0..count.div_ceil(2).min(n)));
        }
    }

    /// How often each of 5 places is among `count` drawn ones, as a share of many draws.
    fn shares(sampler: Sampler, count: usize) -> Vec<f64> {
        const DRAWS: u64 = 20_000;
        let mut drawn = [0_u32; 5];
        for index in 0..DRAWS {
            sampler.draw(&mut stream(7, "t", index), 5, count).into_iter().for_each(|place| drawn[place] += 1);
        }
        drawn.iter().map(|&times| f64::from(times) / DRAWS as f64).collect()
    }

    #[track_caller]
    fn assert_close(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 0.012);
        assert!(close, "{found:?} and {expected:?}");
    }

    #[test]
    fn frequencies_are_those_of_the_definition() {
        assert_close(&shares(Sampler::Random, 2), &[0.4; 5]);
        assert_close(&shares(Sampler::TopAndRandom, 3), &[1.0, 1.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]);
        let weights = [1.0, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 4.0, 1.0 / 5.0];
        let total: f64 = weights.iter().sum();
        assert_close(&shares(Sampler::LogRandom, 1), &weights.map(|weight| weight / total));
        // The second of two draws is by the weights that the first one leaves.
        let second = |place: usize| -> f64 {
            let others = (0..5).filter(|&other| other != place);
            others.map(|other| weights[other] / total * weights[place] / (total - weights[other])).sum()
        };
        let both: Vec<f64> = (0..5).map(|place| weights[place] / total + second(place)).collect();
        assert_close(&shares(Sampler::LogRandom, 2), &both);
    }
}
