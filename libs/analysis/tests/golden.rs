//! Tokens of an independent implementation; the script that made them stands beside them in `tests/golden`.

// Tests may unwrap: a failure is reported as a failed test.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use analysis::{Analyzer, AnalyzerName};

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    tokens: BTreeMap<String, Vec<String>>,
}

#[test]
fn tokens_equal_those_of_others() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/analyzers.json")).unwrap();
    assert!(cases.len() >= 500);
    for &name in AnalyzerName::ALL {
        let analyzer = Analyzer::new(name);
        let mut compared = 0;
        for case in &cases {
            let Some(expected) = case.tokens.get(name.name()) else { continue };
            assert_eq!(&analyzer.tokens(&case.text), expected, "{name:?} of {:?}", case.text);
            compared += 1;
        }
        assert!(compared > 0, "no text of {name:?}");
    }
}
