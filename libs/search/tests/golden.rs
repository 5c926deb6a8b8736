//! Scores against golden values from an independent implementation; `golden/` holds the values and the program that made
//! them.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use analysis::{Analyzer, AnalyzerName};
use search::{Bm25, Identity, build_in_memory, index_in_memory};
use serde_json::Value;

#[test]
fn bm25_equals_its_dense_form() {
    let cases: Value = serde_json::from_str(include_str!("golden/bm25.json")).unwrap();
    for case in cases.as_array().unwrap() {
        let config = Bm25 { k1: case["k1"].as_f64().unwrap(), b: case["b"].as_f64().unwrap() };
        let documents =
            case["documents"].as_array().unwrap().iter().map(|text| text.as_str().unwrap().split_whitespace());
        let identity = Identity { analyzer: "whitespace".into(), collection: String::new() };
        let index = build_in_memory(&identity, config, documents).unwrap();
        let query: Vec<&str> = case["query"].as_array().unwrap().iter().map(|token| token.as_str().unwrap()).collect();
        for (document, expected) in case["scores"].as_array().unwrap().iter().enumerate() {
            let (found, expected) = (index.score(&query, document), expected.as_f64().unwrap());
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }
}

/// The field `text` of each line of a fixture.
macro_rules! texts {
    ($name:literal) => {{
        let lines = include_str!(concat!("../../analysis/tests/fixtures/", $name)).lines();
        let text = |line| serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_string();
        lines.map(text).collect::<Vec<String>>()
    }};
}

/// Chinese, Japanese, Korean and Thai, beside bm25s over the tokens of another implementation of the analyzer; that package
/// sums in single precision.
#[test]
fn texts_without_spaces_score_as_in_bm25s() {
    let golden: Value = serde_json::from_str(include_str!("../../analysis/tests/golden/bm25s.json")).unwrap();
    let fixtures = [
        ("chinese", texts!("chinese.documents.jsonl"), texts!("chinese.queries.jsonl")),
        ("japanese", texts!("japanese.documents.jsonl"), texts!("japanese.queries.jsonl")),
        ("korean", texts!("korean.documents.jsonl"), texts!("korean.queries.jsonl")),
        ("thai", texts!("thai.documents.jsonl"), texts!("thai.queries.jsonl")),
    ];
    let analyzer = Analyzer::new(AnalyzerName::Unicode);
    for (language, documents, queries) in fixtures {
        let index = index_in_memory(&analyzer, language, documents.iter().map(|text| [text.as_str()])).unwrap();
        let expected = golden[language].as_array().unwrap();
        assert_eq!(expected.len(), queries.len());
        for (query, expected) in queries.iter().zip(expected) {
            let (tokens, expected) = (analyzer.tokens(query), expected.as_array().unwrap());
            assert_eq!(expected.len(), documents.len());
            for (document, expected) in expected.iter().enumerate() {
                let (found, expected) = (index.score(&tokens, document), expected.as_f64().unwrap());
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{language}: {query}, document {document}: {found} {expected}"
                );
            }
        }
    }
}
