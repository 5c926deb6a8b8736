use proptest::prelude::*;

use super::*;

mod classes;
mod relations;
mod weighted;

/// Every loss on scores, on labels from 0 to 4.
const LOSSES: [Loss; 15] = [
    HINGE,
    LOGISTIC,
    SOFTMAX,
    LAMBDA,
    Loss::Hybrid(Hybrid { alpha: 0.3, temperature: 2.0 }),
    Loss::PointwiseMse(PointwiseMse {}),
    MARGIN_MSE,
    KL,
    RANKNET,
    LISTNET,
    LISTMLE,
    POSITION_AWARE,
    ADR_MSE,
    INFONCE,
    APPROX_NDCG,
];
/// Losses whose other parameters compute something else.
const VARIANTS: [Loss; 3] = [
    Loss::Lambda(Lambda { weighting: Weighting::NdcgLoss2, mu: None }),
    Loss::Lambda(Lambda { weighting: Weighting::NdcgLoss2pp, mu: Some(3.0) }),
    Loss::Kl(Kl { temperature: 2.0, label_temperature: Some(0.7) }),
];
const HINGE: Loss = Loss::Hinge(Hinge { margin: 1.0 });
const LOGISTIC: Loss = Loss::Logistic(Logistic {});
const SOFTMAX: Loss = Loss::Softmax(Softmax {});
const LAMBDA: Loss = Loss::Lambda(Lambda { weighting: Weighting::LambdaRank, mu: None });
const MARGIN_MSE: Loss = Loss::MarginMse(MarginMse {});
const KL: Loss = kl(2.0);
const RANKNET: Loss = Loss::RankNet(RankNet {});
const LISTNET: Loss = Loss::ListNet(ListNet {});
const LISTMLE: Loss = Loss::ListMle(ListMle {});
const POSITION_AWARE: Loss = Loss::PositionAwareListMle(PositionAwareListMle {});
const ADR_MSE: Loss = adr_mse(1.5);
const INFONCE: Loss = infonce(0.5);
const APPROX_NDCG: Loss = approx_ndcg(0.5);

/// The losses that look at the order of the scores alone, and have nothing to learn from equal labels.
const RANK_LOSSES: [Loss; 6] = [HINGE, LOGISTIC, SOFTMAX, LAMBDA, INFONCE, APPROX_NDCG];
/// The others that a shift of all scores changes nothing of; equal labels are a target of theirs.
const SHIFTED_LOSSES: [Loss; 7] = [MARGIN_MSE, KL, RANKNET, LISTNET, LISTMLE, POSITION_AWARE, ADR_MSE];

const fn kl(temperature: f64) -> Loss {
    Loss::Kl(Kl { temperature, label_temperature: None })
}

const fn adr_mse(temperature: f64) -> Loss {
    Loss::AdrMse(AdrMse { temperature })
}

const fn infonce(temperature: f64) -> Loss {
    Loss::InfoNce(InfoNce { temperature })
}

const fn approx_ndcg(temperature: f64) -> Loss {
    Loss::ApproxNdcg(ApproxNdcg { temperature })
}

fn total(loss: Loss, scores: &[f32], labels: &[f32], offsets: &[usize]) -> LossValue {
    loss.compute(scores, labels, offsets).unwrap().total
}

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
    slope_of(|scores| total(loss, scores, labels, offsets), scores, i)
}

fn slope_of(loss: impl Fn(&[f32]) -> LossValue, scores: &[f32], i: usize) -> f64 {
    let at = |step: f32| {
        let mut moved = scores.to_vec();
        moved[i] += step;
        (loss(&moved).value, f64::from(moved[i]))
    };
    let step = 2.0_f32.powi(-12);
    let ((above, x_above), (below, x_below)) = (at(step), at(-step));
    (above - below) / (x_above - x_below)
}

#[test]
fn every_loss_is_tested() {
    let names: Vec<&str> = LOSSES.iter().chain([&classes::LOSS]).map(Loss::name).collect();
    assert_eq!(names, Loss::NAMES);
}

