//! Values made by independent implementations; the script that made each file stands beside it in `tests/golden`.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ranking::agreement::{Confusion, Weights};
use ranking::loss::{Loss, LossValue};
use ranking::metrics::{
    Conventions, Document, Gain, Grade, JudgedList, Metric, NoRelevant, PairCounts, Ranking, Ties, Unjudged,
};
use ranking::significance::{holm, paired_t_test, randomisation_test, t_interval};
use serde_json::Value;

fn golden(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn floats(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|number| number.as_f64().unwrap()).collect()
}

fn integers(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|number| number.as_u64().unwrap() as usize).collect()
}

fn grade(value: &Value) -> Option<Grade> {
    value.as_u64().map(|grade| Grade::try_from(grade).unwrap())
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * (1.0 + expected.abs()), "{what}: {found} is not {expected}");
}

const TREC_EVAL: Conventions = Conventions {
    gain: Gain::Linear,
    ties: Ties::DocIdDescending,
    no_relevant: NoRelevant::Zero,
    unjudged: Unjudged::Irrelevant,
    relevant_grade: 1,
    max_grade: 4,
};

#[test]
fn metrics_equal_those_of_others() {
    let golden = golden(include_str!("golden/metrics.json"));
    let metrics: Vec<Metric> = serde_json::from_value(golden["metrics"].clone()).unwrap();
    // The positive-negative ratio is compared by its counts of pairs.
    let tested: BTreeSet<&str> = metrics.iter().map(|metric| metric.family()).chain(["pnr"]).collect();
    assert_eq!(tested, Metric::families().collect());
    let queries = golden["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 400);
    for (number, query) in queries.iter().enumerate() {
        let documents = query["documents"].as_array().unwrap().iter().map(|row| Document {
            doc_id: row[0].as_str().unwrap(),
            score: row[1].as_f64().unwrap(),
            grade: grade(&row[2]),
        });
        let judged: Vec<Grade> = query["judged"].as_array().unwrap().iter().filter_map(grade).collect();
        let list = JudgedList::new("q", documents.collect(), &judged).unwrap();
        let ranking = [list.clone().ranking(&TREC_EVAL)];
        for (metric, expected) in metrics.iter().zip(floats(&query["values"])) {
            let found = metric.measure(&ranking).of_query(0).unwrap();
            // gdeval prints five digits.
            let tolerance = if metric.family() == "err" { 6e-6 } else { 1e-6 };
            assert_close(found, expected, tolerance, &format!("{metric} of query {number}"));
        }
        let count = |kind: &str| query["pairs"][kind].as_u64().unwrap();
        let pairs =
            PairCounts { concordant: count("concordant"), discordant: count("discordant"), tied: count("tied") };
        assert_eq!(PairCounts::of(&list.ranking(&TREC_EVAL)), pairs, "query {number}");
    }
}

/// A list whose judged documents are all of the `judged` pairs.
fn ranking<'a>(
    run: impl Iterator<Item = (&'a str, f64)>,
    judged: &BTreeMap<&str, i64>,
    conventions: &Conventions,
) -> Ranking<'a> {
    // Negative grades are not relevant, as 0.
    let grade = |grade: i64| Grade::try_from(grade.max(0)).unwrap();
    let documents =
        run.map(|(doc_id, score)| Document { doc_id, score, grade: judged.get(doc_id).copied().map(grade) });
    let grades: Vec<Grade> = judged.values().copied().map(grade).collect();
    JudgedList::new("q", documents.collect(), &grades).unwrap().ranking(conventions)
}

