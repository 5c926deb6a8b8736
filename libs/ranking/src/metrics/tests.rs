use proptest::prelude::*;

use super::*;

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// A list of documents `a`, `b`, ... whose judged documents are all listed.
fn list(rows: &[(f64, Option<u8>)]) -> JudgedList<'static> {
    let documents =
        NAMES.iter().zip(rows).map(|(&doc_id, &(score, grade))| Document { doc_id, score, grade }).collect();
    let judged: Vec<u8> = rows.iter().filter_map(|row| row.1).collect();
    JudgedList::new("q", documents, &judged).unwrap()
}

fn at(k: usize) -> NonZeroUsize {
    NonZeroUsize::new(k).unwrap()
}

fn rows() -> impl Strategy<Value = Vec<(f64, Option<u8>)>> {
    prop::collection::vec(((-3_i8..4).prop_map(f64::from), prop::option::weighted(0.8, 0_u8..5)), 0..12)
}

#[test]
fn ndcg_by_hand() {
    let list = list(&[(3.0, Some(1)), (2.0, None), (1.0, Some(2))]);
    let value = |gain, k| ndcg(&list, at(k), &Conventions { gain, ..Conventions::default() }).value.unwrap();
    let third = 1.0 / 3.0_f64.log2();
    assert!((value(Gain::Exponential, 10) - (1.0 + 3.0 / 2.0) / (3.0 + third)).abs() < 1e-12);
    assert!((value(Gain::Linear, 10) - (1.0 + 2.0 / 2.0) / (2.0 + third)).abs() < 1e-12);
    assert!((value(Gain::Exponential, 1) - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn ties_follow_the_convention() {
    let list = list(&[(0.0, Some(1)), (0.0, Some(0)), (-0.0, Some(0))]);
    let value = |ties| reciprocal_rank(&list, at(3), &Conventions { ties, ..Conventions::default() }).value;
    assert_eq!(value(Ties::DocIdDescending), Some(1.0 / 3.0));
    assert_eq!(value(Ties::Stable), Some(1.0));
}

#[test]
fn a_query_without_relevant_documents_follows_the_convention_and_is_counted() {
    let irrelevant = list(&[(1.0, Some(0)), (0.5, None)]);
    for metric in [ndcg, reciprocal_rank, recall] {
        let value = |no_relevant| metric(&irrelevant, at(5), &Conventions { no_relevant, ..Conventions::default() });
        assert_eq!(value(NoRelevant::Skip), QueryValue { value: None, no_relevant: true });
        assert_eq!(value(NoRelevant::Zero), QueryValue { value: Some(0.0), no_relevant: true });
        assert_eq!(value(NoRelevant::One), QueryValue { value: Some(1.0), no_relevant: true });
    }
    let some = |value| QueryValue { value: Some(value), no_relevant: false };
    let skipped = QueryValue { value: None, no_relevant: true };
    let mean = Mean::of(&[some(1.0), skipped, some(0.5)]);
    assert_eq!(mean, Mean { value: Some(0.75), queries: 2, no_relevant: 1 });
    assert_eq!(Mean::of(&[skipped]), Mean { value: None, queries: 0, no_relevant: 1 });
}

#[test]
fn reciprocal_rank_and_recall_by_hand() {
    let documents = [("a", 4.0, 0), ("b", 3.0, 1), ("c", 2.0, 2)].map(|(doc_id, score, grade)| Document {
        doc_id,
        score,
        grade: Some(grade),
    });
    let list = JudgedList::new("q", documents.to_vec(), &[0, 1, 2, 2, 4]).unwrap();
    let strict = Conventions { relevant_grade: 2, ..Conventions::default() };
    assert_eq!(reciprocal_rank(&list, at(3), &Conventions::default()).value, Some(0.5));
    assert_eq!(reciprocal_rank(&list, at(1), &Conventions::default()).value, Some(0.0));
    assert_eq!(reciprocal_rank(&list, at(3), &strict).value, Some(1.0 / 3.0));
    assert_eq!(recall(&list, at(3), &Conventions::default()).value, Some(0.5));
    assert_eq!(recall(&list, at(2), &Conventions::default()).value, Some(0.25));
    assert_eq!(recall(&list, at(3), &strict).value, Some(1.0 / 3.0));
}

#[test]
fn a_query_with_nothing_retrieved_scores_zero() {
    let empty = JudgedList::new("q", vec![], &[2]).unwrap();
    for metric in [ndcg, reciprocal_rank, recall] {
        assert_eq!(metric(&empty, at(5), &Conventions::default()).value, Some(0.0));
    }
}

#[test]
fn a_constant_scorer_looks_good_on_nothing() {
    let constant = list(&[(1.0, Some(4)), (1.0, Some(0)), (1.0, Some(0))]);
    let counts = PairCounts::of(&constant);
    assert_eq!(counts, PairCounts { concordant: 0, discordant: 0, tied: 2 });
    assert_eq!(counts.pnr(), None);
    assert!(ndcg(&constant, at(10), &Conventions::default()).value.unwrap() <= 0.5);
}

#[test]
fn pnr_pools_counts_over_queries() {
    let perfect = PairCounts::of(&list(&[(2.0, Some(2)), (1.0, Some(1)), (0.0, Some(0)), (9.0, None)]));
    let mixed = PairCounts::of(&list(&[(2.0, Some(0)), (1.0, Some(1)), (0.0, Some(0)), (1.0, Some(0))]));
    assert_eq!(perfect, PairCounts { concordant: 3, discordant: 0, tied: 0 });
    assert_eq!(mixed, PairCounts { concordant: 1, discordant: 1, tied: 1 });
    assert_eq!(perfect.pnr(), Some(f64::INFINITY));
    assert_eq!([perfect, mixed].into_iter().sum::<PairCounts>().pnr(), Some(4.0));
    assert_eq!(
        mean_pnr(&[perfect, mixed, PairCounts::default()]),
        MeanPnr { value: Some(1.0), queries: 1, infinite: 1, undefined: 1 }
    );
}

#[test]
fn bad_input_is_refused_by_name() {
    let row = |doc_id, score, grade| Document { doc_id, score, grade };
    let refuse = |rows: &[Document<'static>], judged: &[u8]| {
        JudgedList::new("q1", rows.to_vec(), judged).unwrap_err().to_string()
    };
    assert_eq!(refuse(&[row("d", f64::NAN, None)], &[]), "query q1, document d: expected a score, found NaN");
    assert_eq!(
        refuse(&[row("d", 1.0, None), row("d", 2.0, None)], &[]),
        "query q1, document d: expected one row for each query and document, found a duplicate"
    );
    assert_eq!(
        refuse(&[row("c", 1.0, Some(3)), row("d", 2.0, Some(3))], &[3, 1]),
        "query q1: expected the grades of all its judged documents, found 1 of grade 3 for 2 in the list"
    );
}

proptest! {
    #[test]
    fn metrics_stay_in_the_unit_interval(rows in rows(), k in 1_usize..15, ties in 0..2) {
        let ties = if ties == 0 { Ties::Stable } else { Ties::DocIdDescending };
        let (list, conventions) = (list(&rows), Conventions { ties, ..Conventions::default() });
        for metric in [ndcg, reciprocal_rank, recall] {
            let found = metric(&list, at(k), &conventions);
            prop_assert_eq!(found.value.is_none(), found.no_relevant);
            prop_assert!(found.value.is_none_or(|value| (0.0..=1.0 + 1e-12).contains(&value)), "{found:?}");
        }
    }

    #[test]
    fn scoring_by_grade_is_perfect(rows in rows(), k in 1_usize..15) {
        let ideal: Vec<_> = rows.iter().map(|&(_, grade)| (f64::from(grade.unwrap_or(0)), grade)).collect();
        let list = list(&ideal);
        let value = ndcg(&list, at(k), &Conventions::default()).value;
        prop_assert!(value.is_none_or(|value| (value - 1.0).abs() < 1e-12));
        prop_assert_eq!(PairCounts::of(&list).discordant + PairCounts::of(&list).tied, 0);
    }

    #[test]
    fn reversing_the_scores_swaps_the_pairs(rows in rows()) {
        let reversed: Vec<_> = rows.iter().map(|&(score, grade)| (-score, grade)).collect();
        let (forward, backward) = (PairCounts::of(&list(&rows)), PairCounts::of(&list(&reversed)));
        prop_assert_eq!(forward.concordant, backward.discordant);
        prop_assert_eq!(forward.discordant, backward.concordant);
        prop_assert_eq!(forward.tied, backward.tied);
    }
}
