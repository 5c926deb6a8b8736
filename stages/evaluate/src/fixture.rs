//! Made-up queries and systems for tests.

use ranking::metrics::Grade;
use ranking::rng::{permutation, stream};

use crate::input::{Attribute, SystemRun, TestQuery};

const DOCUMENTS: usize = 12;

/// Queries of 12 judged documents with grades 0 to 4; every tenth has no relevant document.
pub(crate) fn queries(count: usize) -> Vec<TestQuery> {
    let query = |i: usize| {
        let order = permutation(&mut stream(1, "grades", i as u64), DOCUMENTS);
        let grade = |rank: usize| if i % 10 == 9 { 0 } else { [4, 3, 2, 2, 1, 1].get(rank).copied().unwrap_or(0) };
        let grades: Vec<Grade> = order.into_iter().map(grade).collect();
        TestQuery {
            query_id: format!("q{i:03}"),
            query: format!("query {i}"),
            attributes: vec![Attribute::Number(((i * 7919) % 100) as f64)],
            doc_ids: (0..DOCUMENTS).map(|d| format!("d{d:02}")).collect(),
            grades: grades.iter().copied().map(Some).collect(),
            all_grades: grades,
            missing: 0,
            teacher: Vec::new(),
        }
    };
    (0..count).map(query).collect()
}

/// A system that sees the grades through noise; 0 is perfect.
pub(crate) fn system(name: &str, queries: &[TestQuery], noise: f64) -> SystemRun {
    let scores = queries.iter().enumerate().map(|(i, query)| {
        let draws = permutation(&mut stream(2, name, i as u64), query.grades.len());
        let score = |(&grade, draw): (&Option<Grade>, usize)| f64::from(grade.unwrap_or(0)) + noise * draw as f64;
        query.grades.iter().zip(draws).map(score).collect()
    });
    SystemRun { system: name.into(), scores: scores.collect(), weights: Vec::new() }
}

/// The five systems of a run, the better ones first to last as the method hopes.
pub(crate) fn systems(queries: &[TestQuery]) -> Vec<SystemRun> {
    [("log_order", 1.2), ("bm25", 0.6), ("teacher", 0.16), ("student", 0.2), ("student_labels_only", 0.35)]
        .iter()
        .map(|(name, noise)| system(name, queries, *noise))
        .collect()
}
