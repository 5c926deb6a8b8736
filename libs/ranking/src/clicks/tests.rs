use proptest::prelude::*;

use super::*;
use crate::rng::{permutation, stream};

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

fn cell(item: usize, position: usize, impressions: u64, clicks: u64) -> Cell {
    Cell::new(item, position, impressions, clicks).unwrap()
}

fn assert_close(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{found:?} is not {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        assert!((a - b).abs() <= tolerance, "{found:?} is not {expected:?}");
    }
}

/// Exact expected counts of a position-based model, so that nothing is left to chance.
fn exact_cells(examination: &[f64], attractiveness: &[f64]) -> Vec<Cell> {
    const SHOWN: u64 = 1_000_000_000;
    let items = attractiveness.iter().enumerate();
    let of_item = |(item, gamma): (usize, &f64)| {
        let clicks = |theta: &f64| (SHOWN as f64 * theta * gamma).round() as u64;
        let cells = examination.iter().enumerate().map(|(index, theta)| cell(item, index + 1, SHOWN, clicks(theta)));
        cells.collect::<Vec<Cell>>()
    };
    items.flat_map(of_item).collect()
}

#[test]
fn estimation_recovers_the_model_that_made_the_counts() {
    let (examination, attractiveness) = ([1.0, 0.7, 0.4, 0.15], [0.05, 0.3, 0.6, 0.2, 0.0]);
    let cells = exact_cells(&examination, &attractiveness);
    for found in [Propensity::estimate(&cells, 100).unwrap(), Propensity::harvest(&cells).unwrap()] {
        assert_close(&found.examination, &examination, 1e-5);
        assert_eq!(found.measured(), [true; 4]);
        for (item, expected) in cells.chunk_by(|a, b| a.item() == b.item()).zip(attractiveness) {
            let clicks = item.iter().map(Cell::clicks).sum();
            let rate = debiased_ctr(clicks, found.examinations(item), 0.0, 0.0).unwrap();
            assert_close(&[rate], &[expected], 1e-5);
        }
    }
}

#[test]
fn a_position_looked_at_more_than_the_first_passes_1() {
    let cells = exact_cells(&[0.6, 0.9, 0.3], &[0.05, 0.9]);
    for found in [Propensity::estimate(&cells, 100).unwrap(), Propensity::harvest(&cells).unwrap()] {
        assert_close(&found.examination, &[1.0, 1.5, 0.5], 1e-5);
    }
}

#[test]
fn items_that_keep_their_position_say_nothing() {
    let mut cells = exact_cells(&[1.0, 0.7, 0.4], &[0.5, 0.2]);
    let alone = Propensity::estimate(&cells, 100).unwrap();
    cells.extend((10..40).map(|item| cell(item, item % 3 + 1, 1000, 990)));
    assert_eq!(Propensity::estimate(&cells, 100).unwrap(), alone);
}

#[test]
fn positions_that_nothing_links_to_the_first_follow_the_one_above() {
    // Items link positions 1 and 2, and 4 and 5; nothing was shown at 3, and only an item that stays at 6.
    let cells = [(0, 1, 50), (0, 2, 25), (1, 4, 20), (1, 5, 10), (2, 6, 30)];
    let cells = cells.map(|(item, position, clicks)| cell(item, position, 100, clicks));
    for found in [Propensity::estimate(&cells, 100).unwrap(), Propensity::harvest(&cells).unwrap()] {
        assert_close(&found.examination, &[1.0, 0.5, 0.5, 0.5, 0.25, 0.25], 1e-5);
        assert_eq!(found.measured(), [true, true, false, false, false, false]);
        assert_eq!(
            [0, 1, 2, 600].map(|position| found.at(position)),
            [1.0, 1.0, found.examination[1], found.examination[5]]
        );
    }
}

