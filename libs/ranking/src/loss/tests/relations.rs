//! What the losses are to each other, and to what they approximate.

use super::*;

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * (1.0 + expected.abs()), "{what}: {found} is not {expected}");
}

/// The same lists, each the other way round.
fn reversed(values: &[f32], offsets: &[usize]) -> Vec<f32> {
    offsets.windows(2).flat_map(|list| values[list[0]..list[1]].iter().rev().copied()).collect()
}

proptest! {
    #[test]
    fn the_order_of_a_list_makes_no_difference((scores, labels, offsets) in batch()) {
        // ListMLE takes it where labels are tied.
        let any_order = |loss: &Loss| ![LISTMLE, POSITION_AWARE].contains(loss);
        for loss in LOSSES.into_iter().chain(VARIANTS).filter(any_order) {
            let found = total(loss, &reversed(&scores, &offsets), &reversed(&labels, &offsets), &offsets);
            let expected = total(loss, &scores, &labels, &offsets);
            assert_close(found.value, expected.value, 1e-9, loss.name());
            for (found, expected) in reversed(&found.grad, &offsets).into_iter().zip(expected.grad) {
                assert_close(f64::from(found), f64::from(expected), 1e-5, loss.name());
            }
        }
    }

    #[test]
    fn losses_of_differences_are_flat_at_the_labels_up_to_a_shift((_, labels, offsets) in batch(), shift in -9_i8..9) {
        let shifted: Vec<f32> = labels.iter().map(|label| label + f32::from(shift)).collect();
        for loss in [MARGIN_MSE, KL, RANKNET, LISTNET] {
            let found = total(loss, &shifted, &labels, &offsets);
            prop_assert!(found.grad.iter().all(|g| g.abs() < 1e-7), "{loss:?}: {found:?}");
        }
    }

    #[test]
    fn losses_of_differences_ignore_a_shift_of_all_labels((scores, labels, offsets) in batch(), shift in -9_i8..9) {
        let shifted: Vec<f32> = labels.iter().map(|label| label + f32::from(shift)).collect();
        for loss in [MARGIN_MSE, KL, RANKNET, LISTNET] {
            let (a, b) = (total(loss, &scores, &labels, &offsets), total(loss, &scores, &shifted, &offsets));
            assert_close(b.value, a.value, 1e-9, loss.name());
        }
    }

    #[test]
    fn listnet_is_kl_at_temperature_1_plus_the_entropy_of_the_labels((scores, labels, offsets) in batch()) {
        let (found, kl) = (total(LISTNET, &scores, &labels, &offsets), total(kl(1.0), &scores, &labels, &offsets));
        let entropy = total(LISTNET, &labels, &labels, &offsets).value;
        assert_close(found.value, kl.value + entropy, 1e-12, "listnet");
        prop_assert_eq!(found.grad, kl.grad);
    }

    #[test]
    fn ranknet_nears_logistic_as_the_labels_move_apart(scores in prop::collection::vec(-3.0_f32..3.0, 2..7)) {
        let labels: Vec<f32> = (0..scores.len()).map(|i| 100.0 * i as f32).collect();
        let list = [0, scores.len()];
        let (found, expected) = (total(RANKNET, &scores, &labels, &list), total(LOGISTIC, &scores, &labels, &list));
        assert_close(found.value, expected.value, 1e-12, "ranknet");
        for (found, expected) in found.grad.into_iter().zip(expected.grad) {
            assert_close(f64::from(found), f64::from(expected), 1e-6, "ranknet");
        }
    }

    #[test]
    fn of_two_documents_the_likelihood_of_the_order_is_logistic(scores in [-9.0_f32..9.0, -9.0_f32..9.0]) {
        let of = |loss: Loss| total(loss, &scores, &[0.0, 1.0], &[0, 2]);
        let expected = of(LOGISTIC);
        for loss in [LISTMLE, POSITION_AWARE, infonce(1.0)] {
            let found = of(loss);
            assert_close(found.value, expected.value, 1e-12, loss.name());
            for (found, expected) in found.grad.into_iter().zip(&expected.grad) {
                assert_close(f64::from(found), f64::from(*expected), 1e-6, loss.name());
            }
        }
    }

    #[test]
    fn several_best_documents_are_the_mean_of_each_alone(scores in prop::collection::vec(-3.0_f32..3.0, 5)) {
        let labels = [2.0, 2.0, 1.0, 0.0, 1.0];
        let alone = |best: usize| {
            let group: Vec<f32> = [best, 2, 3, 4].map(|i| scores[i]).to_vec();
            total(INFONCE, &group, &[1.0, 0.0, 0.0, 0.0], &[0, 4]).value
        };
        let found = total(INFONCE, &scores, &labels, &[0, 5]).value;
        assert_close(found, f64::midpoint(alone(0), alone(1)), 1e-12, "infonce");
    }

    #[test]
    fn hybrid_divides_the_labels_by_its_temperature((student, teacher, offsets) in batch(), alpha in 0.0..=1.0) {
        let hybrid = |temperature| Loss::Hybrid(Hybrid { alpha, temperature });
        let halves: Vec<f32> = teacher.iter().map(|label| label / 2.0).collect();
        let found = hybrid(2.0).compute(&student, &teacher, &offsets).unwrap();
        prop_assert_eq!(found, hybrid(1.0).compute(&student, &halves, &offsets).unwrap());
    }

    #[test]
    fn kl_takes_the_temperature_of_the_labels_apart((scores, labels, offsets) in batch(), tau in 0.5..4.0) {
        let of = |label_temperature| Loss::Kl(Kl { temperature: tau, label_temperature });
        let same = total(of(Some(tau)), &scores, &labels, &offsets);
        prop_assert_eq!(same, total(kl(tau), &scores, &labels, &offsets));
        let doubled: Vec<f32> = labels.iter().map(|label| label * 2.0).collect();
        let found = total(of(Some(2.0 * tau)), &scores, &doubled, &offsets).value;
        assert_close(found, total(kl(tau), &scores, &labels, &offsets).value, 1e-12, "kl");
    }

    #[test]
    fn approximate_ranks_near_the_ranks_as_the_temperature_falls(grades in prop::collection::vec(0_u8..5, 2..9)) {
        let grades: Vec<f32> = grades.into_iter().map(f32::from).collect();
        let (n, best) = (grades.len(), ranks::ranks(&grades));
        let list = [0, n];
        // Scores from the best to the worst document, and the other way round.
        let good: Vec<f32> = best.iter().map(|&rank| -(rank as f32)).collect();
        let bad: Vec<f32> = best.iter().map(|&rank| rank as f32).collect();
        assert_close(total(approx_ndcg(1e-3), &good, &grades, &list).value, 0.0, 1e-12, "approx_ndcg");
        let mut sorted = grades.clone();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let gain_at = |rank: usize| f64::from(sorted[rank - 1]).exp2() - 1.0;
        let dcg = |place: &dyn Fn(usize) -> usize| {
            (1..=n).map(|rank| gain_at(rank) / (1.0 + place(rank) as f64).log2()).sum::<f64>()
        };
        if grades.iter().any(|grade| *grade != grades[0]) {
            let expected = 1.0 - dcg(&|rank| n + 1 - rank) / dcg(&|rank| rank);
            assert_close(total(approx_ndcg(1e-3), &bad, &grades, &list).value, expected, 1e-6, "approx_ndcg");
        }
        let order: Vec<f32> = best.iter().map(|&rank| n as f32 - rank as f32).collect();
        assert_close(total(adr_mse(1e-3), &order, &order, &list).value, 0.0, 1e-12, "adr_mse");
        let squares = (1..=n).map(|rank| (n as f64 + 1.0 - 2.0 * rank as f64).powi(2) / (1.0 + rank as f64).log2());
        let expected = squares.sum::<f64>() / n as f64;
        assert_close(total(adr_mse(1e-3), &bad, &order, &list).value, expected, 1e-9, "adr_mse");
    }
}

