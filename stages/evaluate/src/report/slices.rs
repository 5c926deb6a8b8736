//! Parts of the test queries.

use pipeline::config::EvaluateConfig;
use ranking::significance::verdict;

use super::html::{paragraph, part, table};
use crate::compare::Comparison;
use crate::evaluation::Evaluation;
use crate::number;
use crate::summary::cell;

/// The verdicts on each slice, and the headline metrics.
pub(super) fn html(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let parts = &evaluation.slices[1..];
    if parts.is_empty() {
        return String::new();
    }
    let halves = parts.iter().any(|slice| slice.name == "head");
    let explained = "head: queries searched more often than the median test query; tail: the rest.";
    let explained = if halves { paragraph(explained) } else { String::new() };
    explained + &verdicts(config, evaluation) + &part("Metrics by slice", &metrics(evaluation))
}

fn verdicts(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let primary = evaluation.primary.to_string();
    let mut rows = Vec::new();
    for slice in &evaluation.slices[1..] {
        let of_slice = |c: &&Comparison| c.slice == slice.name && c.metric == primary;
        let compared: Vec<&Comparison> = evaluation.comparisons.iter().filter(of_slice).collect();
        let find = |[a, b]: &[String; 2]| compared.iter().find(|c| c.system_a == *a && c.system_b == *b);
        rows.extend(config.family.iter().filter_map(find).map(|c| {
            let slice = format!("{}\n{} queries", slice.name, number::count(slice.queries.len() as u64));
            let verdict = verdict(c.interval, config.margin).name().to_string();
            let difference = [number::signed(c.difference), number::signed_interval(c.interval)];
            [vec![slice, c.system_a.clone(), c.system_b.clone(), verdict], difference.to_vec()].concat()
        }));
    }
    if rows.is_empty() {
        return String::new();
    }
    let difference = format!("{primary}, a − b");
    table("Verdicts by slice", &["slice", "a", "b", "verdict on a", &difference, "95 % interval"], &rows, 4)
        + &paragraph(
            "By the same rule as the verdicts on all queries, on fewer queries: intervals are wider, so that a REGRESSION may only \
             say that there are too few queries. Nothing is corrected for the number of slices.",
        )
}

fn metrics(evaluation: &Evaluation) -> String {
    let metrics: Vec<String> = evaluation.headline_metrics().map(|metric| metric.to_string()).collect();
    let header: Vec<&str> = ["slice", "system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let mut rows = Vec::new();
    for slice in &evaluation.slices[1..] {
        for system in &evaluation.systems {
            let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system.system, metric, &slice.name)));
            rows.push([slice.name.clone(), system.system.to_string()].into_iter().chain(cells).collect());
        }
    }
    table("Metrics by slice", &header, &rows, 2)
}
