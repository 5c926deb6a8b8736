use proptest::prelude::*;

use super::*;

type Loss = fn(&[f32], &[f32], &[usize]) -> Result<LossValue, LossError>;

fn hinge(scores: &[f32], grades: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
    pairwise_hinge(scores, grades, offsets, 1.0)
}

fn pointwise(student: &[f32], teacher: &[f32], _offsets: &[usize]) -> Result<LossValue, LossError> {
    pointwise_mse(student, teacher)
}

fn half_hybrid(student: &[f32], teacher: &[f32], offsets: &[usize]) -> Result<LossValue, LossError> {
    Ok(hybrid(student, teacher, offsets, 0.3)?.total)
}

const GRADED: [(&str, Loss); 4] =
    [("hinge", hinge), ("logistic", pairwise_logistic), ("softmax", listwise_softmax), ("lambda", lambda_loss)];
const TAUGHT: [(&str, Loss); 3] = [("pointwise", pointwise), ("margin", margin_mse), ("hybrid", half_hybrid)];

/// Lists whose scores are a multiple of `2^-6` plus `2^-10` times the position: two of one list are never tied nor
/// exactly a margin of 1 apart, so that no kink and no change of rank lies within a finite difference.
fn batch() -> impl Strategy<Value = (Vec<f32>, Vec<f32>, Vec<usize>)> {
    let list = prop::collection::vec((0_u16..400, 0_u8..5), 0..7);
    prop::collection::vec(list, 0..4).prop_map(|lists| {
        let (mut scores, mut grades, mut offsets) = (vec![], vec![], vec![0]);
        for list in lists {
            for (position, (score, grade)) in list.into_iter().enumerate() {
                let lattice = f32::from(score) / 64.0 - 3.0;
                scores.push(lattice + position as f32 / 1024.0);
                grades.push(f32::from(grade));
            }
            offsets.push(scores.len());
        }
        (scores, grades, offsets)
    })
}

/// The central difference of `loss` at score `i`, with the step that was really taken in f32.
fn slope(loss: Loss, scores: &[f32], labels: &[f32], offsets: &[usize], i: usize) -> f64 {
    let at = |step: f32| {
        let mut moved = scores.to_vec();
        moved[i] += step;
        (loss(&moved, labels, offsets).unwrap().value, f64::from(moved[i]))
    };
    let step = 2.0_f32.powi(-12);
    let ((above, x_above), (below, x_below)) = (at(step), at(-step));
    (above - below) / (x_above - x_below)
}

proptest! {
    #[test]
    fn gradients_equal_finite_differences((scores, grades, offsets) in batch()) {
        for (name, loss) in GRADED.into_iter().chain(TAUGHT) {
            let grad = loss(&scores, &grades, &offsets).unwrap().grad;
            prop_assert_eq!(grad.len(), scores.len());
            for (i, &g) in grad.iter().enumerate() {
                let expected = slope(loss, &scores, &grades, &offsets, i);
                let error = (f64::from(g) - expected).abs();
                prop_assert!(error < 1e-5 * (1.0 + expected.abs()), "{name} at {i}: {g} is not {expected}");
            }
        }
    }

    #[test]
    fn rank_losses_ignore_a_shift_of_all_scores((scores, grades, offsets) in batch(), shift in -4_i8..4) {
        let shifted: Vec<f32> = scores.iter().map(|score| score + f32::from(shift)).collect();
        for (name, loss) in GRADED.into_iter().chain([TAUGHT[1]]) {
            let (a, b) = (loss(&scores, &grades, &offsets).unwrap(), loss(&shifted, &grades, &offsets).unwrap());
            prop_assert!((a.value - b.value).abs() < 1e-9 * (1.0 + a.value), "{name}: {} is not {}", a.value, b.value);
            prop_assert!(b.grad.iter().map(|&g| f64::from(g)).sum::<f64>().abs() < 1e-5, "{name}");
        }
    }

    #[test]
    fn margin_mse_equals_the_sum_over_pairs((student, teacher, offsets) in batch()) {
        let (mut sum, mut pairs) = (0.0, 0.0);
        for list in offsets.windows(2) {
            for i in list[0]..list[1] {
                for j in list[0]..i {
                    sum += f64::from((teacher[i] - teacher[j]) - (student[i] - student[j])).powi(2);
                    pairs += 1.0;
                }
            }
        }
        let expected = if pairs > 0.0 { sum / pairs } else { 0.0 };
        let found = margin_mse(&student, &teacher, &offsets).unwrap().value;
        prop_assert!((found - expected).abs() < 1e-5 * (1.0 + expected), "{found} is not {expected}");
    }

    #[test]
    fn hybrid_mixes_its_parts((student, teacher, offsets) in batch(), alpha in 0.0..=1.0) {
        let found = hybrid(&student, &teacher, &offsets, alpha).unwrap();
        prop_assert_eq!(found.pointwise, pointwise_mse(&student, &teacher).unwrap().value);
        prop_assert_eq!(found.margin, margin_mse(&student, &teacher, &offsets).unwrap().value);
        prop_assert_eq!(found.total.value, alpha * found.pointwise + (1.0 - alpha) * found.margin);
    }
}

