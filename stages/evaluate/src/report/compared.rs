//! How the systems compare: verdicts, metrics and paired tests.

use pipeline::config::EvaluateConfig;
use plotly::Bar;
use plotly::common::{ErrorData, ErrorType, Marker, Orientation};

use super::chart::{Chart, FIRST, INK, layout, row};
use super::html::{escape, folded, paragraph, part, table};
use crate::compare::{Comparison, Key};
use crate::evaluation::Evaluation;
use crate::measure::{Estimate, Measure};
use crate::number;
use crate::slices::ALL;
use crate::summary::{cell, tied};

/// The comparisons that the run is made for, then all systems by all metrics, then all other comparisons.
pub(super) fn html(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    verdicts(config, evaluation)
        + &part("All systems", &metrics(evaluation))
        + &part("Other comparisons", &comparisons(evaluation))
}

fn verdicts(config: &EvaluateConfig, evaluation: &Evaluation) -> String {
    let row = |(comparison, key): (&Comparison, Key)| {
        vec![
            comparison.system_a.clone(),
            comparison.system_b.clone(),
            key.verdict.name().to_string(),
            number::signed(comparison.difference),
            number::signed_interval(comparison.interval),
            number::p_value(comparison.p_value),
            number::p_value(key.p_adjusted),
        ]
    };
    let rows: Vec<Vec<String>> = evaluation.key_comparisons(config).map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    let difference = format!("{}, a − b", evaluation.primary);
    table("Verdicts", &["a", "b", "verdict on a", &difference, "95 % interval", "p", "p, Holm"], &rows, 3)
        + &paragraph(&format!(
            "WIN: the whole interval is above 0. EQUAL: a loss of more than {} is ruled out. REGRESSION: it is not. Two-sided paired \
             randomisation tests, corrected for these {} comparisons alone by Holm's method; ≤ stands where no draw reached the \
             difference.",
            config.margin,
            rows.len()
        ))
}

fn metrics(evaluation: &Evaluation) -> String {
    let metrics: Vec<String> = evaluation.metrics.iter().map(ToString::to_string).collect();
    let header: Vec<&str> = ["system"].into_iter().chain(metrics.iter().map(String::as_str)).collect();
    let of_system = |system: &str| -> Vec<String> {
        let cells = metrics.iter().map(|metric| cell(evaluation.estimate(system, metric, ALL)));
        [system.to_string()].into_iter().chain(cells).collect()
    };
    let mut rows: Vec<Vec<String>> = evaluation.systems.iter().map(|system| of_system(system.system)).collect();
    let pooled = evaluation.metrics.iter().filter(|metric| metric.is_pooled());
    let pooled: String = pooled.map(|metric| format!(", for {metric} the pooled ratio")).collect();
    let counting = |metric: &String| {
        let counts =
            evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, metric, ALL)).map(|e| e.queries);
        let (least, most) = counts.fold((usize::MAX, 0), |(least, most), count| (least.min(count), most.max(count)));
        if least < most { format!("{least} to {most}") } else { most.to_string() }
    };
    rows.push(["queries that count".to_string()].into_iter().chain(metrics.iter().map(counting)).collect());
    let mut html = table("Metrics of all systems", &header, &rows, 1);
    html += &paragraph(&format!(
        "Means over the test queries{pooled}; in brackets 95 % bootstrap intervals. Below them, where not all was judged, the share \
         of the documents that the metric looks at which was."
    ));
    for estimate in evaluation.tie_sensitive() {
        html += &paragraph(&format!("{}.", tied(estimate)));
    }
    let chart = |metric: Measure| {
        let metric = metric.to_string();
        let found = evaluation.systems.iter().filter_map(|s| evaluation.estimate(s.system, &metric, ALL));
        bars(&metric, &found.collect::<Vec<_>>())
    };
    html + &row(evaluation.headline_metrics().map(chart))
}

/// Horizontal bars from zero with 95 % intervals.
fn bars(metric: &str, estimates: &[&Estimate]) -> Chart {
    let finite = |value: Option<f64>| value.filter(|value| value.is_finite());
    // The first category of an axis is at its bottom. plotly.js reads labels as markup.
    let upwards = || estimates.iter().rev();
    let names: Vec<String> = upwards().map(|estimate| escape(&estimate.system)).collect();
    let values: Vec<Option<f64>> = upwards().map(|estimate| finite(estimate.value)).collect();
    let ends = |of: fn(f64, &Estimate) -> Option<f64>| -> Vec<f64> {
        upwards().map(|estimate| finite(estimate.value.and_then(|value| of(value, estimate))).unwrap_or(0.0)).collect()
    };
    let errors = ErrorData::new(ErrorType::Data)
        .symmetric(false)
        .array(ends(|value, estimate| Some(estimate.interval?.high - value)))
        .array_minus(ends(|value, estimate| Some(value - estimate.interval?.low)))
        .color(INK);
    let row = |estimate: &&Estimate| {
        vec![estimate.system.clone(), number::value(estimate.value), number::interval(estimate.interval)]
    };
    Chart {
        title: metric.to_string(),
        caption: match estimates.iter().any(|estimate| estimate.value.is_some_and(f64::is_infinite)) {
            true => "With 95 % bootstrap intervals; an infinite value has no bar.".into(),
            false => "With 95 % bootstrap intervals.".into(),
        },
        traces: vec![
            Bar::new(values, names)
                .orientation(Orientation::Horizontal)
                .marker(Marker::new().color(FIRST))
                .error_x(errors)
                .show_legend(false),
        ],
        layout: layout(metric, ""),
        header: vec!["system", "value", "95 % interval"],
        rows: estimates.iter().map(row).collect(),
        numbers: 1,
    }
}

fn comparisons(evaluation: &Evaluation) -> String {
    if evaluation.comparisons.is_empty() {
        return String::new();
    }
    let header = ["metric", "a", "b", "a − b", "95 % interval", "p, randomisation", "p, t test"];
    let rows = |keep: &dyn Fn(&Comparison) -> bool| -> Vec<Vec<String>> {
        let row = |c: &Comparison| {
            vec![
                c.metric.clone(),
                c.system_a.clone(),
                c.system_b.clone(),
                number::signed(c.difference),
                number::signed_interval(c.interval),
                number::p_value(c.p_value),
                c.p_value_t.map_or("–".into(), number::p_value_t),
            ]
        };
        evaluation.comparisons.iter().filter(|c| keep(c)).map(row).collect()
    };
    let primary = evaluation.primary.to_string();
    let shown = |name: &str, rows: &[Vec<String>]| match rows.is_empty() {
        true => String::new(),
        false => folded(name, &table(name, &header, rows, 3)),
    };
    let mut html = paragraph(
        "Two-sided paired tests on the same queries. They are exploratory: nothing is corrected for their number, so that some small \
         p-values are to be expected by chance. What the run is made for is among the verdicts.",
    );
    html += &shown(&format!("All pairs: {primary}"), &rows(&|c| c.slice == ALL && c.metric == primary));
    html += &shown("All pairs: other metrics", &rows(&|c| c.slice == ALL && c.metric != primary));
    for slice in &evaluation.slices[1..] {
        let name = format!("{}: {primary}", slice.name);
        html += &shown(&name, &rows(&|c| c.slice == slice.name && c.metric == primary));
    }
    html
}
