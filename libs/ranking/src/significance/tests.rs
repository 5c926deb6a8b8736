use std::num::NonZeroUsize;

use proptest::prelude::*;
use rand::RngExt;

use super::*;
use crate::metrics::PairCounts;
use crate::rng;

fn times(n: usize) -> NonZeroUsize {
    NonZeroUsize::new(n).unwrap()
}

#[test]
fn the_bootstrap_interval_of_a_mean_is_near_the_normal_one() {
    let mut rng = rng::stream(1, "test", 0);
    let values: Vec<f64> = (0..2000).map(|_| rng.random::<f64>()).collect();
    let mean = values.iter().sum::<f64>() / 2000.0;
    let half_width = 1.96 * (1.0 / 12.0_f64 / 2000.0).sqrt();
    let Interval { low, high } = bootstrap_mean(&values, times(4000), 7).unwrap();
    assert!((low - (mean - half_width)).abs() < 0.1 * half_width, "{low}");
    assert!((high - (mean + half_width)).abs() < 0.1 * half_width, "{high}");
}

#[test]
fn the_bootstrap_depends_on_its_seed_alone() {
    let values = [0.1, 0.5, 0.9, 0.3];
    let interval = |seed| bootstrap_mean(&values, times(99), seed).unwrap();
    assert_eq!(interval(1), interval(1));
    let ends: Vec<f64> = (0..20).map(|seed| interval(seed).low).collect();
    assert!(ends.iter().any(|&low| low != ends[0]));
}

#[test]
fn the_interval_of_a_ratio_of_means_is_of_the_same_draws() {
    let doubled: Vec<(f64, f64)> = (1..40).map(|n| (2.0 * f64::from(n), f64::from(n))).collect();
    assert_eq!(bootstrap_ratio(&doubled, times(200), 3), Some(Interval { low: 2.0, high: 2.0 }));
    // Draws of the second query alone have no ratio.
    assert_eq!(bootstrap_ratio(&[(3.0, 1.0), (0.0, 0.0)], times(50), 3), Some(Interval { low: 3.0, high: 3.0 }));
    assert_eq!(bootstrap_ratio(&[(1.0, 0.0)], times(50), 3), None);
    assert_eq!(bootstrap_ratio(&[], times(50), 3), None);

    // By the delta method: the variance of a - r b over the square of the mean of b.
    let mut rng = rng::stream(4, "test", 0);
    let pairs: Vec<(f64, f64)> = (0..2000)
        .map(|_| {
            let b = 0.3 + 0.6 * rng.random::<f64>();
            (0.5 * b + 0.4 * rng.random::<f64>(), b)
        })
        .collect();
    let mean = |of: &dyn Fn(&(f64, f64)) -> f64| pairs.iter().map(of).sum::<f64>() / 2000.0;
    let (ratio, mean_b) = (mean(&|pair| pair.0) / mean(&|pair| pair.1), mean(&|pair| pair.1));
    let variance = mean(&|pair| (pair.0 - ratio * pair.1).powi(2));
    let half_width = 1.96 * (variance / 2000.0).sqrt() / mean_b;
    let Interval { low, high } = bootstrap_ratio(&pairs, times(4000), 7).unwrap();
    assert!((low - (ratio - half_width)).abs() < 0.1 * half_width, "{low} {ratio} {half_width}");
    assert!((high - (ratio + half_width)).abs() < 0.1 * half_width, "{high} {ratio} {half_width}");
}

#[test]
fn the_interval_of_pooled_pnr_is_a_ratio_of_sums() {
    let even = PairCounts { concordant: 6, discordant: 2, tied: 1 };
    let large = PairCounts { concordant: 600, discordant: 200, tied: 0 };
    assert_eq!(bootstrap_pnr(&[even, large, even], times(50), 0), Some(Interval { low: 3.0, high: 3.0 }));
    let perfect = PairCounts { concordant: 1, discordant: 0, tied: 0 };
    let Interval { low, high } = bootstrap_pnr(&[perfect, even], times(200), 0).unwrap();
    assert_eq!((low, high), (3.0, f64::INFINITY));
    let constant = PairCounts { concordant: 0, discordant: 0, tied: 5 };
    assert_eq!(bootstrap_pnr(&[constant; 3], times(50), 0), None);
}

