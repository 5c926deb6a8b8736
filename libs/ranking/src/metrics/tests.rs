use proptest::prelude::*;

use super::*;

const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

/// A list of documents `a`, `b`, ... whose judged documents are all listed.
fn list(rows: &[(f64, Option<Grade>)]) -> JudgedList<'static> {
    let documents =
        NAMES.iter().zip(rows).map(|(&doc_id, &(score, grade))| Document { doc_id, score, grade }).collect();
    let judged: Vec<Grade> = rows.iter().filter_map(|row| row.1).collect();
    JudgedList::new("q", documents, &judged).unwrap()
}

fn metric(name: &str) -> Metric {
    name.parse().unwrap()
}

/// The metric of one query.
fn value(name: &str, list: &JudgedList<'static>, conventions: Conventions) -> Option<f64> {
    metric(name).measure(&[list.clone().ranking(&conventions)]).of_query(0)
}

fn pairs(list: &JudgedList<'static>) -> PairCounts {
    PairCounts::of(&list.clone().ranking(&Conventions::default()))
}

/// Each metric, with a short cut-off and without one where it can have one.
fn names() -> Vec<String> {
    let mut names = named("@3", "@0.8");
    names.extend(named("", "@0.8"));
    names
}

/// Those of [`names`] that measure how good a ranking is, with a value in [0, 1].
fn quality() -> Vec<String> {
    names().into_iter().filter(|name| !name.starts_with("judged") && !metric(name).is_pooled()).collect()
}

fn rows() -> impl Strategy<Value = Vec<(f64, Option<Grade>)>> {
    prop::collection::vec(
        ((-3_i8..4).prop_map(f64::from), prop::option::weighted(0.8, prop_oneof![9 => 0_u32..5, 1 => 7_u32..10])),
        0..12,
    )
}