#[test]
fn hinge_is_flat_on_the_margin_and_beyond() {
    let flat = LossValue { value: 0.0, grad: vec![0.0, 0.0] };
    assert_eq!(pairwise_hinge(&[1.0, 0.0], &[1.0, 0.0], &[0, 2], 1.0), Ok(flat.clone()));
    assert_eq!(pairwise_hinge(&[2.0, 0.0], &[1.0, 0.0], &[0, 2], 1.0), Ok(flat.clone()));
    assert_eq!(pairwise_hinge(&[0.5, 0.5], &[1.0, 0.0], &[0, 2], 0.0), Ok(flat));
}

#[test]
fn tied_scores_still_get_a_gradient() {
    let (scores, grades, offsets) = ([0.0; 3], [2.0, 1.0, 0.0], [0, 3]);
    let hinge = pairwise_hinge(&scores, &grades, &offsets, 0.5).unwrap();
    assert_eq!(hinge, LossValue { value: 0.5, grad: vec![-2.0 / 3.0, 0.0, 2.0 / 3.0] });
    let logistic = pairwise_logistic(&scores, &grades, &offsets).unwrap();
    assert!((logistic.value - 2.0_f64.ln()).abs() < 1e-12);
    assert_eq!(logistic.grad, vec![-1.0 / 3.0, 0.0, 1.0 / 3.0]);
    let softmax = listwise_softmax(&scores, &grades, &offsets).unwrap();
    assert!((softmax.value - 3.0_f64.ln()).abs() < 1e-12);
    assert_eq!(softmax.grad, [1.0 / 3.0 - 0.75, 1.0 / 3.0 - 0.25, 1.0 / 3.0].map(|g: f64| g as f32));
    assert!(lambda_loss(&scores, &grades, &offsets).unwrap().grad[0] < 0.0);
}

#[test]
fn lambda_loss_of_one_pair_in_the_wrong_order() {
    let found = lambda_loss(&[0.0, 1.0], &[1.0, 0.0], &[0, 2]).unwrap();
    let weight = 1.0 - 1.0 / 3.0_f64.log2();
    assert!((found.value - weight * (1.0 + 1.0_f64.exp()).ln()).abs() < 1e-12);
    assert!((f64::from(found.grad[0]) + weight / (1.0 + (-1.0_f64).exp())).abs() < 1e-7);
}