#[test]
fn randomisation_counts_the_sample_itself() {
    assert_eq!(randomisation_test(&[0.0; 5], times(99), 0).unwrap(), 1.0);
    assert_eq!(randomisation_test(&[1.0; 40], times(99), 0).unwrap(), 0.01);
}

#[test]
fn randomisation_of_pnr_tells_a_better_system_from_an_equal_one() {
    let counts = |concordant, discordant| PairCounts { concordant, discordant, tied: 1 };
    let p = |queries: &[(PairCounts, PairCounts)]| randomisation_test_pnr(queries, times(999), 2);
    assert_eq!(p(&[(counts(3, 1), counts(3, 1)); 9]), Some(1.0));
    assert_eq!(p(&[(counts(4, 0), counts(0, 4)); 40]), Some(0.001));
    // Swapping one of two queries evens the systems out; half of the draws do.
    let half = p(&[(counts(4, 0), counts(0, 4)); 2]).unwrap();
    assert!((half - 0.5).abs() < 0.06, "{half}");
    assert_eq!(p(&[(counts(1, 0), counts(0, 0))]), None);
}

/// Pairs of ten documents of grades 0 to 4 by random scores of two systems, and the differences of what stands first.
fn random_systems(trial: u64, queries: usize) -> (Vec<(PairCounts, PairCounts)>, Vec<f64>) {
    let mut rng = rng::stream(trial, "random systems", 0);
    let mut one = |grades: &[u64]| {
        let scores: Vec<f64> = grades.iter().map(|_| rng.random()).collect();
        let mut pairs = PairCounts::default();
        for (i, a) in grades.iter().enumerate() {
            for (j, _) in grades.iter().enumerate().filter(|&(_, b)| a > b) {
                pairs = match scores[i] > scores[j] {
                    true => PairCounts { concordant: pairs.concordant + 1, ..pairs },
                    false => PairCounts { discordant: pairs.discordant + 1, ..pairs },
                };
            }
        }
        let best = (0..grades.len()).max_by(|&i, &j| scores[i].total_cmp(&scores[j])).map_or(0, |i| grades[i]);
        (pairs, best as f64 / 4.0)
    };
    let query = |query: usize| {
        let grades: Vec<u64> = (0..10).map(|document| ((document * query) % 7).min(4) as u64).collect();
        let ((a, first_a), (b, first_b)) = (one(&grades), one(&grades));
        ((a, b), first_a - first_b)
    };
    (1..=queries).map(query).unzip()
}

#[test]
fn of_random_systems_the_tests_reject_as_many_as_their_level_says() {
    const TRIALS: u64 = 1000;
    let mut rejected = [[0_u64; 2]; 3];
    for trial in 0..TRIALS {
        let (pairs, differences) = random_systems(trial, 60);
        let p_values = [
            randomisation_test(&differences, times(399), trial).unwrap(),
            paired_t_test(&differences).unwrap().p_value,
            randomisation_test_pnr(&pairs, times(399), trial).unwrap(),
        ];
        for (counts, p) in rejected.iter_mut().zip(p_values) {
            counts[0] += u64::from(p <= 0.05);
            counts[1] += u64::from(p <= 0.1);
        }
    }
    // Within three standard deviations of a binomial count: 50 and 7, 100 and 9.5.
    for [at_5, at_10] in rejected {
        assert!((29..=71).contains(&at_5) && (72..=128).contains(&at_10), "{rejected:?}");
    }
}

#[test]
fn intervals_cover_what_they_estimate() {
    const TRIALS: u64 = 1000;
    let mut covered = [0_u64; 4];
    for trial in 0..TRIALS {
        let mut rng = rng::stream(trial, "coverage", 0);
        // Skewed as a metric is, with a mean of 1/3; two systems of correlated values; pairs with a ratio of 3.
        let values: Vec<f64> = (0..120).map(|_| rng.random::<f64>().powi(2)).collect();
        let differences: Vec<f64> =
            values.iter().map(|value| 0.3 * value - 0.1 + 0.2 * (rng.random::<f64>() - 0.5)).collect();
        let pairs: Vec<PairCounts> = (0..120)
            .map(|_| {
                let mut count = |share: f64| (0..40).filter(|_| rng.random::<f64>() < share).count() as u64;
                let discordant = count(0.25);
                PairCounts { concordant: count(0.75), discordant, tied: 0 }
            })
            .collect();
        // A ratio of means of (0.3 / 3 + 1 / 3) / (1 / 3).
        let scaled: Vec<(f64, f64)> =
            values.iter().zip(&differences).map(|(value, difference)| (value + difference + 0.1, *value)).collect();
        let intervals = [
            (bootstrap_mean(&values, times(800), trial).unwrap(), 1.0 / 3.0),
            (bootstrap_mean(&differences, times(800), trial).unwrap(), 0.0),
            (bootstrap_pnr(&pairs, times(800), trial).unwrap(), 3.0),
            (bootstrap_ratio(&scaled, times(800), trial).unwrap(), 1.3),
        ];
        for (count, (Interval { low, high }, truth)) in covered.iter_mut().zip(intervals) {
            *count += u64::from(low <= truth && truth <= high);
        }
    }
    assert!(covered.iter().all(|count| (930..=970).contains(count)), "{covered:?}");
}

