use proptest::prelude::*;

use super::*;
use crate::rng::stream;

/// Shares of `users` who examined, clicked and were satisfied, by position.
fn rates(model: &dyn ClickModel, list: &[Appeal], users: u64) -> Vec<[f64; 3]> {
    let mut counts = vec![[0.0; 3]; list.len()];
    for user in 0..users {
        for (count, click) in counts.iter_mut().zip(model.clicks(list, &mut stream(5, "user", user))) {
            let happened = [click.examined, click.clicked, click.satisfied];
            count.iter_mut().zip(happened).for_each(|(count, happened)| *count += f64::from(happened) / users as f64);
        }
    }
    counts
}

fn assert_rates(found: &[[f64; 3]], expected: &[[f64; 3]]) {
    for (found, expected) in found.iter().flatten().zip(expected.iter().flatten()) {
        assert!((found - expected).abs() < 0.01, "{found} is not {expected}");
    }
    assert_eq!(found.len(), expected.len());
}

const LIST: [Appeal; 3] = [
    Appeal { attractiveness: 0.5, satisfaction: 0.8 },
    Appeal { attractiveness: 0.9, satisfaction: 0.0 },
    Appeal { attractiveness: 0.2, satisfaction: 1.0 },
];

#[test]
fn position_based_users_click_at_the_rate_of_the_model() {
    let model = PositionBased::new(vec![1.0, 0.6]).unwrap();
    assert_rates(&rates(&model, &LIST, 40_000), &[[1.0, 0.5, 0.4], [0.6, 0.54, 0.0], [0.0, 0.0, 0.0]]);
}

#[test]
fn dynamic_bayesian_users_stop_once_satisfied() {
    let model = DynamicBayesian::new(0.9).unwrap();
    let second = 0.6 * 0.9;
    let third = second * 0.9;
    let expected = [[1.0, 0.5, 0.4], [second, second * 0.9, 0.0], [third, third * 0.2, third * 0.2]];
    assert_rates(&rates(&model, &LIST, 40_000), &expected);
}

/// Exact expected counts of a position-based model, so that nothing is left to chance.
fn exact_cells(examination: &[f64], attractiveness: &[f64]) -> Vec<Cell> {
    const SHOWN: u64 = 1_000_000_000;
    let mut cells = vec![];
    for (item, gamma) in attractiveness.iter().enumerate() {
        for (index, theta) in examination.iter().enumerate() {
            let clicks = (SHOWN as f64 * theta * gamma).round() as u64;
            cells.push(Cell { item, position: index + 1, impressions: SHOWN, clicks });
        }
    }
    cells
}

#[test]
fn estimation_recovers_the_model_that_made_the_counts() {
    let (examination, attractiveness) = ([1.0, 0.7, 0.4, 0.15], [0.05, 0.3, 0.6, 0.2, 0.0]);
    let found = Propensity::estimate(&exact_cells(&examination, &attractiveness), 2000).unwrap();
    for (found, expected) in found.examination.iter().zip(examination) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
    for (found, expected) in found.attractiveness.iter().zip(attractiveness) {
        assert!((found - expected).abs() < 1e-4, "{found} is not {expected}");
    }
}

#[test]
fn gaps_in_positions_and_items_have_defined_values() {
    let cell = |item, position| Cell { item, position, impressions: 10, clicks: 5 };
    let found = Propensity::estimate(&[cell(0, 1), cell(0, 3), cell(2, 1)], 50).unwrap();
    assert_eq!(found.examination[0], 1.0);
    assert_eq!(found.examination[1], 1.0);
    assert_eq!(found.attractiveness[1], 0.0);
}

#[test]
fn debiasing_divides_by_examinations_and_smooths() {
    assert_eq!(debiased_ctr(3, 6.0, 0.0, 0.0), Some(0.5));
    assert_eq!(debiased_ctr(3, 6.0, 0.1, 10.0), Some(0.25));
    assert_eq!(debiased_ctr(0, 0.0, 0.1, 10.0), Some(0.1));
    assert_eq!(debiased_ctr(0, 0.0, 0.1, 0.0), None);
}

#[test]
fn bad_input_is_refused() {
    let cell = Cell { item: 3, position: 2, impressions: 1, clicks: 2 };
    let refuse = |cell| Propensity::estimate(&[cell], 1).unwrap_err().to_string();
    assert_eq!(refuse(cell), "item 3 at position 2: expected at most 1 clicks (its impressions), found 2");
    assert_eq!(refuse(Cell { position: 0, ..cell }), "item 3: expected positions from 1, found 0");
    let nothing_at_top = "expected impressions at position 1, which examination is relative to, found none";
    assert_eq!(refuse(Cell { clicks: 0, ..cell }), nothing_at_top);
    assert_eq!(Propensity::estimate(&[], 1).unwrap_err().to_string(), nothing_at_top);
    let probability = DynamicBayesian::new(1.5).unwrap_err().to_string();
    assert_eq!(probability, "expected a probability from 0 to 1 as continuation, found 1.5");
    assert!(PositionBased::new(vec![1.0, f64::NAN]).is_err());
}

proptest! {
    #[test]
    fn estimates_are_probabilities(
        counts in prop::collection::vec((0_usize..5, 1_usize..6, 0_u64..50, 0_u64..50), 0..30),
        iterations in 0_usize..40,
    ) {
        let cell = |(item, position, more, clicks)| Cell { item, position, impressions: clicks + more, clicks };
        let mut cells: Vec<Cell> = counts.into_iter().map(cell).collect();
        cells.push(Cell { item: 0, position: 1, impressions: 1, clicks: 0 });
        let found = Propensity::estimate(&cells, iterations).unwrap();
        prop_assert_eq!(found.examination[0], 1.0);
        for value in found.examination.iter().chain(&found.attractiveness) {
            prop_assert!((0.0..=1.0).contains(value), "{found:?}");
        }
    }
}
