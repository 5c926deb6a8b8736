//! The loss that takes grades as classes, on five logits per document.

use proptest::prelude::*;

use super::super::*;
use super::{slope, total};

pub(super) const LOSS: Loss = Loss::GradeCrossEntropy(GradeCrossEntropy {});

/// Documents in one list: logits and grades.
fn documents() -> impl Strategy<Value = (Vec<f32>, Vec<f32>)> {
    prop::collection::vec((prop::collection::vec(-200_i16..200, GRADES), 0_u8..5), 0..6).prop_map(|documents| {
        let logits = documents.iter().flat_map(|(logits, _)| logits.iter().map(|&logit| f32::from(logit) / 64.0));
        (logits.collect(), documents.iter().map(|(_, grade)| f32::from(*grade)).collect())
    })
}

proptest! {
    #[test]
    fn gradients_equal_finite_differences((logits, grades) in documents()) {
        let offsets = [0, grades.len()];
        let grad = total(LOSS, &logits, &grades, &offsets).grad;
        prop_assert_eq!(grad.len(), logits.len());
        for (i, &g) in grad.iter().enumerate() {
            let expected = slope(LOSS, &logits, &grades, &offsets, i);
            prop_assert!((f64::from(g) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{i}: {g} is not {expected}");
        }
    }

    #[test]
    fn lists_change_nothing_and_neither_does_a_shift_of_a_document((logits, grades) in documents(), shift in -4_i8..4) {
        let whole = total(LOSS, &logits, &grades, &[0, grades.len()]);
        let alone: Vec<usize> = (0..=grades.len()).collect();
        prop_assert_eq!(&whole, &total(LOSS, &logits, &grades, &alone));
        let mut shifted = logits.clone();
        shifted.iter_mut().take(GRADES).for_each(|logit| *logit += f32::from(shift));
        let error = (whole.value - total(LOSS, &shifted, &grades, &[0, grades.len()]).value).abs();
        prop_assert!(error < 1e-9 * (1.0 + whole.value));
    }
}

#[test]
fn equal_logits_cost_the_logarithm_of_their_number() {
    let found = total(LOSS, &[0.5; 10], &[4.0, 0.0], &[0, 2]);
    assert!((found.value - 5.0_f64.ln()).abs() < 1e-12);
    assert_eq!(found.grad[4..6], [-0.4, -0.4]);
    assert_eq!(total(LOSS, &[], &[], &[0]), LossValue { value: 0.0, grad: vec![] });
}

#[test]
fn extreme_logits_stay_finite() {
    let found = total(LOSS, &[-3e38, 3e38, 0.0, 3e38, -3e38], &[0.0], &[0, 1]);
    assert!(found.value.is_finite() && found.grad.iter().all(|g| g.is_finite()), "{found:?}");
}

#[test]
fn other_labels_and_numbers_of_logits_are_refused() {
    let refuse = |logits: &[f32], labels: &[f32]| LOSS.compute(logits, labels, &[0, 1]).unwrap_err().to_string();
    for label in [0.5, -1.0, 5.0] {
        assert_eq!(refuse(&[0.0; 5], &[label]), format!("expected an integer from 0 to 4, found {label} at index 0"));
    }
    assert_eq!(refuse(&[0.0; 5], &[0.0, 1.0]), "expected one label per score (1), found 2");
    assert_eq!(refuse(&[0.0], &[0.0]), "expected one label per score (0), found 1");
    assert_eq!((LOSS.outputs(), Loss::ListNet(ListNet {}).outputs()), (5, 1));
}
