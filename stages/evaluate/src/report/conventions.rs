//! What the figures depend on: conventions, definitions of the metrics, and how often each special case arose.

use pipeline::config::{Candidates, EvaluateConfig};
use ranking::metrics::{Gain, NoRelevant, Ties, Unjudged};

use super::html::table;
use crate::evaluation::Evaluation;
use crate::measure::{Measure, Measured};
use crate::number;

/// A name and what it stands for.
type Row = (&'static str, String);

/// The table of conventions.
pub(super) fn html(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let mut rows = of_rankings(config, evaluation);
    rows.extend(of_metrics(config, evaluation));
    rows.extend(definitions(&evaluation.metrics));
    rows.extend(of_tests(config));
    rows.extend(counts(evaluation));
    rows.retain(|(_, text)| !text.is_empty());
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, text)| vec![name.to_string(), text]).collect();
    table("Conventions and special cases", &["convention", "value"], &rows, 2)
}

fn of_rankings(config: &EvaluateConfig, evaluation: &Evaluation) -> Vec<Row> {
    let candidates = match config.candidates {
        _ if evaluation.is_by_teacher() => "every system ranks the documents that the teacher scored".to_string(),
        _ if evaluation.is_of_files() => "each run ranks the documents that it returned".to_string(),
        Candidates::Judged => "every system ranks the judged documents of a query".to_string(),
        Candidates::Bm25 => format!("every system ranks BM25's first {} documents", config.depth),
        Candidates::Dense => format!("every system ranks the first {} documents by their vectors", config.depth),
        Candidates::Fused => {
            format!("every system ranks the first {} documents of BM25 and vectors fused", config.depth)
        }
    };
    let weights_of = match config.merge_runs.is_empty() {
        true => "Weight of a model beside BM25, best on validation queries",
        false => "Weights of a model beside BM25 in each run, best on the other runs' queries",
    };
    vec![
        ("Candidates", candidates),
        (weights_of, weights(&evaluation.systems)),
        ("Merged runs", config.merge_runs.join(", ")),
    ]
}

fn weights(systems: &[Measured]) -> String {
    let weights = |system: &Measured| {
        let weights: Vec<String> = system.weights.iter().map(|weight| format!("{weight:.2}")).collect();
        (!weights.is_empty()).then(|| format!("{} {}", system.system, weights.join(" ")))
    };
    systems.iter().filter_map(weights).collect::<Vec<_>>().join(", ")
}

fn of_metrics(config: &EvaluateConfig, evaluation: &Evaluation) -> Vec<Row> {
    let gain = match config.gain {
        Gain::Exponential => "2^grade − 1",
        Gain::Linear => "the grade",
    };
    let ties = match config.ties {
        Ties::DocIdDescending => "by document id, descending (as trec_eval)",
        Ties::Stable => "in the order of the candidates",
    };
    let no_relevant = match config.no_relevant {
        NoRelevant::Skip => "left out of the mean",
        NoRelevant::Zero => "0 (as trec_eval)",
        NoRelevant::One => "1 (as LightGBM)",
    };
    let unjudged = match config.unjudged {
        Unjudged::Irrelevant => "count as grade 0; pnr is of judged documents alone",
        Unjudged::Removed => "are removed from a ranking before it is measured",
    };
    if evaluation.is_by_teacher() {
        return vec![
            ("Order of equal scores", ties.into()),
            ("Documents that the teacher gives equal scores", "share the mean of their gains".into()),
            ("Queries that the teacher orders not at all", "left out of the mean".into()),
        ];
    }
    vec![
        ("NDCG gain", gain.into()),
        ("Order of equal scores", ties.into()),
        ("Value of a query without a relevant document", no_relevant.into()),
        ("Documents without a judgment", unjudged.into()),
        ("Lowest relevant grade", config.relevant_grade.to_string()),
        ("Highest grade", config.max_grade.to_string()),
    ]
}

/// What each family of the metrics measures.
fn definitions(metrics: &[Measure]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for metric in metrics {
        if rows.iter().all(|(family, _)| *family != metric.family()) {
            rows.push((metric.family(), metric.about().into()));
        }
    }
    rows
}

fn of_tests(config: &EvaluateConfig) -> Vec<Row> {
    let count = |n: usize| number::count(n as u64);
    vec![
        ("Bootstrap resamples", count(config.bootstrap)),
        ("Draws of the randomisation test", count(config.permutations)),
    ]
}

fn counts(evaluation: &Evaluation) -> Vec<Row> {
    let cases = evaluation.special_cases();
    let count = |n: usize| number::count(n as u64);
    if evaluation.is_by_teacher() {
        return vec![("Test queries", count(cases.queries)), ("Candidates of all queries", count(cases.candidates))];
    }
    let tied: Vec<String> =
        cases.tied_pairs.iter().map(|(system, tied)| format!("{system} {}", number::count(*tied))).collect();
    let of_pipeline = |n: usize| if evaluation.is_of_files() { String::new() } else { count(n) };
    vec![
        ("Test queries", count(cases.queries)),
        ("Candidates of all queries", of_pipeline(cases.candidates)),
        ("Judged documents of all queries", count(cases.judged)),
        ("Of these, not in the table documents, but in the ideal ranking", of_pipeline(cases.missing)),
        ("Queries without a relevant document", count(cases.no_relevant)),
        ("Queries whose judged documents have one grade", count(cases.one_grade)),
        ("Pairs with equal scores", tied.join(", ")),
    ]
}