#[test]
fn ndcg_by_hand() {
    let list = list(&[(3.0, Some(1)), (2.0, None), (1.0, Some(2))]);
    let value = |gain, name| value(name, &list, Conventions { gain, ..Conventions::default() }).unwrap();
    let third = 1.0 / 3.0_f64.log2();
    assert!((value(Gain::Exponential, "ndcg@10") - (1.0 + 3.0 / 2.0) / (3.0 + third)).abs() < 1e-12);
    assert!((value(Gain::Linear, "ndcg@10") - (1.0 + 2.0 / 2.0) / (2.0 + third)).abs() < 1e-12);
    assert!((value(Gain::Exponential, "ndcg@1") - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn ties_follow_the_convention() {
    let list = list(&[(0.0, Some(1)), (0.0, Some(0)), (-0.0, Some(0))]);
    let value = |ties| value("mrr@3", &list, Conventions { ties, ..Conventions::default() });
    assert_eq!(value(Ties::DocIdDescending), Some(1.0 / 3.0));
    assert_eq!(value(Ties::Stable), Some(1.0));
}

#[test]
fn a_query_without_relevant_documents_follows_the_convention_and_is_counted() {
    let irrelevant = list(&[(1.0, Some(0)), (0.5, None)]);
    for name in quality() {
        let found = |no_relevant| {
            let conventions = Conventions { no_relevant, ..Conventions::default() };
            metric(&name).measure(&[irrelevant.clone().ranking(&conventions)])
        };
        let expected = |value| Measurements::Mean(vec![QueryValue { value, no_relevant: true }]);
        assert_eq!(found(NoRelevant::Skip), expected(None), "{name}");
        assert_eq!(found(NoRelevant::Zero), expected(Some(0.0)), "{name}");
        assert_eq!(found(NoRelevant::One), expected(Some(1.0)), "{name}");
    }
    let some = |value| QueryValue { value: Some(value), no_relevant: false };
    let skipped = QueryValue { value: None, no_relevant: true };
    let mean = Mean::of(&[some(1.0), skipped, some(0.5)]);
    assert_eq!(mean, Mean { value: Some(0.75), queries: 2, no_relevant: 1 });
    assert_eq!(Mean::of(&[skipped]), Mean { value: None, queries: 0, no_relevant: 1 });
}

#[test]
fn binary_metrics_by_hand() {
    let documents = [("a", 4.0, 0), ("b", 3.0, 1), ("c", 2.0, 2)].map(|(doc_id, score, grade)| Document {
        doc_id,
        score,
        grade: Some(grade),
    });
    let list = JudgedList::new("q", documents.to_vec(), &[0, 1, 2, 2, 4]).unwrap();
    let (lenient, strict) = (Conventions::default(), Conventions { relevant_grade: 2, ..Conventions::default() });
    assert_eq!(value("mrr@3", &list, lenient), Some(0.5));
    assert_eq!(value("mrr@1", &list, lenient), Some(0.0));
    assert_eq!(value("mrr@3", &list, strict), Some(1.0 / 3.0));
    assert_eq!(value("recall@3", &list, lenient), Some(0.5));
    assert_eq!(value("recall@2", &list, lenient), Some(0.25));
    assert_eq!(value("recall@3", &list, strict), Some(1.0 / 3.0));
    assert_eq!(value("precision@10", &list, lenient), Some(0.2));
    assert_eq!(value("precision", &list, lenient), Some(2.0 / 3.0));
    assert_eq!(value("precision@2", &list, strict), Some(0.0));
    assert_eq!(value("success@1", &list, lenient), Some(0.0));
    assert_eq!(value("success@2", &list, lenient), Some(1.0));
    assert_eq!(value("success@2", &list, strict), Some(0.0));
    assert_eq!(value("success", &list, strict), Some(1.0));
    assert_eq!(value("map", &list, lenient), Some((0.5 + 2.0 / 3.0) / 4.0));
    assert_eq!(value("map@2", &list, lenient), Some(0.5 / 4.0));
    assert_eq!(value("rbp@0.5", &list, lenient), Some(0.5 * (0.5 + 0.25)));
}

#[test]
fn err_by_hand() {
    let graded = list(&[(3.0, Some(1)), (2.0, None), (1.0, Some(2))]);
    let scale = |max_grade| Conventions { max_grade, ..Conventions::default() };
    assert_eq!(value("err", &graded, scale(4)), Some(1.0 / 16.0 + 15.0 / 16.0 * (3.0 / 16.0) / 3.0));
    assert_eq!(value("err@2", &graded, scale(4)), Some(1.0 / 16.0));
    let above_the_scale = list(&[(1.0, Some(4))]);
    assert_eq!(value("err", &above_the_scale, scale(2)), Some(0.75));
}

#[test]
fn unjudged_documents_count_as_irrelevant_or_are_removed() {
    let list = list(&[(4.0, None), (3.0, Some(0)), (2.0, None), (1.0, Some(3))]);
    let value = |name, unjudged| value(name, &list, Conventions { unjudged, ..Conventions::default() });
    assert_eq!(value("mrr", Unjudged::Irrelevant), Some(0.25));
    assert_eq!(value("mrr", Unjudged::Removed), Some(0.5));
    assert_eq!(value("pnr", Unjudged::Irrelevant), Some(0.0));
    assert_eq!(value("judged@3", Unjudged::Irrelevant), Some(1.0 / 3.0));
    assert_eq!(value("judged@3", Unjudged::Removed), Some(1.0 / 3.0));
    assert_eq!(value("judged@9", Unjudged::Removed), Some(0.5));
}

#[test]
fn a_query_with_nothing_retrieved_scores_zero() {
    let empty = JudgedList::new("q", vec![], &[2]).unwrap();
    for name in names().iter().filter(|name| !metric(name).is_pooled()) {
        assert_eq!(value(name, &empty, Conventions::default()), Some(0.0), "{name}");
    }
}

#[test]
fn a_constant_scorer_looks_good_on_nothing() {
    let constant = list(&[(1.0, Some(4)), (1.0, Some(0)), (1.0, Some(0))]);
    let counts = pairs(&constant);
    assert_eq!(counts, PairCounts { concordant: 0, discordant: 0, tied: 2 });
    assert_eq!(counts.pnr(), None);
    assert!(value("ndcg@10", &constant, Conventions::default()).unwrap() <= 0.5);
}

#[test]
fn pnr_pools_counts_over_queries() {
    let perfect = pairs(&list(&[(2.0, Some(2)), (1.0, Some(1)), (0.0, Some(0)), (9.0, None)]));
    let mixed = pairs(&list(&[(2.0, Some(0)), (1.0, Some(1)), (0.0, Some(0)), (1.0, Some(0))]));
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
    let refuse = |rows: &[Document<'static>], judged: &[Grade]| {
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

#[test]
fn an_unjudged_document_forms_no_pair() {
    let list = list(&[(4.0, Some(0)), (3.0, None), (2.0, Some(2)), (1.0, Some(1))]);
    assert_eq!(pairs(&list), PairCounts { concordant: 1, discordant: 2, tied: 0 });
    let removed = Conventions { unjudged: Unjudged::Removed, ..Conventions::default() };
    assert_eq!(PairCounts::of(&list.ranking(&removed)), PairCounts { concordant: 1, discordant: 2, tied: 0 });
}

#[test]
fn grades_may_be_large() {
    let rows = [("a", 0.0, 1000), ("b", 1.0, 70_000)];
    let documents = rows.map(|(doc_id, score, grade)| Document { doc_id, score, grade: Some(grade) });
    let list = JudgedList::new("q", documents.to_vec(), &[1000, 70_000, 2000]).unwrap();
    let linear = Conventions { gain: Gain::Linear, relevant_grade: 1500, ..Conventions::default() };
    let third = 1.0 / 3.0_f64.log2();
    let expected = (70_000.0 + 1000.0 * third) / (70_000.0 + 2000.0 * third);
    assert!((value("ndcg@2", &list, linear).unwrap() - expected).abs() < 1e-12);
    assert_eq!(value("recall", &list, linear), Some(0.5));
}

#[test]
fn a_metric_names_the_judged_share_of_what_it_looks_at() {
    let judged = |name: &str| metric(name).judged().to_string();
    assert_eq!(["ndcg@10", "map", "rbp@0.8", "pnr"].map(judged), ["judged@10", "judged", "judged", "judged"]);
}

#[test]
fn names_are_read_and_written() {
    for name in names().iter().map(String::as_str).chain(["map@100", "rbp@0.95", "recall@50"]) {
        assert_eq!(metric(name).to_string(), name);
        assert_eq!(serde_json::to_value(metric(name)).unwrap(), name);
    }
    assert_eq!(metric("rbp@0.80"), metric("rbp@0.8"));
    assert_ne!(metric("ndcg@1"), metric("ndcg@10"));
    for name in
        ["", "ndgc@10", "ndcg@0", "ndcg@01", "ndcg@+1", "ndcg@", "ndcg@1.5", "rbp", "rbp@1", "rbp@1.0", "pnr@10"]
    {
        let refused = serde_json::from_value::<Metric>(name.into()).unwrap_err();
        let expected = "expected one of ndcg[@k], mrr[@k], map[@k], recall[@k], precision[@k], success[@k], err[@k], rbp@p, \
                        judged[@k], pnr, with a rank k from 1 and a number p between 0 and 1, found";
        assert_eq!(refused.to_string(), format!("{expected} `{name}`"));
    }
}

#[test]
fn the_metrics_of_a_set_are_those_of_its_queries() {
    let conventions = Conventions::default();
    let lists = [
        list(&[(2.0, Some(1)), (1.0, Some(0))]),
        list(&[(2.0, Some(0)), (1.0, Some(0))]),
        list(&[(2.0, Some(0)), (1.0, Some(1)), (0.0, Some(0))]),
    ];
    let rankings = lists.map(|list| list.ranking(&conventions));
    let mrr = metric("mrr").measure(&rankings);
    assert_eq!((mrr.value(), mrr.queries()), (Some(0.75), 2));
    assert_eq!((mrr.select(&[1, 2]).value(), mrr.select(&[1]).value()), (Some(0.5), None));
    let pnr = metric("pnr").measure(&rankings);
    assert_eq!((pnr.value(), pnr.queries(), pnr.of_query(2)), (Some(2.0), 2, Some(1.0)));
    assert_eq!(pnr.select(&[0]).value(), Some(f64::INFINITY));
}

proptest! {
    #[test]
    fn metrics_stay_in_the_unit_interval(rows in rows(), ties in 0..2) {
        let ties = if ties == 0 { Ties::Stable } else { Ties::DocIdDescending };
        let ranking = list(&rows).ranking(&Conventions { ties, ..Conventions::default() });
        for name in names() {
            let Measurements::Mean(found) = metric(&name).measure(std::slice::from_ref(&ranking)) else { continue };
            prop_assert_eq!(found[0].value.is_none(), found[0].no_relevant);
            prop_assert!(found[0].value.is_none_or(|value| (0.0..=1.0 + 1e-12).contains(&value)), "{name}: {found:?}");
        }
    }

    #[test]
    fn scoring_by_grade_is_the_best(rows in rows()) {
        let ideal: Vec<_> = rows.iter().map(|&(_, grade)| (f64::from(grade.unwrap_or(0)), grade)).collect();
        let (ideal, found) = (list(&ideal), list(&rows));
        for name in quality() {
            let best = value(&name, &ideal, Conventions::default());
            prop_assert!(value(&name, &found, Conventions::default()) <= best.map(|best| best + 1e-12), "{name}");
            // Precision divides by the documents there are, the others by what is possible.
            if ["ndcg", "ndcg@3", "mrr", "mrr@3", "map", "recall", "success", "success@3"].contains(&name.as_str()) {
                prop_assert!(best.is_none_or(|best| (best - 1.0).abs() < 1e-12), "{name}: {best:?}");
            }
        }
        prop_assert_eq!(pairs(&ideal).discordant + pairs(&ideal).tied, 0);
    }

    #[test]
    fn every_order_of_ties_lies_between_the_best_and_the_worst(rows in rows(), names_of in Just(NAMES.to_vec()).prop_shuffle()) {
        // Other ids, another order of equal scores.
        let rows = names_of.iter().zip(&rows);
        let documents: Vec<_> = rows.map(|(&doc_id, &(score, grade))| Document { doc_id, score, grade }).collect();
        let judged: Vec<Grade> = documents.iter().filter_map(|document| document.grade).collect();
        let ranking = JudgedList::new("q", documents, &judged).unwrap().ranking(&Conventions::default());
        let tied = [TieOrder::Worst, TieOrder::Best].map(|order| ranking.with_ties(order));
        for name in names() {
            let value = |ranking: &Ranking<'_>| metric(&name).measure(std::slice::from_ref(ranking)).of_query(0);
            let (found, [worst, best]) = (value(&ranking), tied.each_ref().map(value));
            prop_assert_eq!(found.is_some(), worst.is_some() && best.is_some());
            if let (Some(found), Some(worst), Some(best)) = (found, worst, best) {
                prop_assert!(worst - 1e-12 <= found && found <= best + 1e-12, "{name}: {worst} {found} {best}");
            }
        }
    }

    #[test]
    fn a_constant_scorer_gets_no_more_than_the_worst_order(rows in rows()) {
        let mut rows = rows;
        rows.sort_by_key(|&(_, grade)| std::cmp::Reverse(grade.unwrap_or(0)));
        let scored = |score: fn(usize) -> f64| {
            let rows: Vec<_> = rows.iter().enumerate().map(|(place, &(_, grade))| (score(place), grade)).collect();
            list(&rows)
        };
        // Names rise as grades fall, so that the order of equal scores by document id is the worst one.
        let (constant, worst) = (scored(|_| 1.0), scored(|place| place as f64));
        for name in quality() {
            let value = |list| value(&name, list, Conventions::default());
            prop_assert_eq!(value(&constant), value(&worst), "{}", name);
        }
        prop_assert_eq!(pairs(&constant).pnr(), None);
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(rows in rows(), turn in 0_usize..12) {
        let found = list(&rows);
        let mut documents: Vec<Document> = found.documents.clone();
        documents.rotate_left(turn.min(rows.len()));
        let judged: Vec<Grade> = rows.iter().filter_map(|row| row.1).collect();
        let turned = JudgedList::new("q", documents, &judged).unwrap();
        for name in names() {
            let value = |list| value(&name, list, Conventions::default());
            prop_assert_eq!(value(&found), value(&turned), "{}", name);
        }
    }

    #[test]
    fn pairs_are_those_that_are_counted_one_by_one(rows in rows()) {
        let judged: Vec<(f64, Grade)> = rows.iter().filter_map(|&(score, grade)| Some((score, grade?))).collect();
        let mut expected = PairCounts::default();
        for &(better_score, better) in &judged {
            for &(worse_score, _) in judged.iter().filter(|&&(_, worse)| better > worse) {
                expected.concordant += u64::from(better_score > worse_score);
                expected.discordant += u64::from(better_score < worse_score);
                expected.tied += u64::from(better_score == worse_score);
            }
        }
        prop_assert_eq!(pairs(&list(&rows)), expected);
    }

    #[test]
    fn documents_are_ordered_by_score_and_then_by_the_convention(rows in rows(), signs in prop::collection::vec(any::<bool>(), 12)) {
        // Zeros of both signs are equal, and infinities have their places.
        let scores = rows.iter().zip(signs).map(|(&(score, grade), sign)| {
            let score = if score == 0.0 { 0.0_f64.copysign(if sign { 1.0 } else { -1.0 }) } else { score };
            // Others differ so little that the first half of their bits does not tell it.
            let score = if sign { score * (1.0 + 1e-12) } else { score };
            (if score > 2.0 { score * f64::INFINITY } else { score }, grade)
        });
        let found = list(&scores.collect::<Vec<_>>());
        let by_score = |a: &Document<'_>, b: &Document<'_>| b.score.partial_cmp(&a.score).unwrap();
        for ties in [Ties::Stable, Ties::DocIdDescending] {
            let mut expected = found.documents.clone();
            expected.sort_by(|a, b| match ties {
                Ties::Stable => by_score(a, b),
                Ties::DocIdDescending => by_score(a, b).then(b.doc_id.cmp(a.doc_id)),
            });
            let ranking = found.clone().ranking(&Conventions { ties, ..Conventions::default() });
            prop_assert_eq!(ranking.retrieved(), expected);
        }
    }

    #[test]
    fn reversing_the_scores_swaps_the_pairs(rows in rows()) {
        let reversed: Vec<_> = rows.iter().map(|&(score, grade)| (-score, grade)).collect();
        let (forward, backward) = (pairs(&list(&rows)), pairs(&list(&reversed)));
        prop_assert_eq!(forward.concordant, backward.discordant);
        prop_assert_eq!(forward.discordant, backward.concordant);
        prop_assert_eq!(forward.tied, backward.tied);
    }
}