#[test]
fn a_position_without_a_click_is_given_half_a_click() {
    // Of an item that is clicked every second time it is looked at; 20 clicks would be expected at position 2.
    let cells = [cell(0, 1, 40, 20), cell(0, 2, 40, 0)];
    let found = Propensity::estimate(&cells, 100).unwrap();
    assert_close(&found.examination, &[1.0, 0.025], 1e-12);
    assert_eq!(found.measured(), [true, false]);
    let few = Propensity::estimate(&[cell(0, 1, 40, 20), cell(0, 2, 1, 0), cell(0, 3, 40, 10)], 100).unwrap();
    assert_close(&few.examination, &[1.0, 1.0, 0.5], 1e-5);
}

#[test]
fn a_fit_by_hand() {
    let model = Propensity::from_examinations(vec![0.8, 0.4]).unwrap();
    assert_eq!(model.examination, [1.0, 0.5]);
    // Debiased rates 0.5 and 0.2; nothing is known about position 3, and item 2 was never clicked.
    let cells = [cell(0, 1, 10, 4), cell(0, 2, 20, 6), cell(1, 1, 5, 2), cell(1, 3, 10, 0), cell(2, 2, 7, 0)];
    let fit = model.fit(&cells);
    let found = fit.positions.iter().map(|row| (row.position, row.examination, row.impressions, row.clicks));
    assert_eq!(found.collect::<Vec<_>>(), [(1, 1.0, 15, 6), (2, 0.5, 27, 6), (3, 0.5, 10, 0)]);
    let expected: Vec<f64> = fit.positions.iter().map(|row| row.expected_clicks).collect();
    assert_close(&expected, &[6.0, 5.0, 1.0], 1e-12);
    assert_eq!(fit.positions[0].rate(), Some(0.4));
    assert_eq!(fit.positions[0].expected_rate(), Some(0.4));
    let binomial = |shown: f64, clicks: f64| {
        let rate = clicks / shown;
        clicks * rate.ln() + (shown - clicks) * (1.0 - rate).ln()
    };
    assert_close(&[fit.log_likelihood_without_bias], &[binomial(30.0, 10.0) + binomial(15.0, 2.0)], 1e-9);
    let always = model.fit(&[cell(0, 1, 3, 3), cell(0, 2, 4, 4)]);
    assert_close(&[always.log_likelihood, always.log_likelihood_without_bias], &[4.0 * 0.5_f64.ln(), 0.0], 1e-9);
    let nothing = Fit { positions: vec![], log_likelihood: 0.0, log_likelihood_without_bias: 0.0 };
    assert_eq!(model.fit(&[cell(0, 4, 0, 0)]), nothing);
}

#[test]
fn kendall_by_hand() {
    let tau = |a: &[f64], b: &[f64]| kendall_tau(&a.iter().copied().zip(b.iter().copied()).collect::<Vec<_>>());
    assert_eq!(tau(&[1.0, 2.0, 3.0, 4.0], &[0.1, 0.2, 0.4, 0.3]), Some(4.0 / 6.0));
    assert_eq!(tau(&[1.0, 1.0, 2.0], &[5.0, 6.0, 7.0]), Some(2.0 / 6.0_f64.sqrt()));
    assert_eq!(tau(&[-0.0, 0.0], &[1.0, 2.0]), None);
    assert_eq!(tau(&[1.0, f64::NAN], &[1.0, 2.0]), None);
    assert_eq!(kendall_tau(&[]), None);
}