#[test]
fn lists_without_a_pair_or_a_target_do_not_dilute_the_mean() {
    let (scores, grades) = ([0.3, -0.2, 5.0, 1.0, 1.0], [1.0, 0.0, 3.0, 0.0, 0.0]);
    for (name, loss) in [("hinge", hinge as Loss), ("logistic", pairwise_logistic), ("lambda", lambda_loss)] {
        let alone = loss(&scores[..2], &grades[..2], &[0, 2]).unwrap().value;
        assert_eq!(loss(&scores, &grades, &[0, 2, 3, 3, 5]).unwrap().value, alone, "{name}");
    }
    let alone = listwise_softmax(&scores[..2], &grades[..2], &[0, 2]).unwrap().value;
    let with_irrelevant = listwise_softmax(&[0.3, -0.2, 1.0, 1.0], &[1.0, 0.0, 0.0, 0.0], &[0, 2, 4]).unwrap().value;
    assert_eq!(with_irrelevant, alone);
}

#[test]
fn empty_batches_and_constant_grades_have_no_loss() {
    for (name, loss) in GRADED {
        assert_eq!(loss(&[], &[], &[0]), Ok(LossValue { value: 0.0, grad: vec![] }), "{name}");
        let zero = Ok(LossValue { value: 0.0, grad: vec![0.0, 0.0] });
        assert_eq!(loss(&[1.0, 2.0], &[0.0, 0.0], &[0, 2]), zero, "{name}");
    }
    assert_eq!(margin_mse(&[1.0], &[9.0], &[0, 0, 1]), Ok(LossValue { value: 0.0, grad: vec![0.0] }));
}

#[test]
fn extreme_scores_stay_finite() {
    let (scores, grades) = ([-3.0e38, 3.0e38, 0.0], [4.0, 0.0, 1.0]);
    for (name, loss) in GRADED {
        let found = loss(&scores, &grades, &[0, 3]).unwrap();
        assert!(found.value.is_finite() && found.grad.iter().all(|g| g.is_finite()), "{name}: {found:?}");
    }
}

#[test]
fn a_large_constant_gap_does_not_cancel() {
    let (student, teacher) = ([1.0e7, 1.0e7 + 1.0], [0.0, 0.0]);
    assert_eq!(margin_mse(&student, &teacher, &[0, 2]).unwrap().value, 1.0);
}

#[test]
fn bad_input_is_refused_by_name() {
    let message = |result: Result<LossValue, LossError>| result.unwrap_err().to_string();
    let mse = |student: &[f32], teacher: &[f32]| message(pointwise_mse(student, teacher));
    let rank = |scores: &[f32], grades: &[f32], offsets: &[usize]| message(lambda_loss(scores, grades, offsets));
    assert_eq!(mse(&[1.0], &[]), "expected one teacher score per score (1), found 0");
    assert_eq!(mse(&[1.0], &[f32::INFINITY]), "expected a finite teacher score, found inf at index 0");
    assert_eq!(rank(&[1.0, f32::NAN], &[1.0, 0.0], &[0, 2]), "expected a finite score, found NaN at index 1");
    assert_eq!(rank(&[1.0], &[-1.0], &[0, 1]), "expected a grade from 0 to 31, found -1 at index 0");
    assert_eq!(rank(&[1.0], &[f32::NAN], &[0, 1]), "expected a grade from 0 to 31, found NaN at index 0");
    let offsets = |found: &[usize]| rank(&[1.0, 0.0], &[1.0, 0.0], found);
    assert_eq!(offsets(&[0, 1]), "expected list offsets that rise from 0 to 2, found 1 at index 1");
    assert_eq!(offsets(&[0, 3]), "expected list offsets that rise from 0 to 2, found 3 at index 1");
    assert_eq!(offsets(&[0, 2, 1, 2]), "expected list offsets that rise from 0 to 2, found 1 at index 2");
    assert_eq!(offsets(&[1, 2]), "expected list offsets that rise from 0 to 2, found 1 at index 0");
    assert_eq!(offsets(&[]), "expected list offsets that rise from 0 to 2, found 0 at index 0");
    let margin = pairwise_hinge(&[], &[], &[0], f32::NAN).unwrap_err();
    assert_eq!(margin.to_string(), "expected a finite margin of at least 0, found NaN");
    let alpha = hybrid(&[], &[], &[0], 1.5).unwrap_err();
    assert_eq!(alpha.to_string(), "expected alpha from 0 to 1, found 1.5");
}