#[test]
fn the_floor_is_the_smallest_p_value() {
    assert_eq!(p_floor(times(99)), 0.01);
    assert_eq!(randomisation_test(&[1.0; 80], times(99), 4).unwrap(), p_floor(times(99)));
}

#[test]
fn the_interval_of_two_ratios_is_of_the_same_draws() {
    let counts = |concordant, discordant| PairCounts { concordant, discordant, tied: 0 };
    let even = [(counts(4, 2), counts(3, 3)); 5];
    assert_eq!(bootstrap_pnr_difference(&even, times(50), 0), Some(Interval { low: 1.0, high: 1.0 }));
    assert_eq!(bootstrap_pnr_difference(&[(counts(4, 0), counts(4, 0)); 3], times(50), 0), None);
    let same: Vec<_> = (1..30).map(|n| (counts(n, 3), counts(n, 3))).collect();
    assert_eq!(bootstrap_pnr_difference(&same, times(50), 0), Some(Interval { low: 0.0, high: 0.0 }));
}

#[test]
fn equal_differences_have_a_defined_t_test() {
    assert_eq!(paired_t_test(&[0.0; 3]).unwrap(), TTest { t: 0.0, p_value: 1.0 });
    assert_eq!(paired_t_test(&[0.5; 4]).unwrap(), TTest { t: f64::INFINITY, p_value: 0.0 });
}

#[test]
fn holm_by_hand() {
    let found = holm(&[0.04, 0.01, 0.03, 0.9]).unwrap();
    let expected = [0.09, 0.04, 0.09, 0.9];
    assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{found:?}");
    assert_eq!(holm(&[0.7, 0.6]).unwrap(), [1.0, 1.0]);
    assert_eq!(holm(&[]).unwrap(), [0.0; 0]);
}

#[test]
fn bad_input_is_refused() {
    let message = |error: SignificanceError| error.to_string();
    assert_eq!(message(paired_t_test(&[1.0]).unwrap_err()), "expected at least 2 queries, found 1");
    assert_eq!(message(bootstrap_mean(&[], times(9), 0).unwrap_err()), "expected at least 1 queries, found 0");
    assert_eq!(
        message(randomisation_test(&[0.0, f64::NAN], times(9), 0).unwrap_err()),
        "expected a finite value for each query, found NaN at index 1"
    );
    assert_eq!(message(holm(&[1.5]).unwrap_err()), "expected p-values from 0 to 1, found 1.5 at index 0");
}

proptest! {
    #[test]
    fn holm_is_monotone_and_never_below_the_raw_value(p_values in prop::collection::vec(0.0..=1.0, 0..10)) {
        let adjusted = holm(&p_values).unwrap();
        for i in 0..p_values.len() {
            prop_assert!(p_values[i] <= adjusted[i] && adjusted[i] <= 1.0);
            for j in 0..p_values.len() {
                prop_assert!(p_values[i] > p_values[j] || adjusted[i] <= adjusted[j]);
            }
        }
    }

    #[test]
    fn tests_do_not_care_which_system_comes_first(differences in prop::collection::vec(-1.0..1.0, 2..12)) {
        let swapped: Vec<f64> = differences.iter().map(|difference: &f64| -difference).collect();
        let (a, b) = (paired_t_test(&differences).unwrap(), paired_t_test(&swapped).unwrap());
        prop_assert!((0.0..=1.0).contains(&a.p_value));
        prop_assert_eq!((a.t, a.p_value), (-b.t, b.p_value));
        let p = |values: &[f64]| randomisation_test(values, times(50), 3).unwrap();
        prop_assert_eq!(p(&differences), p(&swapped));
    }
}