#[test]
fn approx_ndcg_equals_the_examples_of_tensorflow_ranking() {
    let (scores, grades) = ([0.6, 0.8, 0.5, 0.8, 0.4], [1.0, 0.0, 0.0, 1.0, 0.0]);
    let loss = approx_ndcg(0.1);
    assert_close(total(loss, &scores[..2], &grades[..2], &[0, 2]).value, 1.0 - 0.655_107, 1e-6, "one list");
    assert_close(total(loss, &scores, &grades, &[0, 2, 5]).value, 1.0 - 0.805_368_66, 1e-6, "two lists");
}

#[test]
fn equal_scores_fit_equal_labels() {
    for temperature in [0.01, 1.0, 100.0] {
        let found = total(adr_mse(temperature), &[0.5; 4], &[3.0; 4], &[0, 4]);
        assert_eq!(found, LossValue { value: 0.0, grad: vec![0.0; 4] });
    }
}

#[test]
fn ndcg_loss2_of_three_documents_by_hand() {
    let (scores, grades) = ([3.0, 2.0, 1.0], [0.0, 0.0, 1.0]);
    let delta = |distance: f64| 1.0 / (1.0 + distance).log2() - 1.0 / (2.0 + distance).log2();
    let rho = |rank: f64| 1.0 / (1.0 + rank).log2() - 1.0 / 4.0_f64.log2();
    let (far, near) = ((1.0 + 2.0_f64.exp()).ln(), (1.0 + 1.0_f64.exp()).ln());
    let ndcg_loss2 = delta(2.0) * far + delta(1.0) * near;
    let lambdarank = rho(1.0) * far + rho(2.0) * near;
    let of = |weighting, mu| total(Loss::Lambda(Lambda { weighting, mu }), &scores, &grades, &[0, 3]).value;
    assert_close(of(Weighting::NdcgLoss2, None), ndcg_loss2, 1e-12, "ndcg_loss2");
    assert_close(of(Weighting::NdcgLoss2pp, None), lambdarank + 10.0 * ndcg_loss2, 1e-12, "ndcg_loss2pp");
    assert_close(of(Weighting::NdcgLoss2pp, Some(0.5)), lambdarank + 0.5 * ndcg_loss2, 1e-12, "ndcg_loss2pp");
}

