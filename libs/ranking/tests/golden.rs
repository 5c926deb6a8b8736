//! Values made by independent implementations; the script that made each file stands beside it in `tests/golden`.

// A failed unwrap is a failed test, which is what a test wants.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroUsize;

use ranking::bm25::{Bm25Config, Index};
use ranking::loss::{self, LossValue};
use ranking::metrics::{self, Conventions, Document, Gain, JudgedList, NoRelevant, PairCounts, QueryValue, Ties};
use ranking::significance::{holm, paired_t_test, randomisation_test};
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

fn grade(value: &Value) -> Option<u8> {
    value.as_u64().map(|grade| u8::try_from(grade).unwrap())
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    let error = (found - expected).abs();
    assert!(error <= tolerance * (1.0 + expected.abs()), "{what}: {found} is not {expected}");
}

const TREC_EVAL: Conventions =
    Conventions { gain: Gain::Linear, ties: Ties::DocIdDescending, no_relevant: NoRelevant::Zero, relevant_grade: 1 };

type Metric = fn(&JudgedList, NonZeroUsize, &Conventions) -> QueryValue;

const METRICS: [(&str, Metric); 3] =
    [("ndcg", metrics::ndcg), ("recall", metrics::recall), ("reciprocal_rank", metrics::reciprocal_rank)];

#[test]
fn metrics_equal_trec_eval() {
    let golden = golden(include_str!("golden/metrics.json"));
    let cuts = integers(&golden["cuts"]);
    let queries = golden["queries"].as_array().unwrap();
    assert_eq!(queries.len(), 400);
    for (number, query) in queries.iter().enumerate() {
        let documents = query["documents"].as_array().unwrap().iter().map(|row| Document {
            doc_id: row[0].as_str().unwrap(),
            score: row[1].as_f64().unwrap(),
            grade: grade(&row[2]),
        });
        let judged: Vec<u8> = query["judged"].as_array().unwrap().iter().filter_map(grade).collect();
        let list = JudgedList::new("q", documents.collect(), &judged).unwrap();
        for (name, metric) in METRICS {
            for (&cut, expected) in cuts.iter().zip(floats(&query[name])) {
                let found = metric(&list, NonZeroUsize::new(cut).unwrap(), &TREC_EVAL).value.unwrap();
                assert_close(found, expected, 1e-6, &format!("{name}@{cut} of query {number}"));
            }
        }
        let count = |kind: &str| query["pairs"][kind].as_u64().unwrap();
        let pairs =
            PairCounts { concordant: count("concordant"), discordant: count("discordant"), tied: count("tied") };
        assert_eq!(PairCounts::of(&list), pairs, "query {number}");
    }
}

#[test]
fn t_tests_equal_scipy() {
    for case in golden(include_str!("golden/significance.json"))["t_tests"].as_array().unwrap() {
        let found = paired_t_test(&floats(&case["differences"])).unwrap();
        let (t, p) = (case["t"].as_f64().unwrap(), case["p"].as_f64().unwrap());
        assert_close(found.t, t, 1e-10, "t");
        assert!((found.p_value / p - 1.0).abs() < 1e-9, "p: {} is not {p}", found.p_value);
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
fn bm25_equals_its_dense_form() {
    for case in golden(include_str!("golden/bm25.json")).as_array().unwrap() {
        let config = Bm25Config { k1: case["k1"].as_f64().unwrap(), b: case["b"].as_f64().unwrap() };
        let documents =
            case["documents"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().split_whitespace());
        let index = Index::build(config, documents).unwrap();
        let query: Vec<&str> = case["query"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
        for (document, expected) in floats(&case["scores"]).into_iter().enumerate() {
            assert_close(index.score(&query, document), expected, 1e-12, "score");
        }
    }
}

#[test]
fn losses_and_gradients_equal_torch() {
    let golden = golden(include_str!("golden/losses.json"));
    let (margin, alpha) = (golden["margin"].as_f64().unwrap() as f32, golden["alpha"].as_f64().unwrap());
    for case in golden["cases"].as_array().unwrap() {
        let singles = |value: &Value| -> Vec<f32> { floats(value).into_iter().map(|number| number as f32).collect() };
        let (s, t, o) = (singles(&case["scores"]), singles(&case["labels"]), integers(&case["offsets"]));
        for (name, expected) in case["losses"].as_object().unwrap() {
            let found = match name.as_str() {
                "pairwise_hinge" => loss::pairwise_hinge(&s, &t, &o, margin),
                "pairwise_logistic" => loss::pairwise_logistic(&s, &t, &o),
                "listwise_softmax" => loss::listwise_softmax(&s, &t, &o),
                "lambda_loss" => loss::lambda_loss(&s, &t, &o),
                "pointwise_mse" => loss::pointwise_mse(&s, &t),
                "margin_mse" => loss::margin_mse(&s, &t, &o),
                "hybrid" => loss::hybrid(&s, &t, &o, alpha).map(|hybrid| hybrid.total),
                other => panic!("no loss is called {other}"),
            };
            let LossValue { value, grad } = found.unwrap();
            assert_close(value, expected["value"].as_f64().unwrap(), 1e-7, name);
            for (found, expected) in grad.into_iter().zip(floats(&expected["grad"])) {
                assert_close(f64::from(found), expected, 1e-6, name);
            }
        }
    }
}