proptest! {
    #[test]
    fn gradients_equal_finite_differences((scores, labels, offsets) in batch()) {
        for loss in LOSSES.into_iter().chain(VARIANTS) {
            let grad = total(loss, &scores, &labels, &offsets).grad;
            prop_assert_eq!(grad.len(), scores.len());
            for (i, &g) in grad.iter().enumerate() {
                let expected = slope(loss, &scores, &labels, &offsets, i);
                let error = (f64::from(g) - expected).abs();
                prop_assert!(error < 1e-5 * (1.0 + expected.abs()), "{loss:?} at {i}: {g} is not {expected}");
            }
        }
    }

    #[test]
    fn losses_ignore_a_shift_of_all_scores((scores, labels, offsets) in batch(), shift in -4_i8..4) {
        let shifted: Vec<f32> = scores.iter().map(|score| score + f32::from(shift)).collect();
        for loss in RANK_LOSSES.into_iter().chain(SHIFTED_LOSSES).chain(VARIANTS) {
            let (a, b) = (total(loss, &scores, &labels, &offsets), total(loss, &shifted, &labels, &offsets));
            let error = (a.value - b.value).abs();
            prop_assert!(error < 1e-9 * (1.0 + a.value), "{loss:?}: {} is not {}", a.value, b.value);
            prop_assert!(b.grad.iter().map(|&g| f64::from(g)).sum::<f64>().abs() < 1e-5, "{loss:?}");
        }
    }

    #[test]
    fn losses_of_order_see_the_order_of_the_labels_alone((scores, labels, offsets) in batch(), shift in -9_i8..9) {
        let other: Vec<f32> = labels.iter().map(|label| 0.3 * label + f32::from(shift)).collect();
        for loss in [HINGE, LOGISTIC, LISTMLE, POSITION_AWARE, ADR_MSE, INFONCE] {
            prop_assert_eq!(total(loss, &scores, &labels, &offsets), total(loss, &scores, &other, &offsets));
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
        let found = total(MARGIN_MSE, &student, &teacher, &offsets).value;
        prop_assert!((found - expected).abs() < 1e-5 * (1.0 + expected), "{found} is not {expected}");
    }

    #[test]
    fn kl_is_0_at_the_labels_up_to_a_shift_and_above_0_elsewhere(
        (scores, labels, offsets) in batch(),
        shift in -9_i8..9,
        tau in 0.5..4.0,
    ) {
        let shifted: Vec<f32> = labels.iter().map(|label| label + f32::from(shift)).collect();
        let at_labels = total(kl(tau), &shifted, &labels, &offsets);
        prop_assert!(at_labels.value.abs() < 1e-12, "{}", at_labels.value);
        prop_assert!(at_labels.grad.iter().all(|g| g.abs() < 1e-12));
        let value = total(kl(tau), &scores, &labels, &offsets).value;
        prop_assert!(value > -1e-12, "{value}");
        let shifted = total(kl(tau), &scores, &shifted, &offsets).value;
        prop_assert!((value - shifted).abs() < 1e-12 * (1.0 + value), "{value} is not {shifted}");
    }

    #[test]
    fn kl_nears_half_the_variance_of_the_gaps_as_the_temperature_rises((student, teacher, offsets) in batch()) {
        let lists: Vec<_> = offsets.windows(2).filter(|list| list[1] - list[0] > 1).collect();
        let half_variance = |list: &&[usize]| {
            let gaps: Vec<f64> = (list[0]..list[1]).map(|i| f64::from(teacher[i]) - f64::from(student[i])).collect();
            let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
            gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64 / 2.0
        };
        let expected = lists.iter().map(half_variance).sum::<f64>() / lists.len().max(1) as f64;
        let found = total(kl(1e4), &student, &teacher, &offsets).value;
        prop_assert!((found - expected).abs() < 5e-3 * (1.0 + expected), "{found} is not {expected}");
    }

    #[test]
    fn hybrid_mixes_its_parts((student, teacher, offsets) in batch(), alpha in 0.0..=1.0) {
        let found = Loss::Hybrid(Hybrid { alpha, temperature: 1.0 }).compute(&student, &teacher, &offsets).unwrap();
        let pointwise = total(Loss::PointwiseMse(PointwiseMse {}), &student, &teacher, &offsets).value;
        let margin = total(MARGIN_MSE, &student, &teacher, &offsets).value;
        prop_assert_eq!(found.components, [("pointwise_mse", pointwise), ("margin_mse", margin)]);
        prop_assert_eq!(found.total.value, alpha * pointwise + (1.0 - alpha) * margin);
    }
}

#[test]
fn hinge_is_flat_on_the_margin_and_beyond() {
    let flat = LossValue { value: 0.0, grad: vec![0.0, 0.0] };
    assert_eq!(total(HINGE, &[1.0, 0.0], &[1.0, 0.0], &[0, 2]), flat);
    assert_eq!(total(HINGE, &[2.0, 0.0], &[1.0, 0.0], &[0, 2]), flat);
    assert_eq!(total(Loss::Hinge(Hinge { margin: 0.5 }), &[0.75, 0.25], &[1.0, 0.0], &[0, 2]), flat);
}

#[test]
fn tied_scores_still_get_a_gradient() {
    let (scores, grades, offsets) = ([0.0; 3], [2.0, 1.0, 0.0], [0, 3]);
    let hinge = total(Loss::Hinge(Hinge { margin: 0.5 }), &scores, &grades, &offsets);
    assert_eq!(hinge, LossValue { value: 0.5, grad: vec![-2.0 / 3.0, 0.0, 2.0 / 3.0] });
    let logistic = total(LOGISTIC, &scores, &grades, &offsets);
    assert!((logistic.value - 2.0_f64.ln()).abs() < 1e-12);
    assert_eq!(logistic.grad, vec![-1.0 / 3.0, 0.0, 1.0 / 3.0]);
    let softmax = total(SOFTMAX, &scores, &grades, &offsets);
    assert!((softmax.value - 3.0_f64.ln()).abs() < 1e-12);
    assert_eq!(softmax.grad, [1.0 / 3.0 - 0.75, 1.0 / 3.0 - 0.25, 1.0 / 3.0].map(|g: f64| g as f32));
    assert!(total(LAMBDA, &scores, &grades, &offsets).grad[0] < 0.0);
}

#[test]
fn lambda_loss_of_one_pair_in_the_wrong_order() {
    let found = total(LAMBDA, &[0.0, 1.0], &[1.0, 0.0], &[0, 2]);
    let weight = 1.0 - 1.0 / 3.0_f64.log2();
    assert!((found.value - weight * (1.0 + 1.0_f64.exp()).ln()).abs() < 1e-12);
    assert!((f64::from(found.grad[0]) + weight / (1.0 + (-1.0_f64).exp())).abs() < 1e-7);
}

#[test]
fn kl_of_two_documents_by_hand() {
    let found = total(kl(2.0), &[0.0, 0.0], &[2.0, 0.0], &[0, 2]);
    let p = 1.0 / (1.0 + (-1.0_f64).exp());
    let expected = 4.0 * (2.0_f64.ln() + p * p.ln() + (1.0 - p) * (1.0 - p).ln());
    assert!((found.value - expected).abs() < 1e-12);
    assert_eq!(found.grad, [1.0 - 2.0 * p, 2.0 * p - 1.0].map(|g: f64| g as f32));
}

#[test]
fn lists_without_a_pair_or_a_target_do_not_dilute_the_mean() {
    let (scores, grades) = ([0.3, -0.2, 5.0, 1.0, 1.0], [1.0, 0.0, 3.0, 0.0, 0.0]);
    for loss in [HINGE, LOGISTIC, LAMBDA, INFONCE, APPROX_NDCG] {
        let alone = total(loss, &scores[..2], &grades[..2], &[0, 2]).value;
        assert_eq!(total(loss, &scores, &grades, &[0, 2, 3, 3, 5]).value, alone, "{loss:?}");
    }
    let alone = total(SOFTMAX, &scores[..2], &grades[..2], &[0, 2]).value;
    let with_irrelevant = total(SOFTMAX, &[0.3, -0.2, 1.0, 1.0], &[1.0, 0.0, 0.0, 0.0], &[0, 2, 4]).value;
    assert_eq!(with_irrelevant, alone);
    for loss in SHIFTED_LOSSES {
        let alone = total(loss, &scores[..2], &grades[..2], &[0, 2]).value;
        assert_eq!(total(loss, &scores[..3], &grades[..3], &[0, 2, 3, 3]).value, alone, "{loss:?}");
    }
}

#[test]
fn empty_batches_and_constant_labels_have_no_rank_loss() {
    for loss in RANK_LOSSES {
        assert_eq!(total(loss, &[], &[], &[0]), LossValue { value: 0.0, grad: vec![] }, "{loss:?}");
        let zero = LossValue { value: 0.0, grad: vec![0.0, 0.0] };
        assert_eq!(total(loss, &[1.0, 2.0], &[0.0, 0.0], &[0, 2]), zero, "{loss:?}");
    }
    for loss in SHIFTED_LOSSES {
        assert_eq!(total(loss, &[1.0], &[9.0], &[0, 0, 1]), LossValue { value: 0.0, grad: vec![0.0] }, "{loss:?}");
    }
}

#[test]
fn extreme_scores_stay_finite() {
    let (scores, grades) = ([-3.0e38, 3.0e38, 0.0], [4.0, 0.0, 1.0]);
    let of_temperature = |temperature| [infonce(temperature), adr_mse(temperature), approx_ndcg(temperature)];
    let temperatures = [1e-300, 1.0, 1e6].map(kl).into_iter().chain([1e-6, 1e6].into_iter().flat_map(of_temperature));
    let others = [RANKNET, LISTNET, LISTMLE, POSITION_AWARE];
    for loss in RANK_LOSSES.into_iter().chain(others).chain(VARIANTS).chain(temperatures) {
        let found = total(loss, &scores, &grades, &[0, 3]);
        assert!(found.value.is_finite() && found.grad.iter().all(|g| g.is_finite()), "{loss:?}: {found:?}");
    }
}

#[test]
fn a_large_constant_gap_does_not_cancel() {
    let (student, teacher) = ([1.0e7, 1.0e7 + 1.0], [0.0, 0.0]);
    assert_eq!(total(MARGIN_MSE, &student, &teacher, &[0, 2]).value, 1.0);
}

#[test]
fn bad_input_is_refused_by_name() {
    let refuse = |loss: Loss, scores: &[f32], labels: &[f32], offsets: &[usize]| {
        loss.compute(scores, labels, offsets).unwrap_err().to_string()
    };
    let mse = |scores: &[f32], labels: &[f32]| refuse(MARGIN_MSE, scores, labels, &[0, 1]);
    let rank = |scores: &[f32], grades: &[f32], offsets: &[usize]| refuse(LAMBDA, scores, grades, offsets);
    assert_eq!(mse(&[1.0], &[]), "expected one label per score (1), found 0");
    assert_eq!(mse(&[1.0], &[f32::INFINITY]), "expected a finite label, found inf at index 0");
    assert_eq!(rank(&[1.0, f32::NAN], &[1.0, 0.0], &[0, 2]), "expected a finite score, found NaN at index 1");
    assert_eq!(rank(&[1.0], &[-1.0], &[0, 1]), "expected a grade from 0 to 31, found -1 at index 0");
    assert_eq!(rank(&[1.0], &[f32::NAN], &[0, 1]), "expected a grade from 0 to 31, found NaN at index 0");
    let offsets = |found: &[usize]| rank(&[1.0, 0.0], &[1.0, 0.0], found);
    assert_eq!(offsets(&[0, 1]), "expected list offsets that rise from 0 to 2, found 1 at index 1");
    assert_eq!(offsets(&[0, 3]), "expected list offsets that rise from 0 to 2, found 3 at index 1");
    assert_eq!(offsets(&[0, 2, 1, 2]), "expected list offsets that rise from 0 to 2, found 1 at index 2");
    assert_eq!(offsets(&[1, 2]), "expected list offsets that rise from 0 to 2, found 1 at index 0");
    assert_eq!(offsets(&[]), "expected list offsets that rise from 0 to 2, found 0 at index 0");
    let parameter = |loss: Loss| refuse(loss, &[], &[], &[0]);
    assert_eq!(parameter(Loss::Hinge(Hinge { margin: f64::NAN })), "expected margin above 0, found NaN");
    assert_eq!(parameter(Loss::Hinge(Hinge { margin: 0.0 })), "expected margin above 0, found 0");
    assert_eq!(
        parameter(Loss::Hybrid(Hybrid { alpha: 1.5, ..Hybrid::default() })),
        "expected alpha from 0 to 1, found 1.5"
    );
    for (found, text) in [(0.0, "0"), (-1.0, "-1"), (f64::INFINITY, "inf"), (f64::NAN, "NaN")] {
        assert_eq!(parameter(kl(found)), format!("expected temperature above 0, found {text}"));
        let hybrid = Loss::Hybrid(Hybrid { temperature: found, ..Hybrid::default() });
        for loss in [hybrid, adr_mse(found), infonce(found), approx_ndcg(found)] {
            assert_eq!(parameter(loss), format!("expected temperature from 0.000001, found {text}"));
        }
        let labels = Loss::Kl(Kl { label_temperature: Some(found), ..Kl::default() });
        assert_eq!(parameter(labels), format!("expected label_temperature from 0.000001, found {text}"));
        let mu = Loss::Lambda(Lambda { weighting: Weighting::NdcgLoss2pp, mu: Some(found) });
        assert_eq!(parameter(mu), format!("expected mu above 0, found {text}"));
    }
    for weighting in [Weighting::LambdaRank, Weighting::NdcgLoss2] {
        let ignored = parameter(Loss::Lambda(Lambda { weighting, mu: Some(5.0) }));
        assert_eq!(ignored, "expected mu beside weighting = \"ndcg_loss2pp\" alone, found 5");
    }
}

#[test]
fn a_loss_is_written_as_a_table_of_its_name_and_parameters() {
    let read = |text: &str| serde_json::from_str::<Loss>(text).map_err(|error| error.to_string());
    assert_eq!(read(r#"{"name": "hinge"}"#), Ok(HINGE));
    assert_eq!(read(r#"{"name": "hinge", "margin": 2}"#), Ok(Loss::Hinge(Hinge { margin: 2.0 })));
    assert_eq!(read(r#"{"name": "hybrid"}"#), Ok(Loss::Hybrid(Hybrid::default())));
    assert_eq!(read(r#"{"name": "kl"}"#), Ok(kl(1.0)));
    assert_eq!(read(r#"{"name": "lambda"}"#), Ok(LAMBDA));
    let weighted = Loss::Lambda(Lambda { weighting: Weighting::NdcgLoss2pp, mu: Some(3.0) });
    assert_eq!(read(r#"{"name": "lambda", "weighting": "ndcg_loss2pp", "mu": 3}"#), Ok(weighted));
    for loss in LOSSES.into_iter().chain(VARIANTS) {
        assert_eq!(read(&serde_json::to_string(&loss).unwrap()), Ok(loss));
    }
    let refused = |text: &str, expected: &str| assert!(read(text).unwrap_err().contains(expected), "{:?}", read(text));
    refused(r#"{"name": "hinge", "alpha": 1}"#, "unknown field `alpha`, expected `margin`");
    refused(r#"{"name": "lambda", "margin": 1}"#, "unknown field `margin`");
    refused(r#"{"name": "hing"}"#, "unknown variant `hing`, expected one of `hinge`, `logistic`, `softmax`");
}