#[test]
fn whole_runs_equal_trec_eval() {
    let golden = golden(include_str!("golden/trec_eval.json"));
    let metrics: Vec<Metric> = serde_json::from_value(golden["metrics"].clone()).unwrap();
    let runs = golden["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 200);
    let (mut unanswered, mut negative, mut large) = (0, 0, 0);
    for (number, run) in runs.iter().enumerate() {
        let rankings: Vec<Ranking<'_>> = run["queries"]
            .as_array()
            .unwrap()
            .iter()
            .map(|query| {
                let judged = query["qrels"].as_array().unwrap().iter();
                let judged: BTreeMap<&str, i64> =
                    judged.map(|row| (row[0].as_str().unwrap(), row[1].as_i64().unwrap())).collect();
                negative += usize::from(judged.values().any(|&grade| grade < 0));
                large += usize::from(judged.values().any(|&grade| grade > 99));
                let found = query["run"].as_array().unwrap();
                unanswered += usize::from(found.is_empty());
                let found = found.iter().map(|row| (row[0].as_str().unwrap(), row[1].as_f64().unwrap()));
                ranking(found, &judged, &TREC_EVAL)
            })
            .collect();
        for (metric, expected) in metrics.iter().zip(floats(&run["means"])) {
            let found = metric.measure(&rankings).value().unwrap();
            assert_close(found, expected, 1e-6, &format!("{metric} of run {number}"));
        }
    }
    assert!(unanswered > 20 && negative > 100 && large > 50, "{unanswered} {negative} {large}");
}

#[test]
fn metrics_equal_ranx_and_scikit_learn() {
    let golden = golden(include_str!("golden/peers.json"));
    let names = |gain: &str| -> Vec<Metric> { serde_json::from_value(golden["metrics"][gain].clone()).unwrap() };
    let rows = |case: &Value| -> Vec<(String, f64, i64)> {
        let row =
            |row: &Value| (row[0].as_str().unwrap().to_string(), row[1].as_f64().unwrap(), row[2].as_i64().unwrap());
        case["documents"].as_array().unwrap().iter().map(row).collect()
    };
    let ranked = |rows: &[(String, f64, i64)], gain: Gain, metric: &Metric| {
        let judged = rows.iter().map(|(doc_id, _, grade)| (doc_id.as_str(), *grade)).collect();
        let found = rows.iter().map(|(doc_id, score, _)| (doc_id.as_str(), *score));
        metric.measure(&[ranking(found, &judged, &Conventions { gain, ..TREC_EVAL })]).of_query(0)
    };
    let ranx = golden["ranx"].as_array().unwrap();
    assert_eq!(ranx.len(), 100);
    for (number, case) in ranx.iter().enumerate() {
        let rows = rows(case);
        for (name, gain) in [("linear", Gain::Linear), ("exponential", Gain::Exponential)] {
            for (metric, expected) in names(name).iter().zip(floats(&case[name])) {
                let found = ranked(&rows, gain, metric).unwrap();
                assert_close(found, expected, 1e-6, &format!("{metric} of ranx, case {number}"));
            }
        }
    }
    let sklearn = golden["sklearn"].as_array().unwrap();
    assert_eq!(sklearn.len(), 100);
    for case in sklearn {
        let mut rows = rows(case);
        for name in ["ndcg", "ndcg@5", "map"] {
            let found = ranked(&rows, Gain::Linear, &name.parse().unwrap()).unwrap();
            assert_close(found, case[name].as_f64().unwrap(), 1e-9, &format!("{name} of scikit-learn"));
        }
        // Two classes: the pairs are those of the area under the ROC curve.
        for ((_, score, grade), tied) in rows.iter_mut().zip(floats(&case["tied"])) {
            (*score, *grade) = (tied, (*grade).min(1));
        }
        let judged = rows.iter().map(|(doc_id, _, grade)| (doc_id.as_str(), *grade)).collect();
        let found = rows.iter().map(|(doc_id, score, _)| (doc_id.as_str(), *score));
        let pairs = PairCounts::of(&ranking(found, &judged, &TREC_EVAL));
        let all = (pairs.concordant + pairs.discordant + pairs.tied) as f64;
        let area = (pairs.concordant as f64 + pairs.tied as f64 / 2.0) / all;
        assert_close(area, case["auc"].as_f64().unwrap(), 1e-9, "area under the ROC curve");
    }
}

#[test]
fn t_tests_equal_scipy() {
    for case in golden(include_str!("golden/significance.json"))["t_tests"].as_array().unwrap() {
        let found = paired_t_test(&floats(&case["differences"])).unwrap();
        let (t, p) = (case["t"].as_f64().unwrap(), case["p"].as_f64().unwrap());
        assert_close(found.t, t, 1e-10, "t");
        assert!((found.p_value / p - 1.0).abs() < 1e-9, "p: {} is not {p}", found.p_value);
        let above = case["p_above"].as_f64().unwrap();
        assert!((found.p_above() / above - 1.0).abs() < 1e-9, "p: {} is not {above}", found.p_above());
        let (interval, expected) = (t_interval(&floats(&case["differences"])).unwrap(), floats(&case["interval"]));
        assert_close(interval.low, expected[0], 1e-9, "low");
        assert_close(interval.high, expected[1], 1e-9, "high");
    }
}

#[test]
fn the_randomisation_test_nears_its_full_enumeration() {
    for case in golden(include_str!("golden/significance.json"))["randomisation"].as_array().unwrap() {
        let draws = NonZeroUsize::new(100_000).unwrap();
        let found = randomisation_test(&floats(&case["differences"]), draws, 1).unwrap();
        let p = case["p"].as_f64().unwrap();
        let deviation = (p * (1.0 - p) / 100_000.0).sqrt();
        assert!((found - p).abs() < 4.0 * deviation + 1e-5, "{found} is not {p}");
    }
}

#[test]
fn holm_equals_its_definition() {
    for case in golden(include_str!("golden/significance.json"))["holm"].as_array().unwrap() {
        let found = holm(&floats(&case["p_values"])).unwrap();
        for (found, expected) in found.into_iter().zip(floats(&case["adjusted"])) {
            assert_close(found, expected, 1e-12, "adjusted p");
        }
    }
}

#[test]
fn losses_and_gradients_equal_those_of_others() {
    let singles = |value: &Value| -> Vec<f32> { floats(value).into_iter().map(|number| number as f32).collect() };
    let mut tested = BTreeSet::new();
    for case in golden(include_str!("golden/losses.json")).as_array().unwrap() {
        let (scores, labels) = (singles(&case["scores"]), singles(&case["labels"]));
        let offsets = integers(&case["offsets"]);
        let every = case["every"].as_u64().unwrap_or(1) as usize;
        for expected in case["losses"].as_array().unwrap() {
            let loss: Loss = serde_json::from_value(expected["loss"].clone()).unwrap();
            let LossValue { value, grad } = loss.compute(&scores, &labels, &offsets).unwrap().total;
            assert_close(value, expected["value"].as_f64().unwrap(), 1e-7, loss.name());
            let found: Vec<f32> = grad.into_iter().step_by(every).collect();
            let expected = floats(&expected["grad"]);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.into_iter().zip(expected) {
                assert_close(f64::from(found), expected, 1e-6, loss.name());
            }
            tested.insert(loss.name());
        }
    }
    assert_eq!(tested, BTreeSet::from_iter(Loss::NAMES.iter().copied()));
}

#[test]
fn weighted_kappas_equal_those_of_others() {
    let golden = golden(include_str!("golden/agreement.json"));
    let cases = golden.as_array().unwrap();
    assert_eq!(cases.len(), 40);
    for case in cases {
        let grades = |judge: &str| integers(&case[judge]).into_iter().map(|grade| u8::try_from(grade).unwrap());
        let confusion = Confusion::<4>::of(grades("first").zip(grades("second")));
        for (name, weights) in [("linear", Weights::Linear), ("quadratic", Weights::Quadratic)] {
            let found = confusion.weighted_kappa(weights).unwrap();
            assert_close(found, case[name].as_f64().unwrap(), 1e-12, name);
        }
    }
}