#[test]
fn estimates_equal_those_of_others() {
    let golden: serde_json::Value = serde_json::from_str(include_str!("../../../../tests/golden/clicks.json")).unwrap();
    let number = |value: &serde_json::Value| value.as_f64().unwrap();
    let numbers = |value: &serde_json::Value| value.as_array().unwrap().iter().map(number).collect::<Vec<f64>>();
    for log in golden["logs"].as_array().unwrap() {
        let counts = log["cells"].as_array().unwrap().iter().map(numbers);
        let cells: Vec<Cell> =
            counts.map(|row| cell(row[0] as usize, row[1] as usize, row[2] as u64, row[3] as u64)).collect();
        let estimate = Propensity::estimate(&cells, 1000).unwrap();
        assert_close(&estimate.examination, &numbers(&log["estimate"]), 1e-5);
        assert_close(&Propensity::harvest(&cells).unwrap().examination, &numbers(&log["all_pairs"]), 1e-4);
        let fit = estimate.fit(&cells);
        assert_close(&[fit.log_likelihood], &[number(&log["log_likelihood"])], 1e-3);
        assert_close(&[fit.log_likelihood_without_bias], &[number(&log["without_bias"])], 1e-3);
        for row in &fit.positions {
            assert_close(&[row.expected_clicks], &[row.clicks as f64], 1e-3 * row.clicks as f64);
        }
    }
    for case in golden["kendall"].as_array().unwrap() {
        let pairs = case["pairs"].as_array().unwrap().iter().map(numbers);
        let found = kendall_tau(&pairs.map(|pair| (pair[0], pair[1])).collect::<Vec<_>>()).unwrap();
        assert_close(&[found], &[number(&case["tau"])], 1e-12);
    }
}

#[test]
fn debiasing_divides_by_examinations_and_smooths() {
    assert_eq!(debiased_ctr(3, 6.0, 0.0, 0.0), Some(0.5));
    assert_eq!(debiased_ctr(3, 6.0, 0.1, 10.0), Some(0.25));
    assert_eq!(debiased_ctr(0, 0.0, 0.1, 10.0), Some(0.1));
    assert_eq!(debiased_ctr(0, 0.0, 0.1, 0.0), None);
}

#[test]
fn a_cell_is_16_bytes_and_refuses_what_does_not_fit() {
    assert_eq!(size_of::<Cell>(), 16);
    let refuse =
        |item, position, impressions, clicks| Cell::new(item, position, impressions, clicks).unwrap_err().to_string();
    assert_eq!(refuse(3, 2, 1, 2), "item 3 at position 2: expected at most 1 clicks (its impressions), found 2");
    assert_eq!(refuse(3, 0, 1, 1), "item 3: expected positions from 1, found 0");
    assert_eq!(refuse(3, 65_536, 1, 1), "expected position up to 65535, found 65536");
    assert_eq!(refuse(1 << 32, 1, 1, 1), "expected item number up to 4294967295, found 4294967296");
    let impressions = "expected impressions of an item at one position up to 4294967295, found 4294967296";
    assert_eq!(refuse(0, 1, 1 << 32, 1), impressions);
    assert!(Cell::new(u32::MAX as usize, 65_535, u32::MAX.into(), u32::MAX.into()).is_ok());
}

#[test]
fn logs_that_say_nothing_are_refused() {
    let refuse = |cells: &[Cell]| {
        let found = Propensity::estimate(cells, 9).unwrap_err();
        assert_eq!(Propensity::harvest(cells).unwrap_err(), found);
        found.to_string()
    };
    let nothing_at_top = "expected impressions at position 1, which examination is relative to, found none";
    assert_eq!(refuse(&[]), nothing_at_top);
    assert_eq!(refuse(&[cell(0, 2, 5, 1), cell(0, 1, 0, 0)]), nothing_at_top);
    let no_clicks = "expected clicks, found none: position bias cannot be estimated";
    assert_eq!(refuse(&[cell(0, 1, 5, 0), cell(0, 2, 5, 0)]), no_clicks);
    let no_item_moves = "expected items that are shown at two or more positions and clicked, found none: \
                         position bias cannot be told from appeal";
    assert_eq!(refuse(&[cell(0, 1, 5, 1), cell(1, 2, 5, 1), cell(2, 1, 5, 0), cell(2, 2, 5, 0)]), no_item_moves);
    let far = Propensity::harvest(&[cell(0, 1, 5, 1), cell(0, 2000, 5, 1)]).unwrap_err();
    assert_eq!(far.to_string(), "expected position to harvest up to 1000, found 2000");
}