#[test]
fn the_likelihood_of_an_order_by_hand() {
    let of = |loss: Loss, labels: &[f32]| total(loss, &[0.0; 3], labels, &[0, 3]);
    assert_close(of(LISTMLE, &[0.0, 2.0, 1.0]).value, 6.0_f64.ln(), 1e-12, "listmle");
    let expected = (3.0 * 3.0_f64.ln() + 2.0_f64.ln()) / 4.0;
    assert_close(of(POSITION_AWARE, &[0.0, 2.0, 1.0]).value, expected, 1e-12, "position_aware_listmle");
    // Tied labels stand in list order.
    for loss in [LISTMLE, POSITION_AWARE] {
        assert_eq!(of(loss, &[1.0; 3]), of(loss, &[3.0, 2.0, 1.0]));
    }
}

#[test]
fn lists_of_thousands_stay_finite() {
    let scores: Vec<f32> = (0..2000_u16).map(|i| f32::from(i * 37 % 2000) / 100.0).collect();
    let grades: Vec<f32> = (0..2000_u16).map(|i| f32::from(i % 5)).collect();
    for loss in LOSSES.into_iter().chain(VARIANTS) {
        let found = total(loss, &scores, &grades, &[0, 2000]);
        assert!(found.value.is_finite() && found.grad.iter().all(|g| g.is_finite()), "{loss:?}");
        assert!(found.value > 0.0 && found.grad.iter().any(|&g| g != 0.0), "{loss:?}");
    }
}
