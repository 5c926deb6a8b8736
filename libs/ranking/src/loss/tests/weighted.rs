//! Losses of lists of different weight.

use super::super::*;
use super::{LOSSES, VARIANTS, classes, slope_of, total};

const SCORES: [f32; 7] = [0.3, -0.2, 1.1, 0.4, 0.9, -1.0, 0.25];
const LABELS: [f32; 7] = [2.0, 0.0, 1.0, 0.0, 3.0, 1.0, 1.0];
const OFFSETS: [usize; 4] = [0, 3, 5, 7];
const WEIGHTS: [f64; 3] = [0.5, 2.0, 1.5];

#[test]
fn a_weighted_loss_is_the_weighted_mean_of_the_lists_alone() {
    for loss in LOSSES.into_iter().chain(VARIANTS) {
        let found = loss.compute_weighted(&SCORES, &LABELS, &OFFSETS, &WEIGHTS).unwrap();
        let (mut value, mut grad) = (0.0, Vec::new());
        for (list, weight) in [(0..3, 0.125), (3..5, 0.5), (5..7, 0.375)] {
            let alone = total(loss, &SCORES[list.clone()], &LABELS[list.clone()], &[0, list.len()]);
            value += weight * alone.value;
            grad.extend(alone.grad.iter().map(|&slope| weight as f32 * slope));
        }
        assert!((found.total.value - value).abs() < 1e-12, "{loss:?}");
        assert!(found.total.grad.iter().zip(&grad).all(|(a, b)| (a - b).abs() < 1e-6), "{loss:?}");
        let sum: f64 = found.components.iter().map(|(_, value)| value).sum();
        assert!(found.components.is_empty() || sum > 0.0);
    }
}

#[test]
fn gradients_equal_finite_differences() {
    let weighted =
        |loss: Loss| move |scores: &[f32]| loss.compute_weighted(scores, &LABELS, &OFFSETS, &WEIGHTS).unwrap().total;
    for loss in LOSSES.into_iter().chain(VARIANTS) {
        for (i, &g) in weighted(loss)(&SCORES).grad.iter().enumerate() {
            let expected = slope_of(weighted(loss), &SCORES, i);
            assert!(
                (f64::from(g) - expected).abs() < 1e-5 * (1.0 + expected.abs()),
                "{loss:?} at {i}: {g}, {expected}"
            );
        }
    }
}

#[test]
fn equal_weights_of_lists_of_one_length_change_no_mean() {
    let (scores, labels, offsets) = (&SCORES[3..], &LABELS[3..], [0, 2, 4]);
    let found = Loss::PointwiseMse(PointwiseMse {}).compute_weighted(scores, labels, &offsets, &[3.0, 3.0]).unwrap();
    let plain = total(Loss::PointwiseMse(PointwiseMse {}), scores, labels, &offsets);
    assert!((found.total.value - plain.value).abs() < 1e-12);
}

#[test]
fn logits_of_classes_are_cut_with_their_documents() {
    let logits: Vec<f32> = (0..15).map(|i| (i % 4) as f32).collect();
    let found = classes::LOSS.compute_weighted(&logits, &[1.0, 0.0, 4.0], &[0, 2, 3], &[1.0, 3.0]).unwrap().total;
    let parts = [
        total(classes::LOSS, &logits[..10], &[1.0, 0.0], &[0, 2]),
        total(classes::LOSS, &logits[10..], &[4.0], &[0, 1]),
    ];
    assert!((found.value - (0.25 * parts[0].value + 0.75 * parts[1].value)).abs() < 1e-12);
    assert_eq!(found.grad.len(), 15);
}

#[test]
fn weights_that_are_none_are_refused() {
    let refuse = |weights: &[f64]| {
        let refused = LOSSES[0].compute_weighted(&SCORES, &LABELS, &OFFSETS, weights);
        refused.unwrap_err().to_string()
    };
    assert_eq!(refuse(&[1.0]), "expected a weight above 0 for each of 3 lists, found 1 weights");
    assert_eq!(refuse(&[1.0, 0.0, 1.0]), "expected a weight above 0 for each of 3 lists, found 0");
    assert_eq!(refuse(&[1.0, 1.0, f64::NAN]), "expected a weight above 0 for each of 3 lists, found NaN");
}