#[test]
fn bad_parameters_are_refused() {
    let probability = DynamicBayesian::new(1.5).unwrap_err().to_string();
    assert_eq!(probability, "expected a probability from 0 to 1 as continuation, found 1.5");
    assert!(PositionBased::new(vec![1.0, f64::NAN]).is_err());
    let refuse = |examinations: &[f64]| Propensity::from_examinations(examinations.to_vec()).unwrap_err().to_string();
    assert_eq!(refuse(&[]), "expected an examination for each position from position 1, found none");
    assert_eq!(refuse(&[1.0, 0.0]), "position 2: expected an examination above 0, found 0");
    assert_eq!(refuse(&[0.0, 0.5]), "position 1: expected an examination above 0, found 0");
    assert_eq!(refuse(&[1.0, f64::NAN]), "position 2: expected an examination above 0, found NaN");
    assert!(Propensity::from_examinations(vec![1e-300, 1e300]).is_err());
    assert_eq!(refuse(&[1e-9, 0.5, f64::INFINITY]), "position 3: expected an examination above 0, found inf");
}

fn cells() -> impl Strategy<Value = Vec<Cell>> {
    let count = (0_usize..6, 1_usize..7, 0_u64..30, 0_u64..30);
    let cells = prop::collection::vec(
        count.prop_map(|(item, position, more, clicks)| (item, position, clicks + more, clicks)),
        0..30,
    );
    cells.prop_map(|cells| {
        cells.into_iter().map(|(item, position, shown, clicks)| cell(item, position, shown, clicks)).collect()
    })
}

proptest! {
    #[test]
    fn estimates_are_numbers_above_0(mut cells in cells(), iterations in 0_usize..40, top in 0_u64..2) {
        cells.push(cell(0, 1, 1, top));
        for found in [Propensity::estimate(&cells, iterations), Propensity::harvest(&cells)] {
            match found {
                Ok(found) => {
                    prop_assert_eq!(found.at(1), 1.0);
                    prop_assert!(found.examination.iter().all(|theta| theta.is_finite() && *theta > 0.0), "{found:?}");
                    let fit = found.fit(&cells);
                    prop_assert!(fit.log_likelihood.is_finite() && fit.log_likelihood <= 0.0);
                    prop_assert!(fit.log_likelihood_without_bias.is_finite());
                    let expected: f64 = fit.positions.iter().map(|row| row.expected_clicks).sum();
                    let clicks: u64 = cells.iter().map(Cell::clicks).sum();
                    prop_assert!((expected - clicks as f64).abs() < 1e-6 * (1.0 + clicks as f64), "{fit:?}");
                }
                Err(error) => prop_assert!(matches!(error, ClickError::NoClicks | ClickError::NoItemMoves)),
            }
        }
    }

    #[test]
    fn estimates_ignore_the_order_of_cells_and_the_numbers_of_items(cells in cells(), seed: u64) {
        let numbers = permutation(&mut stream(seed, "test", 0), 6);
        let order = permutation(&mut stream(seed, "test", 1), cells.len());
        let renamed = |old: &Cell| cell(numbers[old.item()] * 1000, old.position(), old.impressions(), old.clicks());
        let other: Vec<Cell> = order.iter().map(|&index| renamed(&cells[index])).collect();
        prop_assert_eq!(Propensity::estimate(&cells, 50), Propensity::estimate(&other, 50));
    }

    #[test]
    fn kendall_is_what_counting_pairs_gives(pairs in prop::collection::vec((0_u8..5, 0_u8..5), 0..20)) {
        let pairs: Vec<(f64, f64)> = pairs.into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        let sign = |x: f64, y: f64| x.partial_cmp(&y).map_or(0, |order| order as i32);
        let (mut agree, mut first, mut second) = (0, 0, 0);
        for (nth, x) in pairs.iter().enumerate() {
            for y in &pairs[..nth] {
                let (a, b) = (sign(x.0, y.0), sign(x.1, y.1));
                agree += a * b;
                first += a.abs();
                second += b.abs();
            }
        }
        match kendall_tau(&pairs) {
            Some(tau) => prop_assert!((tau - f64::from(agree) / f64::from(first * second).sqrt()).abs() < 1e-12),
            None => prop_assert_eq!(first * second, 0),
        }
    }
}
